"""A number with its 95 % interval, the only kind of interval in this package, and the t distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass

LEVEL = 0.95
MAX_DIGITS = 6


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval; the ends are NaN where too few seeds or responses are known."""

    value: float
    low: float
    high: float

    @property
    def halfwidth(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2

    @property
    def known(self) -> bool:
        """Whether there is an interval at all."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def holds(self, value: float) -> bool:
        """Whether the value lies in the interval, ends included."""
        return self.low <= value <= self.high

    def words(self, scale: float = 1.0, digits: int = 2, unit: str = "") -> str:
        """``0.31 (95 % interval 0.28 to 0.34)``, or that there is none; more digits where the interval is narrow."""
        half = abs(scale) * self.halfwidth
        if self.known and half > 0:
            digits = min(max(digits, math.ceil(-math.log10(half)) + 1), MAX_DIGITS)
        # Adding 0 turns the minus before a rounded zero into a plus.
        number, low, high = (f"{round(scale * x, digits) + 0.0:.{digits}f}" for x in (self.value, self.low, self.high))
        interval = f"95 % interval {low} to {high}" if self.known else "too few responses for an interval"
        return f"{number}{unit} ({interval})"


def t_quantile(probability: float, freedom: int) -> float:
    """The value below which Student's t with ``freedom`` degrees of freedom lies with that probability."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def t_probability(t: float, freedom: int) -> float:
    """Two-sided probability that Student's t with ``freedom`` degrees of freedom lies farther from 0 than ``t``."""
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(t)))
