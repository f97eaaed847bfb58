"""The smallest difference that a number of seeds can show, and p-values corrected for many comparisons."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.stats.intervals import LEVEL, t_quantile

POWER = 0.8
MAX_SEEDS = 200


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p of each, in their order; NaN is no comparison."""
    known = sorted((value, place) for place, value in enumerate(p) if math.isfinite(value))
    adjusted, least = [math.nan] * len(p), 0.0
    for rank, (value, place) in enumerate(known):
        least = max(least, min(1.0, (len(known) - rank) * value))
        adjusted[place] = least
    return adjusted


def detectable(spread: float, seeds: int) -> float:
    """The smallest true difference that paired seeds show in 80 % of all cases; NaN of one seed.

    ``spread`` is the standard deviation of the differences over seeds. Two quantiles of Student's t replace the
    noncentral one: right to a few percent, at three seeds too (tests/analysis/stats/test_power.py).
    """
    if seeds < 2 or not math.isfinite(spread):
        return math.nan
    return (t_quantile((1 + LEVEL) / 2, seeds - 1) + t_quantile(POWER, seeds - 1)) * spread / math.sqrt(seeds)


def seeds_needed(spread: float, difference: float) -> int | None:
    """Paired seeds that show a true difference of that size in 80 % of all cases; None above :data:`MAX_SEEDS`."""
    if not math.isfinite(spread) or not difference:
        return None
    return next((n for n in range(2, MAX_SEEDS + 1) if detectable(spread, n) <= abs(difference)), None)
