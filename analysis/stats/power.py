"""What a number of seeds can tell apart, and what is left of a finding after many were sought."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.stats.intervals import LEVEL, t_quantile

POWER = 0.8
MOST_SEEDS = 200


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p of each: below 5 % it stands although so many comparisons were made. NaN counts for nothing."""
    known = sorted((value, place) for place, value in enumerate(p) if math.isfinite(value))
    adjusted, least = [math.nan] * len(p), 0.0
    for rank, (value, place) in enumerate(known):
        least = max(least, min(1.0, (len(known) - rank) * value))
        adjusted[place] = least
    return adjusted


def detectable(spread: float, seeds: int, power: float = POWER, level: float = LEVEL) -> float:
    """The least true difference that so many paired seeds show in ``power`` of all cases; NaN of one seed.

    ``spread`` is the standard deviation of the differences over seeds. Two quantiles of Student's t in place of the
    noncentral one: right to a few percent, at three seeds too (tests/analysis/stats/test_power.py).
    """
    if seeds < 2 or not math.isfinite(spread):
        return math.nan
    return (t_quantile((1 + level) / 2, seeds - 1) + t_quantile(power, seeds - 1)) * spread / math.sqrt(seeds)


def seeds_needed(spread: float, difference: float) -> int | None:
    """So many paired seeds show a true difference of that size in four of five cases; None beyond the sensible."""
    if not math.isfinite(spread) or not difference:
        return None
    return next((n for n in range(2, MOST_SEEDS + 1) if detectable(spread, n) <= abs(difference)), None)
