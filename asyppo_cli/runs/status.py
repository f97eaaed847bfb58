"""How a run stands: one small file that is rewritten after every step."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from asyppo_cli.runs.files.atomic import replace_text
from asyppo_cli.runs.files.disk import unusable

State = Literal["running", "finished", "interrupted", "failed"]


@dataclass(frozen=True)
class RunStatus:
    """State, process and progress of a run; times are ISO 8601 in UTC, ``message`` says why a run failed."""

    state: State
    pid: int
    step: int
    max_steps: int
    started: str
    updated: str
    ended: str | None = None
    message: str | None = None


def begin(path: Path, max_steps: int, step: int, now: datetime) -> RunStatus:
    """This process starts the run, or goes on with it after ``step`` steps; the first start's time is kept."""
    known = read_status(path)
    started = timestamp(now) if known is None else known.started
    return _write(path, RunStatus("running", os.getpid(), step, max_steps, started, timestamp(now)))


def advance(path: Path, status: RunStatus, step: int, now: datetime) -> RunStatus:
    """Step ``step`` is done."""
    return _write(path, replace(status, step=step, updated=timestamp(now)))


def end(path: Path, status: RunStatus, state: State, now: datetime, message: str | None = None) -> RunStatus:
    """This attempt is over."""
    at = timestamp(now)
    return _write(path, replace(status, state=state, updated=at, ended=at, message=message))


def read_status(path: Path) -> RunStatus | None:
    """The status in a file; None where there is none yet.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unusable(path, error) from error
    try:
        known = json.loads(text)
        status = RunStatus(**{field.name: known[field.name] for field in fields(RunStatus)})
        datetime.fromisoformat(status.updated)
        numbers = (status.step, status.max_steps, status.pid)
        if status.state not in get_args(State) or not all(isinstance(number, int) for number in numbers):
            raise ValueError("a value of another kind")
    except (ValueError, KeyError, TypeError) as error:
        raise unusable(path, error, "delete it, the run itself does not need it") from error
    return status


def timestamp(now: datetime) -> str:
    """ISO 8601 in UTC, to the second."""
    return now.astimezone(UTC).isoformat(timespec="seconds")


def _write(path: Path, status: RunStatus) -> RunStatus:
    replace_text(path, json.dumps(asdict(status), indent=1) + "\n")
    return status
