from __future__ import annotations

import math
import random

import numpy as np
import pytest

from analysis.stats.intervals import t_quantile
from analysis.stats.power import detectable, holm, seeds_needed


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04; the last may not fall below the third.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.3, 0.6]) == pytest.approx([0.6, 0.6])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_what_is_not_known_is_no_comparison() -> None:
    found = holm([0.01, math.nan, 0.04])
    assert found[0] == pytest.approx(0.02) and math.isnan(found[1]) and found[2] == pytest.approx(0.04)


def test_holm_is_between_nothing_and_bonferroni_and_keeps_the_order() -> None:
    draw = random.Random(1)
    for _ in range(50):
        p = [draw.random() ** 3 for _ in range(7)]
        adjusted = holm(p)
        assert all(one <= new <= min(1.0, 7 * one) + 1e-12 for one, new in zip(p, adjusted, strict=True))
        assert sorted(adjusted) == [adjusted[i] for i in sorted(range(7), key=p.__getitem__)]


@pytest.mark.parametrize("n", [3, 5, 8, 20])
def test_what_is_detectable_is_detected_in_four_of_five_cases(n: int) -> None:
    draws = np.random.default_rng(n).normal(detectable(0.02, n), 0.02, (20_000, n))
    error = draws.std(1, ddof=1) / math.sqrt(n)
    seen = np.mean(draws.mean(1) > t_quantile(0.975, n - 1) * error)
    assert 0.75 <= seen <= 0.82


def test_more_seeds_see_more() -> None:
    assert detectable(0.02, 12) < detectable(0.02, 3)
    needed = seeds_needed(0.02, 0.01)
    assert needed is not None and detectable(0.02, needed) <= 0.01 < detectable(0.02, needed - 1)
    assert seeds_needed(0.02, -0.01) == needed


def test_what_cannot_be_said() -> None:
    assert math.isnan(detectable(math.nan, 1)) and math.isnan(detectable(0.1, 1))
    assert seeds_needed(0.02, 0.0) is None and seeds_needed(math.nan, 0.1) is None
    assert seeds_needed(1.0, 1e-6) is None
    assert detectable(0.0, 3) == 0.0
