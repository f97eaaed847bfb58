"""Intervals over responses: by hand, against oracles, and against the truth."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.stats.intervals import Interval
from analysis.tokens.resampling import (
    Resamples,
    by_response,
    by_response_and_group,
    difference_of_means,
    grouped_quantiles,
    midranks,
    pearson,
    product_sums,
    ratio,
)
from analysis.tokens.table import load
from asyppo_cli.runs.directory import RunDirectory


def test_ranks_are_those_of_pandas_and_ties_keep_their_order() -> None:
    x = np.float32([0.5, -1.0, 0.0, -0.0, 3e-40, 0.5, 7e8, -1e-9, -1.0])
    ranks, place = midranks(x)
    expected = (pd.Series(x).rank(method="average").to_numpy() - 0.5) / len(x) - 0.5
    np.testing.assert_allclose(ranks, expected, atol=1e-7)
    np.testing.assert_array_equal(np.argsort(place), np.argsort(x, kind="stable"))
    large = np.random.default_rng(0).integers(-50, 50, 5000).astype(np.float32)
    np.testing.assert_array_equal(np.argsort(midranks(large)[1]), np.argsort(large, kind="stable"))


def test_a_worked_ratio_and_difference() -> None:
    # Two of five tokens in one response, none of five in the other ten.
    sums = np.array([[2.0, 5.0], *[[0.0, 5.0]] * 10])
    estimate = Resamples(11).estimate(sums, ratio)
    assert estimate.value == pytest.approx(2 / 55)
    assert estimate.low == 0.0 and estimate.high >= 4 / 55
    assert difference_of_means(np.array([6.0, 3.0, 5.0, 5.0])) == pytest.approx(1.0)


def test_few_responses_have_no_interval() -> None:
    estimate = Resamples(9).estimate(np.ones((9, 2)), ratio)
    assert estimate.value == 1.0 and not estimate.known
    assert "too few responses" in estimate.words()
    assert Resamples(12).estimates(np.ones((12, 0, 2)), ratio) == []


def test_intervals_cover_the_truth_where_those_over_tokens_would_not() -> None:
    random, held, naive = np.random.default_rng(3), 0, 0
    for case in range(200):
        # Tokens of a response are all alike: 60 responses of 50 tokens are 60 numbers.
        of_response = random.normal(0, 1, 60)
        sums = np.stack([50 * of_response, np.full(60, 50.0)], axis=1)
        held += Resamples(60, seed=case, draws=300).estimate(sums, ratio).holds(0.0)
        naive += abs(of_response.mean()) < 1.96 * of_response.std() / math.sqrt(3000)
    assert 0.89 <= held / 200 <= 0.985
    assert naive / 200 < 0.4


def test_many_responses_put_together_keep_the_intervals_width() -> None:
    values = np.random.default_rng(1).normal(0, 1, 20_000)
    estimate = Resamples(len(values)).estimate(np.stack([values, np.ones(20_000)], axis=1), ratio)
    assert estimate.value == pytest.approx(values.mean())
    for end in (estimate.low, estimate.high):
        assert abs(end - values.mean()) == pytest.approx(1.96 / math.sqrt(20_000), rel=0.11)


def test_sums_by_response(make_run: Callable[..., RunDirectory]) -> None:
    table = load(make_run(), [1, 5, 9], ["value_std", "entropy", "token_id"])
    frame = pd.DataFrame({"r": table.response, "x": table["value_std"], "y": table["entropy"], "g": table["token_id"]})
    np.testing.assert_allclose(by_response(table, table["value_std"]), frame.groupby("r").x.sum(), rtol=1e-6)
    counted = by_response_and_group(table, table["token_id"], 5)
    np.testing.assert_array_equal(counted, pd.crosstab(frame.r, frame.g).reindex(columns=range(5), fill_value=0))
    assert counted.sum() == len(table)
    total = product_sums(table, table["value_std"], table["entropy"]).sum(0)
    assert pearson(total) == pytest.approx(np.corrcoef(frame.x, frame.y)[0, 1], abs=1e-6)


def test_quantiles_of_groups() -> None:
    x, group = np.float32([5, 1, 3, 2, 9]), np.array([0, 2, 0, 0, 2])
    found = grouped_quantiles(x, group, 3, (0.0, 0.5))
    np.testing.assert_array_equal(found[[0, 2]], [[2, 3], [1, 5]])
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (Interval(0.314, 0.28, 0.35), "0.314 (95 % interval 0.280 to 0.350)"),
        (Interval(-1e-9, -0.5, 0.5), "0.00 (95 % interval -0.50 to 0.50)"),
        (Interval(0.0812, 0.0810, 0.0814), "0.08120 (95 % interval 0.08100 to 0.08140)"),
        (Interval(0.5, math.nan, math.nan), "0.50 (too few responses for an interval)"),
    ],
)
def test_an_estimate_in_words(estimate: Interval, said: str) -> None:
    assert estimate.words() == said
