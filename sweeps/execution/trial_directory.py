"""The run directory of a trial: empty, to be resumed, in use by another process, or finished."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.files.lock import is_locked
from asyppo_cli.runs.listing import diff_configs, read_config
from asyppo_cli.runs.status import read_status

# begun: to be resumed. locked: a process whose worker was killed still trains or saves it.
Standing = Literal["new", "begun", "locked", "finished"]
# May differ between two calls of one sweep: it changes the speed of a trial, not its results.
THREADS = "learner.threads"


def run_of(folder: Path, trial: str) -> RunDirectory:
    """The run directory of a trial."""
    return RunDirectory(folder / trial)


def standing(run: RunDirectory) -> Standing:
    """The state of a trial's run directory; ValueError if its status is damaged."""
    if not run.exists():
        return "new"
    if is_locked(run.lock):
        return "locked"
    status = read_status(run.status)
    return "finished" if status is not None and status.state == "finished" else "begun"


def check_same(run: RunDirectory, resolved: Mapping[str, Any]) -> None:
    """ValueError if the run directory holds a run of another configuration."""
    if not run.exists():
        return
    changed = [key for key in diff_configs(read_config(run), resolved) if key != THREADS]
    if changed:
        raise ValueError(
            f"{run.path} holds a run with another {', '.join(changed[:3])}: choose another --name for this sweep"
        )
