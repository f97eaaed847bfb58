"""How a run stands: one small file that is rewritten after every step."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from asyppo_cli.runs.files.atomic import replace_text
from asyppo_cli.runs.files.disk import unusable
from asyppo_cli.runs.metrics import ACCURACY, REWARD_MEAN, STEP, STEP_TIME, time

State = Literal["running", "finished", "interrupted", "failed"]


@dataclass(frozen=True)
class Headline:
    """What a list of runs shows, kept in the status so that a list reads one small file a run.

    Accuracies are in [0, 1]; ``seconds`` are those of training and evaluation.
    """

    algorithm: str
    task: str
    accuracy_first: float | None = None
    accuracy_last: float | None = None
    accuracy_best: float | None = None
    reward: float | None = None
    seconds: float = 0.0

    def after(self, row: Mapping[str, float]) -> Headline:
        """With one more row of metrics."""
        known = {name: value for name, value in row.items() if math.isfinite(value)}
        accuracy = known.get(ACCURACY, self.accuracy_last)
        best = [value for value in (self.accuracy_best, known.get(ACCURACY)) if value is not None]
        return replace(
            self,
            accuracy_first=known.get(ACCURACY) if self.accuracy_first is None else self.accuracy_first,
            accuracy_last=accuracy,
            accuracy_best=max(best, default=None),
            reward=known.get(REWARD_MEAN, self.reward),
            seconds=self.seconds + known.get(STEP_TIME, 0.0) + known.get(time("evaluate"), 0.0),
        )


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
    headline: Headline | None = None


def begin(path: Path, max_steps: int, step: int, now: datetime, headline: Headline | None = None) -> RunStatus:
    """This process starts the run, or goes on with it after ``step`` steps; the first start's time is kept."""
    known = read_status(path)
    started = timestamp(now) if known is None else known.started
    status = RunStatus("running", os.getpid(), step, max_steps, started, timestamp(now), headline=headline)
    return _write(path, status)


def advance(path: Path, status: RunStatus, row: Mapping[str, float], now: datetime) -> RunStatus:
    """A step is done; ``row`` has its metrics."""
    headline = None if status.headline is None else status.headline.after(row)
    return _write(path, replace(status, step=int(row[STEP]), updated=timestamp(now), headline=headline))


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
        known: dict[str, Any] = json.loads(text)
        headline = known.pop("headline", None)
        status = RunStatus(**known, headline=headline and Headline(**headline))
        datetime.fromisoformat(status.updated)
        numbers = (status.step, status.max_steps, status.pid)
        if status.state not in get_args(State) or not all(isinstance(number, int) for number in numbers):
            raise ValueError("a value of another kind")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unusable(path, error, "delete it, the run itself does not need it") from error
    return status


def timestamp(now: datetime) -> str:
    """ISO 8601 in UTC, to the second."""
    return now.astimezone(UTC).isoformat(timespec="seconds")


def _write(path: Path, status: RunStatus) -> RunStatus:
    replace_text(path, json.dumps(asdict(status), indent=1) + "\n")
    return status
