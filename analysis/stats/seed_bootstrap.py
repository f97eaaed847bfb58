"""Means over seeds with their 95 % intervals, many settings at once: Student's t, and a bootstrap from five seeds on.

The bootstrap is the studentized one: each resample's mean is divided by its own standard error. scipy does not have it,
and its BCa covers 84 % at five seeds where this one covers 95 %. Below :data:`MIN_BOOTSTRAPPED` seeds it has no ends.
Paired differences and the bands of curves have Student's interval at any number of seeds: pairing removes most of the
skewness, and a bootstrap's width would jump from step to step. ``docs/studies.md`` has the measured coverage of each
method.

Legend: ``K`` samples (settings), ``n`` seeds of each, ``D`` resamples. A resample is the counts ``[n]`` of how often
each seed is drawn, with its probability. Up to :data:`MAX_ENUMERATED` seeds all resamples are enumerated, beyond that
they are drawn with a fixed seed from sorted samples, so that the order of trials changes nothing.
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
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
MIN_BOOTSTRAPPED = 5
MAX_ENUMERATED = 6
DRAWS = 2000
# Samples computed at once, so that they fit into the processor's cache.
BLOCK = 32
# Differences below this share of the values are rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class SeedMean(Interval):
    """A mean over seeds with its interval; NaN stands for what is unknown.

    ``spread`` is the standard deviation over seeds, ``method`` what made the interval, ``p`` (of differences) the
    two-sided probability under a true mean of 0.
    """

    seeds: int
    spread: float
    method: Method
    p: float = math.nan

    @property
    def mean(self) -> float:
        """The mean itself."""
        return self.value


def method_of(seeds: int, kind: Kind) -> Method:
    """The method for that many seeds."""
    if seeds < 2:
        return "none"
    return "bootstrap" if kind == "levels" and seeds >= MIN_BOOTSTRAPPED else "t"


def seed_mean(values: Sequence[float]) -> SeedMean:
    """The mean of at least one finite value with Student's interval."""
    return seed_means([values], "bands")[0]


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
    method, means, unknown = method_of(n, kind), values.mean(1), np.full(size, math.nan)
    if method == "none":
        low = high = spreads = p = unknown
    else:
        low, high = student(values) if method == "t" else studentized_bootstrap(values)
        spreads = standard_error(values) * math.sqrt(n)
        p = probabilities(values) if kind == "differences" else unknown
    columns = np.stack([means, low, high, spreads, p], axis=1).tolist()
    return [SeedMean(mean, a, b, n, spread, method, q) for mean, a, b, spread, q in columns]


def standard_error(values: Array) -> Array:
    """Of the mean of each row of ``[K, n]``: sample standard deviation over the root of n; 0 where all are equal."""
    error = values.std(1, ddof=1) / math.sqrt(values.shape[1])
    return np.where(error > ROUNDING * np.abs(values).max(1, initial=0.0), error, 0.0)


def student(values: Array) -> tuple[Array, Array]:
    """Ends ``[K]`` of Student's interval for the mean of each row of ``[K, n]``."""
    mean, half = values.mean(1), t_quantile(TAILS[1], values.shape[1] - 1) * standard_error(values)
    return mean - half, mean + half


def probabilities(values: Array) -> Array:
    """Two-sided p ``[K]`` by Student's t of a true mean of 0, for each row of ``[K, n]``."""
    mean, error = values.mean(1), standard_error(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.where(mean == 0, 0.0, np.where(error > 0, mean / error, math.inf))
    return np.array([t_probability(t, values.shape[1] - 1) for t in off.tolist()])


def studentized_bootstrap(values: Array) -> tuple[Array, Array]:
    """Likewise by the studentized bootstrap; rows sorted, or the drawn resamples depend on their order."""
    parts = [_studentized(values[i : i + BLOCK]) for i in range(0, len(values), BLOCK)]
    low, high = (np.concatenate(ends) for ends in zip(*parts, strict=True))
    return low, high


def _studentized(values: Array) -> tuple[Array, Array]:
    mean, error = values.mean(1), standard_error(values)
    means, errors, shares = resampled(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.where(errors > 0, means / errors, np.where(means == 0, 0.0, np.sign(means) * math.inf))
        near, far = quantiles(off, shares, TAILS)
        # A resample far above bounds the truth from below. Seeds that do not differ have an interval of no width.
        low, high = (np.where(error > 0, mean - end * error, mean) for end in (far, near))
    return low, high


@cache
def resamples(n: int) -> tuple[Array, Array]:
    """Counts ``[D, n]`` and shares ``[D]`` of the ways to draw n of n with replacement."""
    if n > MAX_ENUMERATED:
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
