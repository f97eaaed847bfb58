"""The directory of one evaluation: a model, a benchmark, one set of settings. Every path, reader and writer of it.

Samples and verdicts are appended as they come and reach the disk before anything else happens; what a process leaves
half-written when it dies is cut off by the next one. Settings that make scores differ are part of the identity: other
settings, another directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from asyppo_cli.runs.directory import run_directories
from asyppo_cli.runs.files.atomic import replace_text, sync_to_disk
from asyppo_cli.runs.files.jsonl import damaged, drop_torn_line, read_objects

FOLDER = "evaluations"
MANIFEST = "manifest.json"
LOCK = ".lock"
# Characters of a digest that tell two evaluations of one model and benchmark apart.
DIGEST_LENGTH = 8


@dataclass(frozen=True)
class Sample:
    """One response as it was drawn: number ``sample`` to the problem ``id``; ``length`` in tokens."""

    id: str
    sample: int
    response: str
    length: int
    truncated: bool


@dataclass(frozen=True)
class StoredVerdict:
    """What the ``grader`` (of that version) said of one sample.

    ``vote`` stands for all answers equal to it; it is empty where there is none and None while nobody has counted.
    """

    id: str
    sample: int
    verdict: str
    extracted: str | None
    vote: str | None
    grader: str


@dataclass(frozen=True)
class EvaluationDirectory:
    """Where everything of an evaluation lies."""

    path: Path

    @property
    def manifest(self) -> Path:
        """Settings; what makes a folder an evaluation."""
        return self.path / MANIFEST

    @property
    def problems(self) -> Path:
        """The problems, one a line, so that nothing else is needed to grade and show."""
        return self.path / "problems.jsonl"

    @property
    def samples(self) -> Path:
        """Responses, one a line, in the order in which they came."""
        return self.path / "samples.jsonl"

    @property
    def verdicts(self) -> Path:
        """Verdicts, one a line; votes are filled in when all samples are there."""
        return self.path / "verdicts.jsonl"

    @property
    def scores(self) -> Path:
        """Scores of the last call that finished, with all settings."""
        return self.path / "scores.json"

    @property
    def lm_eval_folder(self) -> Path:
        """Folder of the same in the form that lm-evaluation-harness writes."""
        return self.path / "lm_eval"

    @property
    def lock(self) -> Path:
        """Locked by the process that samples or grades."""
        return self.path / LOCK

    def exists(self) -> bool:
        """Whether there is an evaluation here."""
        return self.manifest.is_file()

    def clear(self) -> None:
        """Remove everything but the lock, which whoever clears is holding."""
        for path in (self.manifest, self.problems, self.samples, self.verdicts, self.scores):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.lm_eval_folder, ignore_errors=True)


class JsonLines:
    """Appends rows to a file; they are on the disk when :meth:`append` returns. A torn last line is cut off first."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        drop_torn_line(path)
        self._file = path.open("ab")

    def append(self, rows: Sequence[Sample] | Sequence[StoredVerdict]) -> None:
        """Write rows in one stroke."""
        self._file.write("".join(json.dumps(asdict(row)) + "\n" for row in rows).encode("ascii"))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def digest(settings: Mapping[str, Any]) -> str:
    """What tells these settings from any others."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode("ascii")).hexdigest()[:DIGEST_LENGTH]


def folder_name(text: str) -> str:
    """A model's or benchmark's name as a folder can be called; never empty, never hidden."""
    return re.sub(r"[^A-Za-z0-9._=+@-]+", "_", text).strip("._")[:100] or "unnamed"


def open_evaluation(directory: EvaluationDirectory, settings: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write the manifest of a new evaluation, or check that of an old one.

    ``settings`` make scores differ; ``about`` is merely worth knowing and stays as first written.

    Raises:
        ValueError: an evaluation with other settings lies here.
    """
    if not directory.exists():
        directory.path.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"settings": dict(settings), "about": dict(about)}, indent=1) + "\n"
        replace_text(directory.manifest, text)
        sync_to_disk(directory.path)
        return
    stored = read_manifest(directory)["settings"]
    differing = differences(stored, settings)
    if differing:
        name, (old, new) = next(iter(differing.items()))
        raise ValueError(
            f"{directory.path} holds an evaluation with other settings ({name} is {old!r} there and {new!r} here): "
            "choose another --name, or start over with --fresh"
        )


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings whose values differ, with both values (None where one has no such setting)."""
    keys = dict.fromkeys([*first, *second])
    return {key: (first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)}


def read_manifest(directory: EvaluationDirectory) -> dict[str, Any]:
    """The manifest: {settings, about}.

    Raises:
        ValueError: it is missing or damaged.
    """
    try:
        manifest = json.loads(directory.manifest.read_text(encoding="utf-8"))
        if not isinstance(manifest["settings"], dict) or not isinstance(manifest["about"], dict):
            raise ValueError("settings and about must be objects")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{directory.manifest} is damaged ({error}): remove the folder {directory.path}") from error
    return dict(manifest)


def read_scores(directory: EvaluationDirectory) -> dict[str, Any] | None:
    """What the last finished call wrote; None if there was none."""
    try:
        return dict(json.loads(directory.scores.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{directory.scores} is damaged: delete it and evaluate again: nothing is sampled") from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """A JSON object in one stroke."""
    replace_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_problems(directory: EvaluationDirectory, rows: Sequence[Mapping[str, Any]]) -> None:
    """Problems {id, problem, answer, entry}: written where they are more than those that are there."""
    if len(rows) > len(read_problems(directory)):
        replace_text(directory.problems, "".join(json.dumps(row) + "\n" for row in rows))


def read_problems(directory: EvaluationDirectory) -> list[dict[str, Any]]:
    """Problems {id, problem, answer, entry} in the benchmark's order; none if they were never written."""
    return [row for _, row in read_objects(directory.problems)]


def read_samples(directory: EvaluationDirectory) -> dict[str, dict[int, Sample]]:
    """Samples by problem and number; a torn last line is left out, of two alike the first counts."""
    found: dict[str, dict[int, Sample]] = {}
    for number, row in read_objects(directory.samples):
        sample = _record(Sample, row, directory.samples, number)
        found.setdefault(sample.id, {}).setdefault(sample.sample, sample)
    return found


def read_verdicts(directory: EvaluationDirectory) -> dict[str, dict[int, StoredVerdict]]:
    """Verdicts by problem and number, likewise."""
    found: dict[str, dict[int, StoredVerdict]] = {}
    for number, row in read_objects(directory.verdicts):
        graded = _record(StoredVerdict, row, directory.verdicts, number)
        found.setdefault(graded.id, {}).setdefault(graded.sample, graded)
    return found


def write_verdicts(directory: EvaluationDirectory, rows: Sequence[StoredVerdict]) -> None:
    """All verdicts anew, in one stroke."""
    replace_text(directory.verdicts, "".join(json.dumps(asdict(row)) + "\n" for row in rows))


def count_samples(path: Path) -> int:
    """Whole lines of a file of samples; 0 if there is none."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def evaluation_directories(runs_dir: Path, elsewhere: Path) -> list[EvaluationDirectory]:
    """All evaluations in runs and in the folder for other models, the last active first."""
    roots = [run.path / FOLDER for run in run_directories(runs_dir)] + [elsewhere]
    found = [EvaluationDirectory(path.parent) for root in roots for path in root.rglob(MANIFEST)]
    return sorted(found, key=_last_active, reverse=True)


def find_evaluation(name: str | None, runs_dir: Path, elsewhere: Path) -> EvaluationDirectory:
    """The evaluation in a folder, or the only one whose path has ``name`` in it; without a name, the last active.

    Raises:
        ValueError: there is none, or there are several.
    """
    known = evaluation_directories(runs_dir, elsewhere)
    if name is not None and Path(name).is_dir():
        inside = sorted(Path(name).rglob(MANIFEST))
        known = [EvaluationDirectory(path.parent) for path in inside]
    elif name is not None:
        known = [evaluation for evaluation in known if name in evaluation.path.as_posix()]
    if not known:
        where = f"in {runs_dir}/ and {elsewhere}/" if name is None else f"called {name!r}"
        raise ValueError(f"there is no evaluation {where}: make one with asyppo eval BENCHMARK, or name its folder")
    if name is not None and len(known) > 1:
        listed = ", ".join(str(evaluation.path) for evaluation in known[:3])
        raise ValueError(f"{len(known)} evaluations are called {name!r}: {listed}: name one folder")
    return known[0]


def _last_active(evaluation: EvaluationDirectory) -> float:
    paths = (evaluation.scores, evaluation.verdicts, evaluation.samples, evaluation.manifest)
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)


def _record(kind: Any, row: Mapping[str, Any], path: Path, number: int) -> Any:
    try:
        return kind(**row)
    except TypeError as error:
        raise damaged(path, number) from error
