"""Watching a sweep: a live table on a terminal, and plain lines elsewhere."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from asyppo_cli import console
from asyppo_cli.display.trials import LiveTrials, SweepBoard, TrialRow
from asyppo_cli.runs.studies import StudyTrial, TrialState
from sweeps.definition.grid import Trial
from sweeps.execution.jobs import Outcome
from sweeps.execution.trial_directory import TrialProgress

# In the order in which they are shown.
STATES: tuple[TrialState, ...] = ("finished", "pruned", "failed", "interrupted", "running", "waiting")


class View(Protocol):
    """Where lines go."""

    def note(self, text: str) -> None:
        """Show a line."""
        ...

    def close(self) -> None:
        """Nothing follows."""
        ...


class Lines:
    """Plain lines."""

    def note(self, text: str) -> None:
        """Print it."""
        console.print(text)

    def close(self) -> None:
        """Nothing to leave."""


class Watcher:
    """Keeps the board and says what happens; ``lines`` of every start and evaluation only where there is no table."""

    def __init__(self, title: str, metric: str, jobs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.board = SweepBoard(title, metric)
        self._jobs, self._clock = jobs, clock
        self._live = console.is_terminal() and console.shows_unicode()
        self._view: View = LiveTrials(self.board) if self._live else Lines()
        self._began: dict[str, float] = {}
        self._spent: list[float] = []
        self._told: dict[str, int] = {}
        self._before = True

    def close(self) -> None:
        """The sweep is over, or stopped."""
        self._view.close()

    def stands(self, counts: Mapping[TrialState, int]) -> None:
        """Keep the counts; the first time, say what was over before."""
        self.board.counts = {state: counts.get(state, 0) for state in STATES}
        self.board.seconds_left = self._seconds_left()
        over = counts.get("finished", 0) + counts.get("pruned", 0)
        if self._before and over:
            self._view.note(f"{over} of {sum(counts.values())} trials were over before, and are not repeated")
        self._before = False

    def started(self, trial: Trial, resumed: bool) -> None:
        """A trial begins or goes on."""
        self._began[trial.name] = self._clock()
        self.board.rows[trial.name] = TrialRow(trial.name, setting_of(trial), "goes on" if resumed else "starting")
        # A run directory that was begun may wait as well: its worker died before it could write anything down.
        self._move("interrupted" if resumed and self.board.counts.get("interrupted") else "waiting", "running")
        self._say(trial, "goes on" if resumed else "starts")

    def progress(self, trial: Trial, progress: TrialProgress) -> None:
        """Keep it; a line for every evaluation."""
        row = self.board.rows.setdefault(trial.name, TrialRow(trial.name, setting_of(trial)))
        row.step, row.max_steps, row.value, row.state = progress.step, progress.max_steps, progress.value, "running"
        self.board.seconds_left = self._seconds_left()
        if progress.evaluated > self._told.get(trial.name, -1):
            self._told[trial.name] = progress.evaluated
            self._say(
                trial, f"step {progress.evaluated} of {progress.max_steps}, {self.board.metric} {progress.value:.4g}"
            )

    def ended(self, outcome: Outcome) -> None:
        """A trial is over."""
        name = outcome.trial.name
        # What another study has run already ends without having begun here.
        source: TrialState = "running" if self.board.rows.pop(name, None) else "waiting"
        if name in self._began and outcome.state == "finished":
            self._spent.append(self._clock() - self._began[name])
        self._move(source, outcome.state)
        values = ", ".join(f"{value:.4g}" for value in outcome.values)
        told = f": {outcome.reason}" if outcome.reason else f" with {values}" if values else ""
        self._say(outcome.trial, outcome.state + told, always=outcome.state == "failed")

    def stopping(self, running: int) -> None:
        """A signal came."""
        trials = "1 trial is finishing its step" if running == 1 else f"{running} trials are finishing their step"
        self._view.note(f"{trials} and saving; once more to stop at once")
        for row in self.board.rows.values():
            row.state = "stopping"

    def _move(self, source: TrialState, target: TrialState) -> None:
        """Between two looks at the whole study the counts are kept by hand."""
        counts = dict(self.board.counts)
        counts[source] = max(0, counts.get(source, 0) - 1)
        counts[target] = counts.get(target, 0) + 1
        self.board.counts = {state: counts.get(state, 0) for state in STATES}

    def _say(self, trial: Trial, text: str, always: bool = False) -> None:
        if always or not self._live:
            counts = self.board.counts
            over = sum(counts.get(state, 0) for state in ("finished", "pruned", "failed"))
            self._view.note(f"[{over}/{sum(counts.values())}]  {trial.name}  {text}")

    def _seconds_left(self) -> float | None:
        """By the mean of the trials that have ended here, or by the pace of those that run."""
        now = self._clock()
        pace = [
            (now - self._began[row.name]) / row.share
            for row in self.board.rows.values()
            if row.share > 0 and row.name in self._began
        ]
        if not (self._spent or pace):
            return None
        mean = statistics.fmean(self._spent or pace)
        counts = self.board.counts
        open_ = counts.get("waiting", 0) + counts.get("interrupted", 0) + counts.get("running", 0)
        done = sum(row.share for row in self.board.rows.values())
        return max(0.0, mean * (open_ - done) / self._jobs)


def setting_of(trial: Trial) -> str:
    """The trial's setting as results call it."""
    return StudyTrial(trial.name, trial.point, trial.seed, "running", label=trial.label).setting
