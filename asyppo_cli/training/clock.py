"""Seconds of each phase of a step, and when each began and ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter, time

from asyppo_cli.monitor import Monitor
from asyppo_cli.runs import metrics as names

TRAINER = "trainer"


@dataclass(frozen=True)
class Span:
    """A phase as it happened: ``track`` names the thread of work; ``start`` and ``end`` are seconds since the epoch."""

    track: str
    phase: str
    start: float
    end: float


class Clock:
    """Times the phases of one track and reports each to the monitor; None: work beside what the monitor shows."""

    def __init__(self, monitor: Monitor | None, track: str = TRAINER) -> None:
        self._monitor, self._track = monitor, track
        self.seconds: dict[str, float] = {}
        self.spans: list[Span] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the block as phase ``name``; the same name adds up."""
        if self._monitor is not None:
            self._monitor.phase(name)
        began, start = time(), perf_counter()
        yield
        seconds = perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self.spans.append(Span(self._track, name, began, began + seconds))

    def include(self, other: Clock) -> None:
        """Add what another clock has timed, such as the sampling of this step's batch during the step before."""
        for name, seconds in other.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self.spans.extend(other.spans)

    def metrics(self) -> dict[str, float]:
        """The seconds under the names of metrics."""
        return {names.time(name): seconds for name, seconds in self.seconds.items()}
