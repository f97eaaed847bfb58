"""Statistics of tokens with bootstrap intervals over responses, because tokens of one response are not independent.

Legend: ``N`` tokens, ``R`` responses, ``K`` sums that a statistic is made of. A statistic is a function of sums over
tokens, so a resample needs the sums of each response and never the tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.stats.intervals import LEVEL, Interval
from analysis.tokens.table import TokenTable

Array = NDArray[Any]
DRAWS = 1000
# More responses than this are first put together at random: sums of independent responses are as independent, the
# interval stays the same, and a resample costs no more.
MAX_CLUSTERS = 4096
# Below this, resampling knows too little of the spread to speak of an interval.
MIN_CLUSTERS = 10


class Resamples:
    """The same ``DRAWS`` bootstrap samples of R responses for every statistic."""

    def __init__(self, responses: int, seed: int = 0, draws: int = DRAWS) -> None:
        random = np.random.default_rng(seed)
        self.clusters = min(responses, MAX_CLUSTERS)
        self._cluster = random.permutation(responses) % self.clusters
        drawn = random.integers(self.clusters, size=(draws, self.clusters))
        drawn += self.clusters * np.arange(draws)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=draws * self.clusters)
        self._weights = counts.reshape(draws, self.clusters).astype(np.float32)

    def estimates(self, sums: Array, statistic: Callable[[Array], Array]) -> list[Interval]:
        """One estimate for each of J statistics; ``sums`` ``[R, J, K]``, ``statistic`` ``[..., J, K] -> [..., J]``."""
        if not sums.shape[1]:
            return []
        together = self._together(sums.astype(np.float64))
        flat = together.reshape(self.clusters, -1)
        drawn = (self._weights.astype(np.float64) @ flat).reshape(-1, *together.shape[1:])
        with np.errstate(divide="ignore", invalid="ignore"):
            values, samples = statistic(together.sum(0)), statistic(drawn)
        return [self._interval(float(value), samples[:, j]) for j, value in enumerate(values)]

    def estimate(self, sums: Array, statistic: Callable[[Array], Array]) -> Interval:
        """The estimate of one statistic; ``sums`` ``[R, K]``, ``statistic`` ``[..., K] -> [...]``."""
        return self.estimates(sums[:, None], statistic)[0]

    def _together(self, sums: Array) -> Array:
        if len(sums) == self.clusters:
            return sums
        order = np.argsort(self._cluster, kind="stable")
        begins = np.searchsorted(self._cluster[order], np.arange(self.clusters))
        return np.asarray(np.add.reduceat(sums[order], begins, axis=0))

    def _interval(self, value: float, samples: Array) -> Interval:
        finite = samples[np.isfinite(samples)]
        if self.clusters < MIN_CLUSTERS or len(finite) < 0.9 * len(samples):
            return Interval(value, math.nan, math.nan)
        low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(value, float(low), float(high))


def ratio(sums: Array) -> Array:
    """Sum over count, of ``[..., 2]``: a mean, or a share."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def difference_of_means(sums: Array) -> Array:
    """First mean minus second, of ``[..., 4]``: sum, count, sum, count."""
    return np.asarray(sums[..., 0] / sums[..., 1] - sums[..., 2] / sums[..., 3])


def pearson(sums: Array) -> Array:
    """Pearson's correlation from ``[..., 6]``: n and the sums of x, y, xx, yy, xy."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    return np.asarray((n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y)))


def product_sums(table: TokenTable, x: Array, y: Array) -> Array:
    """The six sums that :func:`pearson` is made of, ``[R, 6]``."""
    parts = [x, y, x * x, y * y, x * y]
    return np.stack([table.lengths.astype(np.float64), *(by_response(table, part) for part in parts)], axis=1)


def by_response(table: TokenTable, x: Array) -> Array:
    """Sum of ``x`` ``[N]`` over each response, float64 ``[R]``."""
    return np.asarray(np.add.reduceat(x, table.starts[:-1], dtype=np.float64))


def by_response_and_group(table: TokenTable, group: Array, groups: int, x: Array | None = None) -> Array:
    """Count of tokens, or sum of ``x``, of each response in each group, ``[R, groups]``; ``group`` integers ``[N]``."""
    key = table.response.astype(np.int64) * groups + group
    return np.bincount(key, weights=x, minlength=table.responses * groups).reshape(table.responses, groups)


def midranks(x: Array) -> tuple[Array, Array]:
    """Ranks of ``x`` centred at 0, in (-0.5, 0.5), ties at their mean; and the place of each in stable order, int32."""
    order, rising = _sorted(x)
    place = np.empty(len(x), np.int32)
    place[order] = np.arange(len(x), dtype=np.int32)
    edges = np.concatenate([[0], np.flatnonzero(rising[1:] != rising[:-1]) + 1, [len(x)]])
    middle = ((edges[:-1] + edges[1:]) / (2 * len(x)) - 0.5).astype(np.float32)
    ranks = np.empty(len(x), np.float32)
    ranks[order] = np.repeat(middle, np.diff(edges))
    return ranks, place


def _sorted(x: Array) -> tuple[Array, Array]:
    """Stable order of ``x``, and keys in that order which are equal where ``x`` is.

    A float32's bits are ordered as an integer is, but for the sign. With the index in the lower half one plain sort of
    integers does it, seven times as fast as a stable argsort of floats.
    """
    # Adding 0 makes a zero of a minus zero: they are equal, their bits are not.
    bits = (x.astype(np.float32, copy=False) + np.float32(0)).view(np.int32)
    keys = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64)
    keys <<= 32
    keys |= np.arange(len(x))
    keys.sort()
    return keys & 0xFFFFFFFF, keys >> 32


def ranks_by_step(table: TokenTable, x: Array) -> tuple[Array, Array]:
    """:func:`midranks` within each step, ``[N]`` both: what training does to the scale of all is left out."""
    ranks, places = np.empty(len(x), np.float32), np.empty(len(x), np.int32)
    for _, rows in table.slices():
        ranks[rows], places[rows] = midranks(x[rows])
    return ranks, places


def grouped_quantiles(x: Array, group: Array, groups: int, probabilities: tuple[float, ...]) -> Array:
    """Quantiles of ``x`` in each group, ``[groups, P]``; NaN for an empty one. ``group`` small integers ``[N]``."""
    # Small integers are sorted by counting, which is quick.
    order = np.argsort(group.astype(np.uint8 if groups <= 256 else np.uint16), kind="stable")
    edges = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=groups))])
    rising = x[order]
    result = np.full((groups, len(probabilities)), np.nan)
    for g in range(groups):
        part = rising[edges[g] : edges[g + 1]]
        if len(part):
            result[g] = np.quantile(part, probabilities)
    return result
