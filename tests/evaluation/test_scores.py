from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from asyppo_cli.evaluation.scores import (
    GradedSample,
    average,
    bootstrap,
    majority,
    paired_difference,
    pass_at_k,
    powers_up_to,
    score,
)


def marks(*votes: str) -> list[list[GradedSample]]:
    """A problem a word: a capital letter is a right sample, a small one a wrong answer, a dot no answer."""
    kinds = {True: "right", False: "wrong"}
    return [
        [
            GradedSample("unparseable", None, 9, True) if v == "." else GradedSample(kinds[v.isupper()], v, 4, False)
            for v in word
        ]  # type: ignore[arg-type]
        for word in votes
    ]


@pytest.mark.parametrize(("n", "c", "k"), [(4, 0, 2), (4, 1, 2), (5, 3, 2), (6, 2, 5), (3, 3, 1)])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(n: int, c: int, k: int) -> None:
    samples = [True] * c + [False] * (n - c)
    subsets = list(itertools.combinations(samples, k))
    expected = sum(any(subset) for subset in subsets) / len(subsets)
    assert pass_at_k(marks("A" * c + "b" * (n - c)), k) == pytest.approx([expected])


def test_pass_at_one_is_the_average_and_pass_at_n_whether_any_is_right() -> None:
    given = marks("Abc", "AAb", "bcd", "AAA")
    assert pass_at_k(given, 1) == pytest.approx(average(given))
    assert list(pass_at_k(given, 3)) == [1, 1, 0, 1]


def test_majority() -> None:
    assert majority(marks("AAb"), 3)[0] == [1.0]
    assert majority(marks("Abb"), 3)[0] == [0.0]
    assert majority(marks("A.."), 3)[0] == [1.0]  # who has no answer does not vote
    assert majority(marks("..."), 3) == ([0.0], 0)
    values, ties = majority(marks("Ab", "bc", "AA"), 2)
    assert list(values) == [0.5, 0.0, 1.0]
    assert ties == 2
    assert majority(marks("AbbbA"), 2)[0] == [0.5]  # the first two only


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    hits = 0
    for trial in range(200):
        values = generator.binomial(4, generator.beta(0.5, 1.0, 40)) / 4
        found = bootstrap(values, seed=trial, draws=1_000)
        hits += found.low <= 1 / 3 <= found.high
        assert found.low <= found.value <= found.high
    assert 180 <= hits <= 198


def test_an_interval_is_fixed_by_its_seed() -> None:
    values = np.array([0.0, 0.25, 1.0, 0.5, 0.75, 0.25])
    assert bootstrap(values, 1) == bootstrap(values, 1)
    other = np.linspace(0, 1, 23) ** 2
    assert bootstrap(other, 1) != bootstrap(other, 2)


def test_zero_of_thirty_does_not_prove_zero() -> None:
    nothing = bootstrap(np.zeros(30))
    assert (nothing.low, nothing.value) == (0.0, 0.0)
    assert nothing.high == pytest.approx(1 - 0.05 ** (1 / 30))
    assert bootstrap(np.ones(30)).low == pytest.approx(0.05 ** (1 / 30))
    assert math.isnan(bootstrap(np.ones(1)).low)


def test_a_paired_difference_is_narrower_than_two_scores() -> None:
    first = marks(*["Abbb", "AAAA", "bbbb", "AAbb"] * 10)
    second = marks(*["AAbb", "AAAA", "bbbb", "AAAb"] * 10)
    found = paired_difference(first, second)
    assert found.value == pytest.approx(0.125)
    assert found.low > 0
    one, two = bootstrap(average(first)), bootstrap(average(second))
    assert found.high - found.low < (one.high - one.low) + (two.high - two.low)
    same = paired_difference(first, first)
    assert (same.low < 0 < same.high) and same.value == 0
    assert paired_difference(second, first).value == pytest.approx(-0.125)


def test_score_puts_it_together() -> None:
    found = score(marks("AAb.", "bbbb", "AAAA"))
    assert (found.problems, found.samples) == (3, 4)
    assert found.avg.value == pytest.approx(0.5)
    assert sorted(found.pass_at) == sorted(found.maj_at) == [1, 2, 4]
    assert found.kinds == {"right": 6, "wrong": 5, "unparseable": 1}
    assert found.truncated == pytest.approx(1 / 12)
    assert found.length == pytest.approx((11 * 4 + 9) / 12)
    assert json.loads(json.dumps(found.as_json()))["avg"]["value"] == pytest.approx(0.5)
    assert score(marks("AA")).as_json()["avg"]["low"] is None


def test_unequal_numbers_of_samples() -> None:
    found = score(marks("Ab", "AAAA"))
    assert found.samples == 2
    assert found.avg.value == pytest.approx(0.75)
    assert sorted(found.pass_at) == [1, 2]


def test_powers() -> None:
    assert powers_up_to(1) == [1]
    assert powers_up_to(6) == [1, 2, 4, 6]


def test_what_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="no problem"):
        score([])
    with pytest.raises(ValueError, match="problem number 2 has no sample"):
        score(marks("A", ""))
    with pytest.raises(ValueError, match="pass@3 needs 1 to 2"):
        score(marks("AA"), [3])
    with pytest.raises(ValueError, match="not 1 with 2"):
        paired_difference(marks("A"), marks("A", "A"))
