"""The protocol of what shows a training run: a live display, plain lines, a log, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Monitor(Protocol):
    """Shows a run while it trains."""

    def start(self, title: str, max_steps: int, step: int) -> None:
        """A run begins, or goes on after ``step`` finished steps."""
        ...

    def phase(self, name: str) -> None:
        """The step enters a phase: sample, grade, values, critics, policy, evaluate, save."""
        ...

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Step number ``step`` (from 1) is done; step 0 carries the evaluation before training."""
        ...

    def note(self, text: str) -> None:
        """Something the user should know, said once, in one line."""
        ...

    def close(self) -> None:
        """The run is over; leave the terminal clean."""
        ...
