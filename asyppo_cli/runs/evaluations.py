"""The directory of one evaluation: a model, a benchmark, one set of settings. All its paths, readers and writers.

Samples and verdicts are appended and synchronised to disk as they arrive; a partial last line is removed before the
next append. Settings that change scores are part of the identity: other settings, another directory.
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
from asyppo_cli.runs.files.disk import unusable
from asyppo_cli.runs.files.jsonl import damaged, drop_torn_line, read_objects

FOLDER = "evaluations"
MANIFEST = "manifest.json"
LOCK = ".lock"
# Characters of a digest that tell two evaluations of one model and benchmark apart.
DIGEST_LENGTH = 8


@dataclass(frozen=True)
class Sample:
    """Response number ``sample`` to the problem ``id``; ``length`` in tokens."""

    id: str
    sample: int
    response: str
    length: int
    truncated: bool


@dataclass(frozen=True)
class StoredVerdict:
    """The verdict of the ``grader`` (name and version) on one sample.

    ``vote`` is the representative of all answers equal to this one: empty without an answer, None before votes are
    counted. ``reason`` is the grader's, in words: empty in files of versions that did not store it.
    """

    id: str
    sample: int
    verdict: str
    extracted: str | None
    vote: str | None
    grader: str
    reason: str = ""


@dataclass(frozen=True)
class FailedSample:
    """A sample that was tried and could not be drawn, and why (a content filter, a refused request, no answer)."""

    id: str
    sample: int
    reason: str


@dataclass(frozen=True)
class EvaluationDirectory:
    """The paths of an evaluation."""

    path: Path

    @property
    def manifest(self) -> Path:
        """Settings; a folder with this file is an evaluation."""
        return self.path / MANIFEST

    @property
    def problems(self) -> Path:
        """The problems, one a line: all that grading and showing need."""
        return self.path / "problems.jsonl"

    @property
    def samples(self) -> Path:
        """Responses, one a line, in order of arrival."""
        return self.path / "samples.jsonl"

    @property
    def failures(self) -> Path:
        """Samples that could not be drawn, one a line."""
        return self.path / "failures.jsonl"

    @property
    def verdicts(self) -> Path:
        """Verdicts, one a line; votes are added once all samples are there."""
        return self.path / "verdicts.jsonl"

    @property
    def scores(self) -> Path:
        """Scores of the last completed call, with all settings."""
        return self.path / "scores.json"

    @property
    def lm_eval_folder(self) -> Path:
        """The same results in the format of lm-evaluation-harness."""
        return self.path / "lm_eval"

    @property
    def lock(self) -> Path:
        """Held by the process that samples or grades."""
        return self.path / LOCK

    def exists(self) -> bool:
        """Whether there is an evaluation here."""
        return self.manifest.is_file()

    def clear(self) -> None:
        """Remove everything but the lock, which the caller holds."""
        for path in (self.manifest, self.problems, self.samples, self.failures, self.verdicts, self.scores):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.lm_eval_folder, ignore_errors=True)


class JsonLines:
    """Appends rows to a file; they are on disk when :meth:`append` returns. A partial last line is removed first."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        drop_torn_line(path)
        self._file = path.open("ab")

    def append(self, rows: Sequence[Sample] | Sequence[StoredVerdict] | Sequence[FailedSample]) -> None:
        """Write rows and wait until they are on disk."""
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
    """A short hash of settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode("ascii")).hexdigest()[:DIGEST_LENGTH]


def folder_name(text: str) -> str:
    """A model's or benchmark's name as a valid folder name; never empty, never hidden."""
    return re.sub(r"[^A-Za-z0-9._=+@-]+", "_", text).strip("._")[:100] or "unnamed"


def open_evaluation(directory: EvaluationDirectory, settings: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write the manifest of a new evaluation, or check that of an existing one.

    ``settings`` change scores; ``about`` is informative and stays as first written.

    Raises:
        ValueError: the directory holds an evaluation with other settings.
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
        raise unusable(directory.manifest, error, f"remove the folder {directory.path}") from error
    return dict(manifest)


def read_scores(directory: EvaluationDirectory) -> dict[str, Any] | None:
    """Scores of the last completed call; None if there was none."""
    try:
        return dict(json.loads(directory.scores.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise unusable(directory.scores, error, "delete it and repeat the evaluation, which samples nothing") from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a file by a JSON object."""
    replace_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_problems(directory: EvaluationDirectory, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store problems {id, problem, answer, entry}, unless at least as many are stored."""
    if len(rows) > len(read_problems(directory)):
        replace_text(directory.problems, "".join(json.dumps(row) + "\n" for row in rows))


def read_problems(directory: EvaluationDirectory) -> list[dict[str, Any]]:
    """Problems {id, problem, answer, entry} in the benchmark's order."""
    return [row for _, row in read_objects(directory.problems)]


def read_samples(directory: EvaluationDirectory) -> dict[str, dict[int, Sample]]:
    """Samples by problem and number; a partial last line is ignored, of duplicates the first counts."""
    return _by_problem(directory.samples, Sample)


def read_verdicts(directory: EvaluationDirectory) -> dict[str, dict[int, StoredVerdict]]:
    """Verdicts by problem and number, likewise."""
    return _by_problem(directory.verdicts, StoredVerdict)


def read_failures(directory: EvaluationDirectory) -> dict[str, dict[int, FailedSample]]:
    """Failed samples by problem and number, likewise."""
    return _by_problem(directory.failures, FailedSample)


def write_verdicts(directory: EvaluationDirectory, rows: Sequence[StoredVerdict]) -> None:
    """Replace all verdicts."""
    replace_text(directory.verdicts, "".join(json.dumps(asdict(row)) + "\n" for row in rows))


def count_samples(path: Path) -> int:
    """Complete lines of a file of samples; 0 if there is no file."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def evaluation_directories(runs_dir: Path, elsewhere: Path) -> list[EvaluationDirectory]:
    """All evaluations in runs and in the folder for other models, the last active first."""
    return _evaluations_in([*(run.path / FOLDER for run in run_directories(runs_dir)), elsewhere])


def find_evaluations(name: str | None, runs_dir: Path, elsewhere: Path) -> list[EvaluationDirectory]:
    """Evaluations in the folder ``name``, or with ``name`` in their path (None: all), the last active first.

    Raises:
        ValueError: there is none.
    """
    if name is not None and Path(name).is_dir():
        found = _evaluations_in([Path(name)])
    else:
        found = [each for each in evaluation_directories(runs_dir, elsewhere) if (name or "") in each.path.as_posix()]
    if not found:
        where = f"in {runs_dir}/ and {elsewhere}/" if name is None else f"called {name!r}"
        raise ValueError(f"there is no evaluation {where}: make one with asyppo eval BENCHMARK, or name its folder")
    return found


def find_evaluation(name: str | None, runs_dir: Path, elsewhere: Path) -> EvaluationDirectory:
    """The only evaluation called ``name``, as in :func:`find_evaluations`; None: the last active.

    Raises:
        ValueError: there is none, or there are several.
    """
    found = find_evaluations(name, runs_dir, elsewhere)
    if name is not None and len(found) > 1:
        listed = ", ".join(str(evaluation.path) for evaluation in found[:3])
        raise ValueError(f"{len(found)} evaluations are called {name!r}: {listed}: name one folder")
    return found[0]


def _evaluations_in(roots: Sequence[Path]) -> list[EvaluationDirectory]:
    found = [EvaluationDirectory(path.parent) for root in roots for path in root.rglob(MANIFEST)]
    return sorted(found, key=_last_active, reverse=True)


def _last_active(evaluation: EvaluationDirectory) -> float:
    paths = (evaluation.scores, evaluation.verdicts, evaluation.samples, evaluation.manifest)
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)


def _by_problem(path: Path, kind: Any) -> dict[str, dict[int, Any]]:
    found: dict[str, dict[int, Any]] = {}
    for number, fields in read_objects(path):
        try:
            row = kind(**fields)
        except TypeError as error:
            raise damaged(path, number) from error
        found.setdefault(row.id, {}).setdefault(row.sample, row)
    return found
