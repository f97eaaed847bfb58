"""Differences of settings to a baseline, paired by seed, and the verdicts that their intervals allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.stats.power import detectable, holm
from analysis.stats.seed_bootstrap import ROUNDING, SeedMean, seed_means
from asyppo_cli.runs.studies import Direction

Seed = int | None
Verdict = Literal["better", "worse", "higher", "lower", "no difference", "cannot tell"]


@dataclass(frozen=True)
class Effect:
    """``setting`` minus ``baseline`` over the seeds that both have.

    ``verdict`` is what the interval alone allows; ``holm`` is p after Holm's correction for all comparisons made.
    """

    setting: str
    baseline: str
    difference: SeedMean
    holm: float
    verdict: Verdict

    @property
    def detectable(self) -> float:
        """The smallest difference that these seeds show in 80 % of all cases, in the metric's own unit."""
        return detectable(self.difference.spread, self.difference.seeds)


def effects(
    values: Mapping[str, Mapping[Seed, float]], baseline: str | None, direction: Direction | None = None
) -> list[Effect]:
    """Every other setting against the baseline over their common seeds, the best first (without a direction, in order).

    ``values`` are the numbers of each setting by seed.
    """
    if baseline is None or baseline not in values:
        return []
    own = values[baseline]
    paired = {
        (name, baseline): [minus(other[seed], own[seed]) for seed in own if seed in other]
        for name, other in values.items()
        if name != baseline
    }
    rows = effects_of(paired, direction)
    sign = direction_sign(direction)
    return rows if direction is None else sorted(rows, key=lambda row: (-sign * row.difference.mean, row.setting))


def effects_of(samples: Mapping[tuple[str, str], Sequence[float]], direction: Direction | None) -> list[Effect]:
    """The effect of each (setting, baseline) from its differences by seed; pairs without a common seed are left out."""
    known = {pair: differences for pair, differences in samples.items() if differences}
    found = seed_means(list(known.values()), "differences")
    rows = zip(known, found, holm([difference.p for difference in found]), strict=True)
    return [Effect(*pair, difference, p, verdict_of(difference, direction)) for pair, difference, p in rows]


def minus(a: float, b: float) -> float:
    """The difference, and 0 where both are equal but for rounding."""
    return 0.0 if abs(a - b) <= ROUNDING * max(abs(a), abs(b)) else a - b


def direction_sign(direction: Direction | None) -> int:
    """1 where more is better, -1 where less is."""
    return -1 if direction == "minimize" else 1


def verdict_of(difference: SeedMean, direction: Direction | None) -> Verdict:
    """The verdict that the interval of a difference allows; without a direction it is higher or lower, not better."""
    if not difference.known:
        return "cannot tell"
    if difference.holds(0.0):
        return "no difference"
    if direction is None:
        return "higher" if difference.mean > 0 else "lower"
    return "better" if direction_sign(direction) * difference.mean > 0 else "worse"


def seed_order(seed: Seed) -> tuple[bool, int]:
    """Sorts trials without a seed first."""
    return seed is not None, seed or 0
