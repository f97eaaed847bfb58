"""Means over a few seeds with their intervals, for many settings at once: Student's t, and from five seeds a bootstrap.

The bootstrap is the studentized one: how many of its own standard errors a resample's mean lies off says how far the
truth may lie off ours. Below :data:`FEWEST_BOOTSTRAPPED` seeds it is meaningless: of three seeds a ninth of all
resamples have no spread to divide by, and plain percentiles hold the truth in three of four cases. Paired differences
have Student's interval always: pairing takes away most of what is skewed, and then it is both narrower and surer. So
have the bands of curves: a bootstrap's width jumps from step to step. ``docs/studies.md`` has the measured coverage of
each; ``benchmarks/coverage.py`` measures it.

Legend: ``K`` samples (settings), ``n`` seeds of each, ``D`` resamples. Resamples are counts ``[D, n]`` of how often
each seed is drawn, with the share of all resamples that each stands for. Up to :data:`MOST_ENUMERATED` seeds all of
them are listed, so that nothing is random; beyond, they are drawn with a fixed seed, and samples are sorted first: in
which order trials come changes nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.stats.intervals import LEVEL, Interval, t_probability, t_quantile

Array = NDArray[Any]
Method = Literal["none", "t", "bootstrap"]
Kind = Literal["levels", "differences", "bands"]
FEWEST_BOOTSTRAPPED = 5
MOST_ENUMERATED = 6
DRAWS = 2000
# Samples taken at once, so that what is worked on stays in the processor's cache.
BLOCK = 32
# What is smaller than this share of the values is rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds: interval and standard deviation, of a difference also the two-sided p of a true mean of 0.

    NaN stands for what is not known. ``method`` says where the interval comes from.
    """

    interval: Interval
    spread: float
    method: Method
    p: float = math.nan

    @property
    def mean(self) -> float:
        """The mean itself."""
        return self.interval.mean

    @property
    def seeds(self) -> int:
        """How many there are."""
        return self.interval.n


def method_of(seeds: int, kind: Kind) -> Method:
    """What an interval over so many seeds is made by."""
    if seeds < 2:
        return "none"
    return "bootstrap" if kind == "levels" and seeds >= FEWEST_BOOTSTRAPPED else "t"


def seed_means(samples: Sequence[Sequence[float]], kind: Kind) -> list[SeedMean]:
    """The mean of each sample of at least one finite value, in their order."""
    places: dict[int, list[int]] = {}
    for place, sample in enumerate(samples):
        places.setdefault(len(sample), []).append(place)
    found: dict[int, SeedMean] = {}
    for size, rows in places.items():
        assert size, "no value"
        values = np.sort(np.array([samples[row] for row in rows], dtype=np.float64), axis=1)
        found |= zip(rows, _of_one_size(values, kind), strict=True)
    return [found[place] for place in range(len(samples))]


def _of_one_size(values: Array, kind: Kind) -> list[SeedMean]:
    size, n = values.shape
    method, means = method_of(n, kind), values.mean(1)
    if method == "none":
        return [SeedMean(Interval(float(mean), math.nan, math.nan, 1), math.nan, method) for mean in means]
    low, high = student(values) if method == "t" else studentized_bootstrap(values)
    spreads = standard_error(values) * math.sqrt(n)
    p = probabilities(values) if kind == "differences" else np.full(size, math.nan)
    columns = np.stack([means, low, high, spreads, p], axis=1).tolist()
    return [SeedMean(Interval(m, a, b, n), spread, method, q) for m, a, b, spread, q in columns]


def standard_error(values: Array) -> Array:
    """Of the mean of each row of ``[K, n]``: sample standard deviation over the root of n; 0 where all are equal."""
    error = values.std(1, ddof=1) / math.sqrt(values.shape[1])
    return np.where(error > ROUNDING * np.abs(values).max(1, initial=0.0), error, 0.0)


def student(values: Array, level: float = LEVEL) -> tuple[Array, Array]:
    """Ends ``[K]`` of Student's interval for the mean of each row of ``[K, n]``."""
    mean, half = values.mean(1), t_quantile((1 + level) / 2, values.shape[1] - 1) * standard_error(values)
    return mean - half, mean + half


def probabilities(values: Array) -> Array:
    """Two-sided p ``[K]`` by Student's t of a true mean of 0, for each row of ``[K, n]``."""
    mean, error = values.mean(1), standard_error(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.where(mean == 0, 0.0, np.where(error > 0, mean / error, math.inf))
    return np.array([t_probability(t, values.shape[1] - 1) for t in off.tolist()])


def studentized_bootstrap(values: Array, level: float = LEVEL) -> tuple[Array, Array]:
    """Likewise by the studentized bootstrap; rows sorted, or the drawn resamples depend on their order."""
    parts = [_studentized(values[i : i + BLOCK], level) for i in range(0, len(values), BLOCK)]
    low, high = (np.concatenate(ends) for ends in zip(*parts, strict=True))
    return low, high


def _studentized(values: Array, level: float) -> tuple[Array, Array]:
    mean, error = values.mean(1), standard_error(values)
    means, errors, shares = resampled(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.where(errors > 0, means / errors, np.where(means == 0, 0.0, np.sign(means) * math.inf))
        near, far = quantiles(off, shares, ((1 - level) / 2, (1 + level) / 2))
        # A resample far above bounds the truth from below. Seeds that do not differ have an interval of no width.
        low, high = (np.where(error > 0, mean - end * error, mean) for end in (far, near))
    return low, high


@cache
def resamples(n: int) -> tuple[Array, Array]:
    """Counts ``[D, n]`` and shares ``[D]`` of the ways to draw n of n with replacement."""
    if n > MOST_ENUMERATED:
        drawn = np.random.default_rng(n).integers(n, size=(DRAWS, n))
        counts = np.stack([(drawn == i).sum(1) for i in range(n)], axis=1)
        return counts.astype(np.float64), np.full(DRAWS, 1 / DRAWS)
    rows = [[drawn.count(i) for i in range(n)] for drawn in itertools.combinations_with_replacement(range(n), n)]
    ways = [math.factorial(n) / math.prod(map(math.factorial, row)) / n**n for row in rows]
    return np.array(rows, dtype=np.float64), np.array(ways)


def resampled(values: Array) -> tuple[Array, Array, Array]:
    """Every resample's mean, as it lies off the sample's, and standard error, ``[K, D]`` both; the shares ``[D]``."""
    counts, shares = resamples(values.shape[1])
    n = values.shape[1]
    apart = values - values.mean(1, keepdims=True)
    means = apart @ counts.T / n
    squares = (apart * apart) @ counts.T / n
    scale = np.abs(apart).max(1, keepdims=True, initial=0.0)
    means[np.abs(means) <= ROUNDING * scale] = 0.0
    variance = squares - means * means
    # What is left of one seed n times is rounding.
    variance[variance <= ROUNDING * scale * scale] = 0.0
    return means, np.sqrt(variance / (n - 1)), shares


def quantiles(points: Array, shares: Array, wanted: Sequence[float]) -> list[Array]:
    """Quantiles of each row of ``points`` ``[K, D]`` by the shares: the least point that reaches it, ``[K]`` each."""
    if np.ptp(shares) == 0.0:
        # Rounding must not let a share of just so much slip by.
        places = [math.ceil(at * len(shares) - 1e-6) - 1 for at in wanted]
        rising = np.partition(points, places, axis=1)
        return [rising[:, place] for place in places]
    order = np.argsort(points, axis=1)
    reached = np.cumsum(shares[order], axis=1)
    firsts = [(reached >= at - ROUNDING).argmax(1)[:, None] for at in wanted]
    return [np.take_along_axis(points, np.take_along_axis(order, first, 1), 1)[:, 0] for first in firsts]
