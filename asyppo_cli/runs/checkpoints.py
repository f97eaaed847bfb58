"""Checkpoints: written aside, complete or not there, the newest and the best kept.

A checkpoint is a folder ``step-000010``. Its marker ``complete.json`` is written last, into a folder with another
name, which is then renamed: a folder without a marker, or with a file that differs from it, is never loaded.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from asyppo_cli.runs.directory import RunDirectory, find_run, step_name
from asyppo_cli.runs.files.atomic import sync_to_disk
from asyppo_cli.runs.files.disk import explain_failed_writes, unusable

MARKER = "complete.json"
PARTIAL = ".partial-"
REPLACED = ".replaced-"
RESCUED = "rescued-"


class PartialSaveError(RuntimeError):
    """A part of a checkpoint could not be written, and all other parts have been."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder whose marker says that it is complete; ``metric`` is what the best is chosen by.

    ``fault`` says why training should not continue from it: it was written while the run diverged.
    """

    path: Path
    step: int
    metric: float | None
    files: dict[str, Any]
    fault: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry["size"] for entry in self.files.values())

    def damage(self, thorough: bool) -> str | None:
        """What is wrong with the files, or None; ``thorough`` reads them all."""
        for name, entry in self.files.items():
            file = self.path / name
            size = file.stat().st_size if file.is_file() else None
            if size != entry["size"]:
                return f"{name} is missing" if size is None else f"{name} has {size} bytes instead of {entry['size']}"
            if thorough and _digest(file) != entry["sha256"]:
                return f"the contents of {name} have changed"
        return None


def checkpoints(directory: Path) -> list[Checkpoint]:
    """All complete checkpoints by step, files not looked at; anybody may ask at any time."""
    found = (_read_marker(path) for path in sorted(directory.glob("step-*")))
    return [checkpoint for checkpoint in found if checkpoint is not None]


def good(found: list[Checkpoint]) -> list[Checkpoint]:
    """Those without a fault."""
    return [checkpoint for checkpoint in found if checkpoint.fault is None]


def best_checkpoint(found: list[Checkpoint]) -> Checkpoint | None:
    """The one of the highest metric, the newest of equals; None where no metric is known."""
    scored = [(c.metric, c.step, c) for c in good(found) if c.metric is not None and math.isfinite(c.metric)]
    return max(scored, key=lambda entry: entry[:2])[2] if scored else None


def split_checkpoint(runs_dir: Path, word: str) -> tuple[str, str | None]:
    """The run and the checkpoint that ``RUN[@STEP]`` names; ``@`` may also be part of a run's name."""
    name, at, which = word.rpartition("@")
    return (word, None) if not at or RunDirectory(runs_dir / word).exists() else (name, which or None)


def find_checkpoint(runs_dir: Path, word: str, default: Literal["best", "latest"]) -> tuple[RunDirectory, Checkpoint]:
    """The run and the checkpoint that ``RUN[@STEP]`` names; its files are not read.

    Raises:
        ValueError: no such run, or it has kept no such checkpoint.
    """
    name, which = split_checkpoint(runs_dir, word)
    run = find_run(runs_dir, name)
    return run, choose_checkpoint(run, which or default)[0]


def choose_checkpoint(run: RunDirectory, which: str | None) -> tuple[Checkpoint, str]:
    """The checkpoint and the reason for it. ``which`` is a step, ``best`` or ``latest``; None: best, else latest.

    Raises:
        ValueError: the run has kept no such checkpoint.
    """
    found = checkpoints(run.checkpoints)
    if not found:
        raise ValueError(
            f"run {run.name} has no complete checkpoint: train it to its end, or with checkpoints.every=STEPS"
        )
    best = best_checkpoint(found)
    steps = ", ".join(str(checkpoint.step) for checkpoint in found)
    if which == "latest" or (which is None and best is None):
        return found[-1], "its newest"
    if which in (None, "best"):
        if best is None:
            raise ValueError(f"run {run.name} has ranked no checkpoint: take {run.name}@latest or one of steps {steps}")
        return best, f"its best ({100 * (best.metric or 0.0):.1f} % held-out); newest: {run.name}@latest"
    if not which.isdecimal():
        raise ValueError(f"{run.name}@{which}: name a checkpoint by its step ({steps}), best or latest")
    nearest = min(found, key=lambda checkpoint: abs(checkpoint.step - int(which)))
    if nearest.step != int(which):
        raise ValueError(
            f"run {run.name} has kept no checkpoint of step {which}: nearest is {run.name}@{nearest.step}, it has "
            f"{steps}, best and latest (checkpoints.every and checkpoints.keep decide)"
        )
    return nearest, "as asked"


def latest_checkpoint(directory: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is complete, good and undamaged (every file is read); a notice for each one skipped.

    Raises:
        ValueError: there are checkpoints, and none can be used.
    """
    notices: list[str] = []
    for path in sorted(directory.glob("step-*"), reverse=True):
        checkpoint = _read_marker(path)
        if checkpoint is None:
            notices.append(f"checkpoint {path.name} is skipped: it was never completed")
        elif reason := checkpoint.fault or checkpoint.damage(thorough=True):
            notices.append(f"checkpoint {path.name} is skipped: {reason}")
        else:
            return checkpoint, notices
    if notices:
        raise ValueError(f"no checkpoint in {directory} can be used: {'; '.join(notices)}; start over with --fresh")
    return None, []


class CheckpointStore:
    """Writes and prunes checkpoints. Only the process that holds the run's lock may have one: it clears leftovers."""

    def __init__(self, directory: Path, keep: int) -> None:
        assert keep >= 1, f"keep must be at least 1, not {keep}"
        self.directory = directory
        self._keep = keep
        directory.mkdir(parents=True, exist_ok=True)
        self._clear_leftovers()

    def rehearse(self, fill: Callable[[Path], object]) -> None:
        """Let ``fill`` write what a checkpoint holds into a scratch folder, and delete it again.

        Raises:
            RuntimeError: it cannot be written; says why.
        """
        scratch = self.directory / f"{PARTIAL}rehearsal"
        try:
            with explain_failed_writes(self.directory, "there is no room for a checkpoint: make room before training"):
                scratch.mkdir()
                fill(scratch)
        except PartialSaveError as error:
            raise RuntimeError(f"a checkpoint cannot be written (tried before training): {error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def write(self, step: int, fill: Callable[[Path], str | None], metric: float | None) -> Checkpoint:
        """Let ``fill`` put files into a folder and make it the checkpoint of ``step``; an older one is replaced.

        What ``fill`` returns becomes the checkpoint's fault.

        Raises:
            RuntimeError: the disk is full, or ``fill`` raised :class:`PartialSaveError`: what it has written is kept in
                ``rescued-step-N``. All earlier checkpoints are as they were.
        """
        target = self.directory / step_name(step)
        partial = self.directory / f"{PARTIAL}{target.name}"
        consequence = (
            f"the checkpoint of step {step} could not be written to {self.directory}; earlier ones are untouched: "
            "make room, or delete the oldest of them, then go on with --resume"
        )
        with explain_failed_writes(self.directory, consequence):
            try:
                partial.mkdir()
                self._complete(partial, step, metric, fill(partial))
                self._put_in_place(partial, target)
            except PartialSaveError as error:
                raise self._rescue(partial, step, metric, error) from error
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        self._prune()
        checkpoint = _read_marker(target)
        assert checkpoint is not None
        return checkpoint

    def latest(self) -> tuple[Checkpoint | None, list[str]]:
        """See :func:`latest_checkpoint`."""
        return latest_checkpoint(self.directory)

    def best(self) -> Checkpoint | None:
        """See :func:`best_checkpoint`."""
        return best_checkpoint(checkpoints(self.directory))

    def _rescue(self, partial: Path, step: int, metric: float | None, error: PartialSaveError) -> RuntimeError:
        """Keep what was written as a complete folder under another name; returns what to raise."""
        rescued = self.directory / f"{RESCUED}{step_name(step)}"
        self._complete(partial, step, metric, None)
        shutil.rmtree(rescued, ignore_errors=True)
        partial.rename(rescued)
        return RuntimeError(
            f"the checkpoint of step {step} could not be written: {error}; what was written is in {rescued}: to "
            f"continue from it, rename it to {step_name(step)} and use --resume"
        )

    def _complete(self, folder: Path, step: int, metric: float | None, fault: str | None) -> None:
        """Everything to the disk, and the marker last."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        manifest = {
            path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": _digest(path)}
            for path in files
        }
        for path in files:
            sync_to_disk(path)
        finite = metric if metric is not None and math.isfinite(metric) else None
        marker = folder / MARKER
        marker.write_text(json.dumps({"step": step, "metric": finite, "fault": fault, "files": manifest}, indent=1))
        for path in (marker, *(path for path in folder.rglob("*") if path.is_dir()), folder):
            sync_to_disk(path)

    def _put_in_place(self, partial: Path, target: Path) -> None:
        """A folder cannot be renamed over a full one: the old one steps aside, and back if we die in between."""
        old = self.directory / f"{REPLACED}{target.name}"
        if target.exists():
            target.rename(old)
        partial.rename(target)
        sync_to_disk(self.directory)
        shutil.rmtree(old, ignore_errors=True)

    def _prune(self) -> None:
        found = checkpoints(self.directory)
        best = best_checkpoint(found)
        kept = {checkpoint.step for checkpoint in [*good(found)[-self._keep :], *found[-1:], *([best] if best else [])]}
        for checkpoint in found:
            if checkpoint.step not in kept:
                doomed = self.directory / f"{PARTIAL}old-{checkpoint.path.name}"
                checkpoint.path.rename(doomed)
                shutil.rmtree(doomed)

    def _clear_leftovers(self) -> None:
        """What a process left that died while writing, replacing or pruning."""
        for old in self.directory.glob(f"{REPLACED}*"):
            target = self.directory / old.name.removeprefix(REPLACED)
            if target.exists():
                shutil.rmtree(old)
            else:
                old.rename(target)
        for partial in self.directory.glob(f"{PARTIAL}*"):
            shutil.rmtree(partial)


def _read_marker(path: Path) -> Checkpoint | None:
    """The checkpoint in a folder, or None if it has no whole marker."""
    try:
        marker = json.loads((path / MARKER).read_text())
        files = {str(name): {"size": int(f["size"]), "sha256": str(f["sha256"])} for name, f in marker["files"].items()}
        metric = None if marker["metric"] is None else float(marker["metric"])
        return Checkpoint(path, int(marker["step"]), metric, files, marker.get("fault"))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return None
    except OSError as error:
        raise unusable(path / MARKER, error) from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
