"""Trials side by side, to the end: what is finished stays, what was interrupted goes on, what fails is written down.

Knows processes and run directories, and no trainer: how a trial is started is handed in.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any, Literal, Protocol

from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.status import read_status
from sweeps.grid import Trial
from sweeps.standing import Progress, clear_preamble, progress, run_of, standing

# Seconds between two looks at the processes.
INTERVAL = 0.2

State = Literal["finished", "failed", "interrupted"]


@dataclass(frozen=True)
class Outcome:
    """How a trial ended; ``reason`` says why it failed, ``repeated`` is False where it was finished before."""

    trial: Trial
    state: State
    reason: str | None = None
    repeated: bool = True


class Watch(Protocol):
    """Who is told how a sweep gets on."""

    def started(self, trial: Trial, resumed: bool) -> None:
        """A trial begins or goes on."""
        ...

    def progress(self, trial: Trial, progress: Progress) -> None:
        """A trial has done a step or an evaluation."""
        ...

    def ended(self, outcome: Outcome) -> None:
        """A trial is over, or was before."""
        ...

    def stopping(self, running: int) -> None:
        """A signal came: ``running`` trials are finishing their step."""
        ...


@dataclass
class Job:
    """A trial under way; without a process of ours, another one's is waited for. ``read`` bytes of metrics are told."""

    trial: Trial
    process: Popen[bytes] | None
    signals: int = 0
    read: int = 0


@dataclass
class Signals:
    """Signals that came: how many, and the last one's number."""

    count: int = 0
    number: int = signal.SIGTERM


@dataclass(frozen=True)
class Place:
    """Where the trials of a sweep lie, how one is started, and where the last error line of a failed one is found."""

    folder: Path
    launch: Callable[[Trial], Popen[bytes]]
    why: Callable[[Trial], str | None]


def run_trials(trials: Sequence[Trial], place: Place, jobs: int, watch: Watch) -> list[Outcome]:
    """Run the trials, ``jobs`` at once; returns an outcome for each that was begun, and for each finished before.

    SIGINT and SIGTERM are handed on to the trials, which save and stop, and no other is begun.
    """
    with _catching() as caught:
        sweep = _Sweep(place, watch, caught, deque(trials))
        while sweep.running or (sweep.waiting and not caught.count):
            while sweep.waiting and len(sweep.running) < jobs and not caught.count:
                sweep.begin(sweep.waiting.popleft())
            sweep.hand_on()
            for job in list(sweep.running):
                sweep.look_at(job)
            if sweep.running:
                time.sleep(INTERVAL)
    return sweep.outcomes


@dataclass
class _Sweep:
    """Trials that wait, that run, and that are over."""

    place: Place
    watch: Watch
    caught: Signals
    waiting: deque[Trial]
    running: list[Job] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def begin(self, trial: Trial) -> None:
        """Start a trial, unless it is finished, or a process that a killed sweep left is saving it still."""
        run = run_of(self.place.folder, trial.name)
        clear_preamble(run)
        match standing(run):
            case "finished":
                self._over(Outcome(trial, "finished", repeated=False))
            case "held":
                self.running.append(Job(trial, None))
            case there:
                self.watch.started(trial, there == "begun")
                self.running.append(Job(trial, self.place.launch(trial)))

    def hand_on(self) -> None:
        """Every signal once to every process of ours; another's is left to it."""
        new = [job for job in self.running if job.signals < self.caught.count]
        for job in new:
            if job.process is not None:
                job.process.send_signal(self.caught.number)
            job.signals = self.caught.count
        if new:
            self.watch.stopping(len(new))

    def look_at(self, job: Job) -> None:
        """Tell of a new evaluation, and take the job out when it has ended."""
        run = run_of(self.place.folder, job.trial.name)
        size = run.metrics.stat().st_size if run.metrics.exists() else 0
        if size != job.read:
            job.read = size
            self.watch.progress(job.trial, progress(run))
        if job.process is None:
            self._look_at_another(job, run)
        elif job.process.poll() is not None:
            self.running.remove(job)
            self._over(self._outcome(job.trial, run, job.process.returncode))

    def _look_at_another(self, job: Job, run: RunDirectory) -> None:
        """A trial that another process trained is ours as soon as that lets go."""
        if self.caught.count:
            self.running.remove(job)
            self._over(Outcome(job.trial, "interrupted"))
        elif standing(run) != "held":
            self.running.remove(job)
            self.waiting.appendleft(job.trial)

    def _outcome(self, trial: Trial, run: RunDirectory, code: int) -> Outcome:
        status = read_status(run.status)
        state = None if status is None else status.state
        if state == "finished":
            return Outcome(trial, "finished")
        if self.caught.count or state == "interrupted":
            return Outcome(trial, "interrupted")
        return Outcome(trial, "failed", self.place.why(trial) or _told_by(code))

    def _over(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.watch.ended(outcome)


def _told_by(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code} and no word"


@contextmanager
def _catching() -> Iterator[Signals]:
    """Count SIGINT and SIGTERM instead of dying of them."""
    caught = Signals()

    def handle(number: int, _frame: Any) -> None:
        caught.count += 1
        caught.number = number

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
