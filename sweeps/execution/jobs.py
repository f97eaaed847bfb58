"""A trial under way, how it ended, who is told, and the signals that stop it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Literal, Protocol

from asyppo_cli.runs.studies import TrialState
from asyppo_cli.system import STOP_SIGNALS, catch_signals
from sweeps.definition.grid import Trial
from sweeps.definition.objectives import Tail
from sweeps.execution.devices import Share
from sweeps.execution.study_store import Held
from sweeps.execution.trial_directory import TrialProgress

State = Literal["finished", "failed", "interrupted", "pruned"]
# Why a worker stopped: all is over, its time is, or a signal came.
End = Literal["over", "budget", "told"]
Launch = Callable[[Trial, Share], Popen[bytes]]


@dataclass(frozen=True)
class Outcome:
    """How a turn ended; ``reason``: why it failed, ``values``: of the objectives, ``seconds``: what the run took."""

    trial: Trial
    state: State
    reason: str | None = None
    values: tuple[float, ...] = ()
    seconds: float | None = None


class Watch(Protocol):
    """Who is told how a sweep gets on."""

    def stands(self, counts: Mapping[TrialState, int]) -> None:
        """How many runs of the study stand how."""
        ...

    def started(self, trial: Trial, resumed: bool) -> None:
        """A trial begins or goes on."""
        ...

    def progress(self, trial: Trial, progress: TrialProgress) -> None:
        """A trial has done a step or an evaluation."""
        ...

    def ended(self, outcome: Outcome) -> None:
        """A trial is over."""
        ...

    def stopping(self, running: int) -> None:
        """A signal came: ``running`` trials are finishing their step."""
        ...


@dataclass
class Job:
    """A trial under way with its share of the machine; without a process of ours, another one's is waited for."""

    held: Held
    share: Share
    tail: Tail
    process: Popen[bytes] | None = None
    signals: int = 0
    progress: TrialProgress = field(default_factory=lambda: TrialProgress(0, 0))
    stopped: Literal["pruned", "lost"] | None = None

    @property
    def trial(self) -> Trial:
        """What is run."""
        return self.held.trial


@dataclass
class Signals:
    """Signals that came: how many, and the last one's number."""

    count: int = 0
    number: int = signal.SIGTERM


@dataclass(frozen=True)
class Place:
    """Where the trials lie, how one is started, where the last error line of a failed one is found, and the share of
    the machine for each of those that run side by side.
    """

    folder: Path
    launch: Launch
    why: Callable[[Trial], str | None]
    shares: Sequence[Share]


def told_by(code: int) -> str:
    """What a process's exit code says where the process itself said nothing."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code} and no word"


@contextmanager
def catching() -> Iterator[Signals]:
    """Count SIGINT and SIGTERM instead of dying of them."""
    caught = Signals()

    def handle(number: int) -> None:
        caught.count += 1
        caught.number = number

    with catch_signals(handle, STOP_SIGNALS, hangup=False):
        yield caught
