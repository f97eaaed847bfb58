"""The progress of a sweep: a live table in a terminal, lines elsewhere."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from asyppo_cli import console
from asyppo_cli.display.trials import LiveTrials, SweepBoard, TrialRow
from asyppo_cli.runs.studies import StudyTrial, TrialState
from sweeps.definition.grid import Trial

# In the order in which they are shown.
STATES: tuple[TrialState, ...] = ("finished", "pruned", "failed", "interrupted", "running", "waiting")
OVER = ("finished", "pruned", "failed")


class SweepProgress:
    """Keeps the board of a sweep; without a live table, prints a line for every start, evaluation and end."""

    def __init__(self, title: str, metric: str, jobs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.board = SweepBoard(title, metric)
        self._jobs, self._clock = jobs, clock
        live = console.is_terminal() and console.shows_unicode()
        self._table = LiveTrials(self.board) if live else None
        self._started: dict[str, float] = {}
        self._durations: list[float] = []
        self._first = True

    def close(self) -> None:
        """Leave the table on the screen."""
        if self._table is not None:
            self._table.close()

    def polled(self, counts: Mapping[TrialState, int]) -> None:
        """Show the counts; the first time, say what was over before."""
        self._set_counts(counts)
        over = counts.get("finished", 0) + counts.get("pruned", 0)
        if self._first and over:
            self._note(f"{over} of {sum(counts.values())} trials are finished and are not repeated")
        self._first = False

    def started(self, trial: Trial, resumed: bool) -> None:
        """Add a row."""
        self._started[trial.name] = self._clock()
        state = "resumed" if resumed else "starting"
        self.board.rows[trial.name] = TrialRow(trial.name, trial.setting, state)
        # An attempt may be waiting though the run exists, if its worker was killed before it could release it.
        self._move("interrupted" if resumed and self.board.counts.get("interrupted") else "waiting", "running")
        self._log(trial.name, "resumed" if resumed else "started")

    def progressed(self, trial: Trial, step: int, max_steps: int, evaluation: tuple[int, float] | None) -> None:
        """Update the row; print evaluations."""
        row = self.board.rows[trial.name]
        row.step, row.max_steps, row.state = step, max_steps, "running"
        self.board.seconds_left = self._seconds_left()
        if evaluation is not None:
            evaluated, row.value = evaluation
            self._log(trial.name, f"step {evaluated} of {max_steps}, {self.board.metric} {row.value:.4g}")

    def ended(self, trial: StudyTrial) -> None:
        """Remove the row and print the outcome."""
        # A reused trial ends without having been started here.
        source: TrialState = "running" if self.board.rows.pop(trial.name, None) else "waiting"
        if trial.name in self._started and trial.state == "finished":
            self._durations.append(self._clock() - self._started[trial.name])
        self._move(source, trial.state)
        values = ", ".join(f"{value:.4g}" for value in trial.values)
        detail = f": {trial.reason}" if trial.reason else f" with {values}" if values else ""
        self._log(trial.name, trial.state + detail, always=trial.state == "failed")

    def stopping(self, running: int) -> None:
        """Say that the trials save and stop."""
        trials = "1 trial is finishing its step" if running == 1 else f"{running} trials are finishing their step"
        self._note(f"{trials} and saving; press Ctrl-C again to stop at once")
        for row in self.board.rows.values():
            row.state = "stopping"

    def _move(self, source: TrialState, target: TrialState) -> None:
        """Update the counts between two polls."""
        counts: dict[TrialState, int] = {state: self.board.counts.get(state, 0) for state in STATES}
        counts[source] = max(0, counts[source] - 1)
        counts[target] += 1
        self._set_counts(counts)

    def _set_counts(self, counts: Mapping[TrialState, int]) -> None:
        self.board.counts = {state: counts.get(state, 0) for state in STATES}
        self.board.seconds_left = self._seconds_left()

    def _log(self, name: str, text: str, always: bool = False) -> None:
        if always or self._table is None:
            counts = self.board.counts
            over = sum(counts.get(state, 0) for state in OVER)
            self._note(f"[{over}/{sum(counts.values())}]  {name}  {text}")

    def _note(self, text: str) -> None:
        (console.print if self._table is None else self._table.note)(text)

    def _seconds_left(self) -> float | None:
        """By the mean duration of the trials that finished here, or else by the pace of those that run."""
        rows, counts = self.board.rows.values(), self.board.counts
        durations = self._durations or [
            (self._clock() - self._started[row.name]) / row.share for row in rows if row.share > 0
        ]
        if not durations:
            return None
        left = sum(number for state, number in counts.items() if state not in OVER)
        done = sum(row.share for row in rows)
        return max(0.0, statistics.fmean(durations) * (left - done) / self._jobs)
