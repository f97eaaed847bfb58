from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest

from analysis.stats.intervals import t_probability, t_quantile
from analysis.stats.seed_bootstrap import (
    MAX_ENUMERATED,
    probabilities,
    quantiles,
    resampled,
    resamples,
    seed_mean,
    seed_means,
    standard_error,
    student,
    studentized_bootstrap,
)

SIX = [0.81, 0.86, 0.84, 0.9, 0.88, 0.79]


def test_probabilities_belong_to_the_quantiles() -> None:
    for freedom in (1, 2, 3, 4, 9, 40):
        assert t_probability(t_quantile(0.975, freedom), freedom) == pytest.approx(0.05, abs=1e-9)
        assert t_probability(-t_quantile(0.9, freedom), freedom) == pytest.approx(0.2, abs=1e-9)
    assert t_probability(0.0, 3) == 1.0 and t_probability(math.inf, 3) == pytest.approx(0.0, abs=1e-12)


def test_few_seeds_have_students_interval() -> None:
    (two, three) = seed_means([[0.8, 0.9], [1.0, 2.0, 3.0]], "levels")
    assert two.method == three.method == "t"
    known = seed_mean([1.0, 2.0, 3.0])
    assert (three.low, three.high) == pytest.approx((known.low, known.high))
    assert three.spread == pytest.approx(1.0) and math.isnan(three.p)


def test_a_worked_paired_test() -> None:
    # t = 2 / (1 / sqrt 3) = 3.4641 with 2 degrees: p = 0.0742.
    (found,) = seed_means([[1.0, 2.0, 3.0]], "differences")
    assert found.p == pytest.approx(0.07418, abs=1e-5)


def test_differences_and_bands_are_students_however_many_seeds() -> None:
    for kind in ("differences", "bands"):
        (found,) = seed_means([SIX], kind)
        known = seed_mean(SIX)
        assert found.method == "t" and found.low == pytest.approx(known.low)
    (level,) = seed_means([SIX], "levels")
    assert level.method == "bootstrap" and level.low != pytest.approx(known.low)


def test_the_bootstrap_is_that_of_all_resamples_by_brute_force() -> None:
    values = sorted(SIX[:5])
    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(5)
    off = []
    for drawn in itertools.product(values, repeat=5):
        gap, own = statistics.fmean(drawn) - mean, statistics.stdev(drawn) / math.sqrt(5)
        off.append(gap / own if own > 1e-12 else math.copysign(math.inf, gap))
    off.sort()
    near, far = (off[math.ceil(share * len(off)) - 1] for share in (0.025, 0.975))
    low, high = studentized_bootstrap(np.array([values]))
    assert (low[0], high[0]) == pytest.approx((mean - far * error, mean - near * error), rel=1e-9)


def test_resamples_stand_for_all_there_are() -> None:
    for n in range(2, MAX_ENUMERATED + 1):
        counts, shares = resamples(n)
        assert len(counts) == math.comb(2 * n - 1, n) and shares.sum() == pytest.approx(1.0)
        assert (counts.sum(1) == n).all() and shares @ counts == pytest.approx(np.ones(n))


def test_resampled_means_and_errors_are_those_of_the_drawn_seeds() -> None:
    values = np.array([sorted(SIX)])
    means, errors, _ = resampled(values)
    counts, _ = resamples(6)
    for row in (0, 17, 200, len(counts) - 1):
        drawn = np.repeat(values[0], counts[row].astype(int))
        assert means[0, row] + values.mean() == pytest.approx(drawn.mean())
        assert errors[0, row] == pytest.approx(drawn.std(ddof=1) / math.sqrt(6), abs=1e-12)


def test_quantiles_by_shares_are_those_of_the_points_repeated() -> None:
    points, times = np.array([[3.0, -math.inf, 1.0, 2.0]]), np.array([4, 1, 2, 3])
    for wanted in (0.05, 0.1, 0.11, 0.3, 0.6, 0.95):
        (found,) = quantiles(points, times / 10, [wanted])
        everything = sorted(np.repeat(points[0], times))
        assert found[0] == everything[math.ceil(wanted * 10 - 1e-9) - 1]
    same = np.array([[5.0, 1.0, 4.0, 2.0]])
    (low, high) = quantiles(same, np.full(4, 0.25), [0.25, 0.75])
    assert (low[0], high[0]) == (1.0, 4.0)


@pytest.mark.parametrize("n", [3, 5, 8, 12])
def test_order_changes_nothing(n: int) -> None:
    values = np.random.default_rng(n).exponential(size=n).tolist()
    for kind in ("levels", "differences"):
        assert repr(seed_means([values], kind)) == repr(seed_means([values[::-1]], kind))


def test_many_at_once_are_each_alone() -> None:
    random = np.random.default_rng(0)
    samples = [random.normal(size=n).tolist() for n in (3, 8, 1, 5, 8, 3, 12, 2)]
    together = seed_means(samples, "levels")
    for sample, found in zip(samples, together, strict=True):
        (alone,) = seed_means([sample], "levels")
        assert alone.mean == pytest.approx(found.mean)
        assert (alone.low, alone.high) == pytest.approx((found.low, found.high), nan_ok=True)


@pytest.mark.parametrize("n", [2, 3, 5, 6, 9])
def test_seeds_that_do_not_differ(n: int) -> None:
    # 0.1 is no binary number: its mean and spread are off by rounding.
    for kind in ("levels", "differences"):
        (found,) = seed_means([[0.1] * n], kind)
        assert (found.low, found.high) == pytest.approx((0.1, 0.1)) and found.spread == 0.0
    assert found.p == pytest.approx(0.0, abs=1e-9)
    (none,) = seed_means([[0.0] * n], "differences")
    assert none.p == 1.0 and none.holds(0.0)


def test_one_seed_and_none() -> None:
    (one,) = seed_means([[0.5]], "levels")
    assert one.mean == 0.5 and one.method == "none" and not one.known and math.isnan(one.spread)
    assert seed_means([], "levels") == []


def coverage(values: np.ndarray, truth: float, method: object) -> float:
    low, high = method(np.sort(values, axis=1))  # type: ignore[operator]
    return float(np.mean((low <= truth) & (truth <= high)))


@pytest.mark.parametrize(("n", "least", "most"), [(5, 0.93, 0.975), (8, 0.93, 0.97)])
def test_the_bootstrap_covers_what_it_promises(n: int, least: float, most: float) -> None:
    values = np.random.default_rng(3).normal(0.87, 0.02, (2000, n))
    assert least <= coverage(values, 0.87, studentized_bootstrap) <= most


def test_below_a_ceiling_the_bootstrap_is_surer_than_student() -> None:
    values = 0.9 - np.random.default_rng(4).exponential(0.02, (2000, 8))
    assert coverage(values, 0.88, student) < 0.91 < 0.93 < coverage(values, 0.88, studentized_bootstrap)


def test_at_three_seeds_the_bootstrap_has_no_end() -> None:
    low, high = studentized_bootstrap(np.array([[1.0, 2.0, 3.5]]))
    assert low[0] == -math.inf and high[0] == math.inf


def test_differences_are_told_apart_by_chance_in_one_of_twenty_cases() -> None:
    random = np.random.default_rng(5)
    gaps = random.exponential(0.02, (4000, 3)) - random.exponential(0.02, (4000, 3))
    assert np.mean(probabilities(gaps) < 0.05) < 0.055
    assert standard_error(gaps).shape == (4000,)
