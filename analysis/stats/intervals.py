"""Settings compared over seeds: means, paired differences, and what may be said of them.

Intervals are Student's t over seeds: a seed is one draw of everything that is random in a run. A bootstrap over three
seeds has ten resamples and is far too narrow; from five seeds on, :mod:`analysis.stats.seed_bootstrap` takes a better
one. Nothing is corrected for the number of comparisons here.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from analysis.stats.results import Result, by_setting

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` seeds and its interval; the ends are NaN where one seed says nothing about the spread."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def halfwidth(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2

    @property
    def known(self) -> bool:
        """Whether there is an interval at all."""
        return math.isfinite(self.low)

    def holds(self, value: float) -> bool:
        """Whether the value lies in the interval, ends included."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class SettingRow:
    """A setting over its seeds: accuracy in [0, 1], seconds of a whole run and of its median step."""

    setting: str
    seeds: tuple[int, ...]
    before: Interval
    after: Interval
    gained: Interval
    seconds: Interval
    step_seconds: Interval


@dataclass(frozen=True)
class Difference:
    """Accuracy after training of ``setting`` minus that of ``reference``, over the seeds that both have."""

    setting: str
    reference: str
    interval: Interval


def t_quantile(probability: float, freedom: int) -> float:
    """The value that Student's t with ``freedom`` degrees stays below with that probability (0.5 to 1, exclusive).

    With t = sqrt(freedom) tan(a) the density becomes cos(a)^(freedom - 1), whose integral is known; then bisection.
    """
    assert 0.5 <= probability < 1, probability
    assert freedom >= 1, freedom
    whole = _cosine_integral(math.pi / 2, freedom - 1)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        below = 0.5 + 0.5 * _cosine_integral(middle, freedom - 1) / whole
        low, high = (middle, high) if below < probability else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def t_probability(t: float, freedom: int) -> float:
    """Probability that Student's t with ``freedom`` degrees lies farther from 0 than ``t``, on either side."""
    assert freedom >= 1, freedom
    within = _cosine_integral(math.atan(abs(t) / math.sqrt(freedom)), freedom - 1)
    return max(0.0, 1.0 - within / _cosine_integral(math.pi / 2, freedom - 1))


def _cosine_integral(angle: float, power: int) -> float:
    """Integral I of cos^power from 0 to ``angle``, by parts: n I(n) = cos^(n-1) sin + (n-1) I(n-2)."""
    total = angle if power % 2 == 0 else math.sin(angle)
    for n in range(2 + power % 2, power + 1, 2):
        total = (math.cos(angle) ** (n - 1) * math.sin(angle) + (n - 1) * total) / n
    return total


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Mean of at least one value with its t interval."""
    assert values, "no value"
    mean, n = statistics.fmean(values), len(values)
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = t_quantile((1 + level) / 2, n - 1) * statistics.stdev(values) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def paired_difference(reference: Mapping[int, float], other: Mapping[int, float]) -> Interval | None:
    """``other`` minus ``reference``, both by seed, over the seeds that both have; None if there is none."""
    common = sorted(reference.keys() & other.keys())
    return mean_interval([other[seed] - reference[seed] for seed in common]) if common else None


def setting_rows(results: Iterable[Result]) -> list[SettingRow]:
    """A row for every setting, in the order met."""
    return [_row(setting, runs) for setting, runs in by_setting(results).items()]


def _row(setting: str, runs: Sequence[Result]) -> SettingRow:
    return SettingRow(
        setting=setting,
        seeds=tuple(run.seed for run in runs),
        before=mean_interval([run.before for run in runs]),
        after=mean_interval([run.after for run in runs]),
        gained=mean_interval([run.after - run.before for run in runs]),
        seconds=mean_interval([run.seconds for run in runs]),
        step_seconds=mean_interval([run.step_seconds for run in runs]),
    )


def differences(results: Iterable[Result], reference: str | None = None) -> list[Difference]:
    """Every other setting against the reference (the first met), as far as they have seeds in common."""
    groups = by_setting(results)
    first = next(iter(groups), None) if reference is None else reference
    if first not in groups:
        return []
    scores = {setting: {run.seed: run.after for run in runs} for setting, runs in groups.items()}
    pairs = ((setting, paired_difference(scores[first], scores[setting])) for setting in groups if setting != first)
    return [Difference(setting, first, interval) for setting, interval in pairs if interval is not None]


def sentence(difference: Difference) -> str:
    """What may be said of a difference, in words."""
    interval = difference.interval
    # Adding 0 makes a plus of the minus before a rounded zero.
    points = f"{round(100 * interval.mean, 1) + 0.0:+.1f} points"
    if not interval.known:
        return (
            f"{difference.setting} against {difference.reference}: {points} on one common seed; "
            "one seed allows no conclusion, add seeds"
        )
    span = f"95 % interval {100 * interval.low:+.1f} to {100 * interval.high:+.1f}, {interval.n} common seeds"
    if interval.holds(0.0):
        return (
            f"{difference.setting} against {difference.reference}: "
            f"no difference at this number of seeds ({points}; {span})"
        )
    better = "better" if interval.mean > 0 else "worse"
    return f"{difference.setting} is {better} than {difference.reference}: {points} ({span})"
