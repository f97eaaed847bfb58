"""How often a 95 % interval over a few seeds holds the truth: Student's t and three bootstraps.

    python benchmarks/coverage.py [--repeats 4000]

Data as they come out of runs: accuracies that are normal over seeds; that pile up below a ceiling; of which one seed in
ten collapses; and differences between two such settings. Printed for each number of seeds: the share of samples whose
interval holds the true mean, and the median half width against Student's. ``docs/studies.md`` has the numbers and what
follows from them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.stats.seed_bootstrap import TAILS, quantiles, resampled, student, studentized_bootstrap

Array = NDArray[Any]
SEEDS = (3, 4, 5, 8, 12, 16)
LARGE = 2_000_000
NORMAL = NormalDist()
Method = Callable[[Array], tuple[Array, Array]]


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Seeds scatter alike to both sides."""
    return random.normal(0.87, 0.02, shape)


def ceiling(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Most seeds come near the best there is, some stay behind."""
    return 0.9 - random.exponential(0.02, shape)


def collapse(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """One seed in ten does not learn."""
    return np.where(random.random(shape) < 0.1, random.normal(0.6, 0.05, shape), random.normal(0.87, 0.02, shape))


def difference(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Of two settings that pile up below a ceiling, paired."""
    return ceiling(random, shape) - ceiling(random, shape)


def unlike(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Of a setting below a ceiling and one that scatters to both sides, paired."""
    return ceiling(random, shape) - normal(random, shape)


def against_collapse(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Of a setting of which one seed in ten collapses and one that scatters to both sides, paired."""
    return collapse(random, shape) - normal(random, shape)


SHAPES: tuple[Callable[[np.random.Generator, tuple[int, ...]], Array], ...] = (
    normal,
    ceiling,
    collapse,
    difference,
    unlike,
    against_collapse,
)


def percentile(values: Array) -> tuple[Array, Array]:
    """The plain bootstrap: where the middle 95 % of the resamples' means lie."""
    means, _, shares = resampled(values)
    low, high = quantiles(means, shares, TAILS)
    return values.mean(1) + low, values.mean(1) + high


def bca(values: Array) -> tuple[Array, Array]:
    """Likewise with a cut that allows for bias and skewness (Efron 1987)."""
    means, _, shares = resampled(values)
    apart = values.mean(1, keepdims=True) - values
    bends = (apart**3).sum(1) / (6 * (apart**2).sum(1) ** 1.5)
    below = np.clip((means < 0) @ shares + 0.5 * ((means == 0) @ shares), 1e-6, 1 - 1e-6)
    ends = [[], []]
    for row, (share, bend) in enumerate(zip(below.tolist(), bends.tolist(), strict=True)):
        for side, tail in enumerate(TAILS):
            moved = NORMAL.inv_cdf(share) + NORMAL.inv_cdf(tail)
            cut = NORMAL.cdf(NORMAL.inv_cdf(share) + moved / (1 - bend * moved))
            (end,) = quantiles(means[row : row + 1], shares, [min(max(cut, 1e-9), 1 - 1e-9)])
            ends[side].append(float(end[0]))
    return values.mean(1) + np.array(ends[0]), values.mean(1) + np.array(ends[1])


METHODS: dict[str, Method] = {"t": student, "studentized": studentized_bootstrap, "bca": bca, "percentile": percentile}


def coverage(method: Method, values: Array, truth: float) -> tuple[float, float]:
    """Share of the rows of ``values`` ``[repeats, seeds]`` whose interval holds ``truth``; the median half width."""
    low, high = method(np.sort(values, axis=1))
    return float(np.mean((low <= truth) & (truth <= high))), float(np.median((high - low) / 2))


def main() -> None:
    """Print a table for each shape of data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=4000)
    repeats = parser.parse_args().repeats
    for shape in SHAPES:
        random = np.random.default_rng(1)
        truth = float(shape(random, (LARGE,)).mean())
        print(f"\n{shape.__name__}: {shape.__doc__}\n{'seeds':>5}" + "".join(f"{method:>22}" for method in METHODS))
        for seeds in SEEDS:
            values = shape(random, (repeats, seeds))
            found = {name: coverage(method, values, truth) for name, method in METHODS.items()}
            wide = found["t"][1]
            cells = [f"{100 * share:5.1f} % ({half / wide:4.2f} wide)" for share, half in found.values()]
            print(f"{seeds:>5}" + "".join(f"{cell:>22}" for cell in cells))


if __name__ == "__main__":
    main()
