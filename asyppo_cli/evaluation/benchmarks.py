"""The benchmarks and the sources of their problems: a folder of files, the hub's cache, or the hub.

Every other word is a suite, a task of reasoning-gym, or a file with problems and answers. Names, sources and sizes need
no torch; loading problems does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyppo_cli.keys import did_you_mean
from asyppo_cli.tasks.data.hub import SUFFIXES, split_files

if TYPE_CHECKING:
    from asyppo_cli.types import Problem

# Problems of a procedural task without a limit (fewer if the task has fewer).
GENERATED = 200
# Relative tolerance of numeric answers: golds are measurements of two or three digits, and the benchmark's authors give
# this threshold (Lewkowycz et al. 2022, arXiv:2206.14858).
MINERVA_TOLERANCE = 0.01


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: ``problems`` at the pinned ``revision`` of the hub's data set; relative tolerance of numbers."""

    name: str
    title: str
    hub_id: str
    split: str
    revision: str
    problems: int
    licence: str
    tolerance: float = 0.0

    @property
    def source(self) -> str:
        """Where it is published."""
        return f"{self.hub_id} ({self.split})"


@dataclass(frozen=True)
class LoadedBenchmark:
    """Problems and their provenance.

    ``revision`` is the hub's commit or the version of reasoning-gym, None for files; ``sha256`` is of all ids,
    questions and answers before a limit, independent of the source.
    """

    name: str
    problems: list[Problem]
    source: str
    revision: str | None
    sha256: str


def _benchmarks() -> Iterable[Benchmark]:
    # Licences as on the data sets' pages.
    unknown = "not stated"
    yield Benchmark(
        *("aime24", "AIME 2024", "HuggingFaceH4/aime_2024", "train"),
        *("2fe88a2f1091d5048c0f36abc874fb997b3dd99a", 30, unknown),
    )
    yield Benchmark(
        *("aime25", "AIME 2025", "math-ai/aime25", "test"),
        *("563bb8404243c5f09de6ec262f2db674fe5bce9b", 30, "Apache-2.0"),
    )
    yield Benchmark(
        *("amc23", "AMC 2023", "math-ai/amc23", "test"),
        *("80815d37005feb82cd7f8fbc6901d5d3eff43057", 40, unknown),
    )
    yield Benchmark(
        *("math500", "MATH-500", "HuggingFaceH4/MATH-500", "test"),
        *("6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be", 500, "MIT (MATH)"),
    )
    yield Benchmark(
        *("minerva_math", "Minerva Math", "math-ai/minervamath", "test"),
        *("ee46ddc498933b1977577953250ca5c66be64f96", 272, unknown, MINERVA_TOLERANCE),
    )
    yield Benchmark(
        *("olympiadbench", "OlympiadBench", "math-ai/olympiadbench", "test"),
        *("4faaf1e6ec17d11a4218a9bf4c049ecaf954dd84", 674, "Apache-2.0"),
    )


BENCHMARKS = {benchmark.name: benchmark for benchmark in _benchmarks()}
SUITES = {"paper": tuple(BENCHMARKS)}


def expand(names: Sequence[str], also: Iterable[str] = ()) -> list[str]:
    """Suites replaced by their benchmarks, in order and without duplicates.

    Raises ValueError for a word that is no benchmark, suite, task of reasoning-gym or file, with the nearest names, of
    which ``also`` are some.
    """
    from asyppo_cli.tasks.data.names import task_names

    found: dict[str, None] = {}
    for name in names:
        if name not in SUITES and name not in BENCHMARKS and not is_file(name) and name not in task_names():
            raise ValueError(_unknown(name, also))
        found |= dict.fromkeys(SUITES.get(name, (name,)))
    if not found:
        raise ValueError(f"name a benchmark: {', '.join([*BENCHMARKS, *SUITES])}, a reasoning-gym task, or a file")
    return list(found)


def is_file(name: str) -> bool:
    """Whether a word means a file of problems."""
    return name.endswith(SUFFIXES)


def load_benchmark(name: str, data_dir: Path | None = None, limit: int | None = None) -> LoadedBenchmark:
    """The first ``limit`` problems of a benchmark (default: all) by its expanded name.

    Sources in this order: a file NAME.jsonl, .parquet or .csv in ``data_dir``, the hub's cache, the hub. Raises
    ValueError for an unusable file or task, or if no source has the benchmark.
    """
    if is_file(name):
        return _from_files(Path(name).stem, [Path(name).expanduser()], "benchmark", {}, limit)
    if name not in BENCHMARKS:
        return _generated(name, limit)
    benchmark = BENCHMARKS[name]
    entry = {"tolerance": benchmark.tolerance} if benchmark.tolerance else {}
    local = local_file(name, data_dir)
    if local is not None:
        return _from_files(name, [local], "--data-dir", entry, limit)
    missing = f"{data_dir} has no {name}.jsonl" if data_dir else f"give --data-dir FOLDER with {name}.jsonl"
    wanted = f'{missing} (lines of {{"id", "problem", "answer"}})'
    snapshot = split_files(benchmark.hub_id, benchmark.split, benchmark.revision, f"benchmark {name}", wanted)
    loaded = _from_files(name, snapshot.files, benchmark.hub_id, entry, limit)
    return LoadedBenchmark(name, loaded.problems, benchmark.source, benchmark.revision, loaded.sha256)


def local_file(name: str, data_dir: Path | None) -> Path | None:
    """The file of a benchmark in a folder, or None; ValueError if there is no such folder."""
    if data_dir is None:
        return None
    if not data_dir.is_dir():
        raise ValueError(f"--data-dir: there is no folder {data_dir}")
    return next((path for suffix in SUFFIXES if (path := data_dir / f"{name}{suffix}").is_file()), None)


def _from_files(
    name: str, paths: Sequence[Path], key: str, entry: dict[str, Any], limit: int | None
) -> LoadedBenchmark:
    from asyppo_cli.tasks.data.problem_files import read_problem_file
    from asyppo_cli.types import Problem

    problems = [problem for path in paths for problem in read_problem_file(path, key, entry)]
    if name in BENCHMARKS:
        # The same problem has the same id from every source, so that samples and scores can be compared.
        problems = [Problem(f"{name}-{i}", p.question, p.answer, entry) for i, p in enumerate(problems)]
    return LoadedBenchmark(name, problems[:limit], str(paths[0]), None, _sha256(problems))


def _generated(task: str, limit: int | None) -> LoadedBenchmark:
    from importlib.metadata import version

    from asyppo_cli.tasks.data.procedural import HELDOUT_SEED, available_heldout

    count = GENERATED if limit is None else limit
    problems = available_heldout(task, {}, count)
    if limit is not None and len(problems) < limit:
        raise ValueError(f"--limit is {limit}, but only {len(problems)} different problems of {task} were found")
    source = f"reasoning-gym {task}, held-out seed {HELDOUT_SEED}"
    return LoadedBenchmark(task, problems, source, version("reasoning-gym"), _sha256(problems))


def _sha256(problems: Iterable[Problem]) -> str:
    contents = json.dumps([[problem.id, problem.question, problem.answer] for problem in problems])
    return hashlib.sha256(contents.encode("ascii")).hexdigest()


def _unknown(word: str, also: Iterable[str]) -> str:
    from asyppo_cli.tasks.data.names import task_names

    if "/" in word or Path(word).exists():
        return f"{word!r} is no file of problems: its name must end in {' or '.join(SUFFIXES)}"
    near = did_you_mean(word, [*BENCHMARKS, *SUITES, *also, *task_names()])
    return f"there is no benchmark {word!r}; {near} (asyppo eval ls)"
