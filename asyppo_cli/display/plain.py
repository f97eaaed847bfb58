"""Plain lines, for pipes, logs and dumb terminals."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from asyppo_cli import console
from asyppo_cli.display.board import Board
from asyppo_cli.display.drawing import format_duration, format_value


class PlainMonitor:
    """One aligned line a step; steps that follow faster than ``every`` seconds are left out, evaluations never."""

    def __init__(self, board: Board, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._board, self._every, self._clock = board, every, clock
        self._max_steps: int | None = None
        self._printed = -float("inf")
        self._began = clock()
        self._first = 0

    def start(self, title: str, max_steps: int, step: int) -> None:
        """Print the title, and where a resumed run goes on."""
        self._max_steps, self._first, self._began = max_steps, step, self._clock()
        going_on = f", going on after step {step}" if step else ""
        self._line(f"{title}: {max_steps} steps{going_on}")

    def phase(self, name: str) -> None:
        """Print what is under way while nothing else is printed: before the first step."""
        if self._max_steps is None:
            self._line(f"{name} ...")

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Print the step's line, if it is due."""
        now = self._clock()
        evaluated = self._board.rows[0].value(metrics) is not None
        if not evaluated and step != self._max_steps and now - self._printed < self._every:
            return
        self._printed = now
        self._line(self._describe(step, metrics, now))

    def note(self, text: str) -> None:
        """Print a note."""
        self._line(f"note: {text}")

    def close(self) -> None:
        """Nothing to leave."""

    def _describe(self, step: int, metrics: Mapping[str, float], now: float) -> str:
        total = str(self._max_steps)
        parts = [f"step {step:>{len(total)}}/{total}"]
        for row in self._board.rows:
            if row.short:
                known = row.value(metrics) is not None
                parts.append(f"{row.short} {row.text(metrics) if known else '-':<{_width(row.metrics, row.kind)}}")
        if self._board.step_time in metrics:
            parts.append(f"{format_value(metrics[self._board.step_time], 'seconds')}")
        done = step - self._first
        if done and self._max_steps:
            left = (now - self._began) / done * (self._max_steps - step)
            parts.append(f"{format_duration(left)} left")
        return "  ".join(parts).rstrip()

    def _line(self, text: str) -> None:
        console.print(" ".join(text.splitlines()))


def _width(metrics: tuple[str, ...], kind: str) -> int:
    """Characters that keep the columns below each other."""
    if len(metrics) > 1:
        return 6 * len(metrics) - 1
    return {"percent": 6, "number": 6, "length": 5, "count": 6}.get(kind, 8)
