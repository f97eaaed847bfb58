from __future__ import annotations

import math
import random

import pytest

from analysis.stats.effects import Verdict, effects
from analysis.stats.intervals import t_quantile as quantile
from analysis.stats.seed_bootstrap import seed_mean
from asyppo_cli.runs.studies import Direction


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
    interval = seed_mean([1.0, 2.0, 3.0])
    assert (interval.mean, interval.seeds) == (2.0, 3)
    assert (interval.low, interval.high) == (pytest.approx(-0.4841, abs=1e-4), pytest.approx(4.4841, abs=1e-4))
    assert interval.halfwidth == pytest.approx(2.4841, abs=1e-4)
    assert interval.holds(0.0) and not interval.holds(-0.5)


def test_one_seed_has_no_interval() -> None:
    interval = seed_mean([0.5])
    assert interval.mean == 0.5 and not interval.known and math.isnan(interval.high)


def test_three_seeds_cover_the_truth_in_95_of_100_cases() -> None:
    draw = random.Random(7)
    cases = [seed_mean([draw.gauss(0.8, 0.03) for _ in range(3)]).holds(0.8) for _ in range(2000)]
    assert 0.935 <= sum(cases) / len(cases) <= 0.965


def test_pairs_are_made_by_seed() -> None:
    values = {"a": {1: 0.5, 2: 0.7, 3: 0.9, 5: 0.0}, "b": {3: 0.93, 1: 0.52, 2: 0.71, 4: 1.0}, "c": {7: 0.5}}
    (effect,) = effects(values, "a")
    assert (effect.setting, effect.baseline, effect.difference.seeds) == ("b", "a", 3)
    assert effect.difference.mean == pytest.approx(0.02)
    # 0.02 ± 4.3027 * 0.01 / sqrt(3): what the seeds share is gone from the spread.
    assert effect.difference.halfwidth == pytest.approx(0.024842, abs=1e-5)
    assert effects(values, "b")[0].difference.mean == pytest.approx(-0.02) and effects(values, "d") == []


@pytest.mark.parametrize(
    ("values", "direction", "verdict"),
    [
        ([0.01, -0.02, 0.02], "maximize", "no difference"),
        ([0.05, 0.06, 0.055], "maximize", "better"),
        ([0.05, 0.06, 0.055], "minimize", "worse"),
        ([-0.05, -0.06, -0.055], "maximize", "worse"),
        ([-0.05, -0.06, -0.055], None, "lower"),
        ([0.05], "maximize", "cannot tell"),
        ([0.0, 0.0, 0.0], None, "no difference"),
    ],
)
def test_a_verdict_claims_no_more_than_its_interval(
    values: list[float], direction: Direction | None, verdict: Verdict
) -> None:
    (effect,) = effects({"a": dict(enumerate(values)), "b": dict.fromkeys(range(3), 0.0)}, "b", direction)
    assert effect.verdict == verdict
