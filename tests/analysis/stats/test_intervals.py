from __future__ import annotations

import math
import random

import pytest

from analysis.stats.intervals import Difference, differences, mean_interval, paired_difference, sentence, setting_rows
from analysis.stats.intervals import t_quantile as quantile
from analysis.stats.results import Result


def result(setting: str, seed: int, after: float, before: float = 0.4) -> Result:
    return Result(setting, seed, (0, 10), (before, after), 60.0, 2.0, 1024)


@pytest.mark.parametrize(
    ("freedom", "value"),
    # From printed tables of Student's t, 97.5 %.
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (120, 1.980)],
)
def test_quantiles_are_those_of_the_tables(freedom: int, value: float) -> None:
    assert quantile(0.975, freedom) == pytest.approx(value, abs=6e-4)


def test_other_levels() -> None:
    assert quantile(0.5, 7) == pytest.approx(0.0, abs=1e-9)
    assert quantile(0.75, 1) == pytest.approx(1.0)
    assert quantile(0.95, 10) == pytest.approx(1.812, abs=6e-4)


def test_a_worked_interval() -> None:
    # Mean 2, standard deviation 1, n 3: 4.3027 / sqrt(3) = 2.4841.
    interval = mean_interval([1.0, 2.0, 3.0])
    assert (interval.mean, interval.n) == (2.0, 3)
    assert (interval.low, interval.high) == (pytest.approx(-0.4841, abs=1e-4), pytest.approx(4.4841, abs=1e-4))
    assert interval.halfwidth == pytest.approx(2.4841, abs=1e-4)
    assert interval.holds(0.0) and not interval.holds(-0.5)


def test_one_seed_has_no_interval() -> None:
    interval = mean_interval([0.5])
    assert interval.mean == 0.5 and not interval.known and math.isnan(interval.high)


def test_three_seeds_cover_the_truth_in_95_of_100_cases() -> None:
    draw = random.Random(7)
    cases = [mean_interval([draw.gauss(0.8, 0.03) for _ in range(3)]).holds(0.8) for _ in range(2000)]
    assert 0.935 <= sum(cases) / len(cases) <= 0.965


def test_pairs_are_made_by_seed() -> None:
    interval = paired_difference({1: 0.5, 2: 0.7, 3: 0.9, 5: 0.0}, {3: 0.93, 1: 0.52, 2: 0.71, 4: 1.0})
    assert interval is not None and interval.n == 3
    assert interval.mean == pytest.approx(0.02)
    # 0.02 ± 4.3027 * 0.01 / sqrt(3): what the seeds share is gone from the spread.
    assert interval.halfwidth == pytest.approx(0.024842, abs=1e-5)
    assert paired_difference({1: 0.5}, {2: 0.5}) is None


def test_rows_and_differences_of_settings() -> None:
    results = [result("b", 1, 0.70), result("a", 2, 0.82), result("a", 1, 0.80), result("b", 2, 0.73)]
    rows = setting_rows(results)
    assert [(row.setting, row.seeds) for row in rows] == [("b", (1, 2)), ("a", (1, 2))]
    assert rows[1].gained.mean == pytest.approx(0.41) and rows[1].seconds.mean == 60.0
    (difference,) = differences(results)
    assert (difference.setting, difference.reference) == ("a", "b")
    assert difference.interval.mean == pytest.approx(0.095)
    assert differences(results, "a")[0].interval.mean == pytest.approx(-0.095)
    assert differences(results, "c") == []


def test_two_runs_of_one_seed_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two runs of a have seed 1"):
        setting_rows([result("a", 1, 0.8), result("a", 1, 0.9)])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.01, -0.02, 0.02], "no difference at this number of seeds"),
        ([0.05, 0.06, 0.055], "a is better than b: +5.5 points"),
        ([-0.05, -0.06, -0.055], "a is worse than b: -5.5 points"),
        ([0.05], "one seed allows no conclusion"),
        ([0.0, 0.0, 0.0], "no difference at this number of seeds"),
    ],
)
def test_a_sentence_claims_no_more_than_its_interval(values: list[float], said: str) -> None:
    assert said in sentence(Difference("a", "b", mean_interval(values)))
