"""What the run directory of a trial holds: nothing, a run to go on with, one in other hands, a finished one."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from asyppo_cli.runs.directory import LOCK, RunDirectory
from asyppo_cli.runs.files.lock import is_locked
from asyppo_cli.runs.listing import diff_configs, read_config
from asyppo_cli.runs.metrics import STEP
from asyppo_cli.runs.status import read_status
from sweeps.definition.objectives import Tail

# new: nothing is there. begun: to be resumed. held: a process of a dead worker trains it. finished: not repeated.
Standing = Literal["new", "begun", "held", "finished"]
# What a run writes before it counts as one.
PREAMBLE = {LOCK, "overrides.yaml", "environment.json"}
# May differ between two calls of one sweep: it says how fast a trial runs, not what it computes.
THREADS = "learner.threads"


def standing(run: RunDirectory) -> Standing:
    """How far the trial in this run directory is."""
    if not run.exists():
        return "new"
    if is_locked(run.lock):
        return "held"
    status = read_status(run.status)
    return "finished" if status is not None and status.state == "finished" else "begun"


def check_same(run: RunDirectory, resolved: Mapping[str, Any]) -> None:
    """Nothing, if the run directory is free or holds a run of this very configuration.

    Raises:
        ValueError: it holds another one.
    """
    if not run.exists():
        return
    changed = [key for key in diff_configs(read_config(run), resolved) if key != THREADS]
    if changed:
        raise ValueError(
            f"{run.path} holds a run with another {', '.join(changed[:3])}: choose another --name for this sweep"
        )


def clear_preamble(run: RunDirectory) -> None:
    """Remove a folder that a process left which died before it had written the configuration; nothing else, ever."""
    if run.path.is_dir() and not run.exists() and not is_locked(run.lock):
        left = {path.name for path in run.path.iterdir() if not path.name.endswith(".partial")}
        if left <= PREAMBLE:
            shutil.rmtree(run.path)


@dataclass(frozen=True)
class TrialProgress:
    """Steps done and wanted, and the last evaluation: after which step (-1: none yet), and its value."""

    step: int
    max_steps: int
    evaluated: int = -1
    value: float = math.nan


def progress(
    run: RunDirectory, tail: Tail, before: TrialProgress, metric: str
) -> tuple[TrialProgress, list[tuple[int, float]]]:
    """How a trial gets on, and the evaluations by ``metric`` (step, value) that are new."""
    try:
        status = read_status(run.status)
    except ValueError:
        # Told when the trial is over, if it is so still.
        status = None
    step, last = (status.step, status.max_steps) if status is not None else (before.step, before.max_steps)
    new = [(int(row[STEP]), row[metric]) for row in tail.rows() if metric in row and STEP in row]
    evaluated, value = new[-1] if new else (before.evaluated, before.value)
    return TrialProgress(step, last, evaluated, value), new


def run_of(folder: Path, trial: str) -> RunDirectory:
    """The run directory of a trial."""
    return RunDirectory(folder / trial)
