"""Which numbers of a run are shown, in which order and form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from asyppo_cli.display.drawing import Kind, format_value


@dataclass(frozen=True)
class Row:
    """One number: its label, the metrics it is read from (several: shown side by side, drawn as their mean).

    ``short`` is its label in plain lines, which have only rows with one; ``better`` the direction to hope for;
    ``halfwidth`` the metric with half the width of its interval.
    """

    label: str
    metrics: tuple[str, ...]
    kind: Kind
    short: str = ""
    better: Literal["high", "low"] | None = None
    halfwidth: str | None = None

    def value(self, metrics: Mapping[str, float]) -> float | None:
        """Mean of the metrics that are there and finite, or None."""
        known = [metrics[name] for name in self.metrics if math.isfinite(metrics.get(name, math.nan))]
        return sum(known) / len(known) if known else None

    def text(self, metrics: Mapping[str, float]) -> str:
        """The value, or all of them, as shown."""
        if len(self.metrics) == 1:
            return format_value(self.value(metrics), self.kind)
        known = [metrics.get(name, math.nan) for name in self.metrics]
        return " ".join(f"{value:.2f}" if math.isfinite(value) else "-" for value in known)


@dataclass(frozen=True)
class Board:
    """Rows in order of importance (a low terminal shows the first ones), the first of them evaluated now and then.

    ``phases`` is what names of a phase's seconds begin with, ``step_time`` the seconds of a whole step.
    """

    rows: tuple[Row, ...]
    phases: str
    step_time: str


@dataclass
class History:
    """All values of a board's rows so far."""

    board: Board
    last: dict[str, float] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, metrics: Mapping[str, float]) -> None:
        """Take one step's metrics; a row without a value keeps its last."""
        self.last.update({name: value for name, value in metrics.items() if math.isfinite(value)})
        for row in self.board.rows:
            value = row.value(metrics)
            if value is not None:
                self.values.setdefault(row.label, []).append(value)

    def of(self, row: Row) -> list[float]:
        """Values of a row, in order."""
        return self.values.get(row.label, [])
