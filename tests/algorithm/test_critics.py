"""Splits are disjoint, complete and even; aggregates and disagreement by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asyppo_cli.algorithm.critics import aggregate, assign, disagreement


@given(prompts=st.lists(st.integers(0, 5), min_size=1, max_size=40), critics=st.integers(1, 5))
def test_by_response_is_disjoint_complete_and_even_within_prompts(prompts: list[int], critics: int) -> None:
    prompt_index = torch.tensor(prompts)
    owners = assign(prompt_index, critics, "by_response")
    assert torch.equal(owners.sum(0), torch.ones(len(prompts), dtype=torch.long))
    for prompt in prompt_index.unique():
        sizes = owners[:, prompt_index == prompt].sum(1)
        assert sizes.max() - sizes.min() <= 1


def test_the_remainder_rotates_by_prompt() -> None:
    owners = assign(torch.tensor([0, 0, 0, 5, 5, 5]), 2, "by_response")
    assert owners.int().tolist() == [[1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1]]


def test_responses_count_in_order_of_appearance() -> None:
    owners = assign(torch.tensor([0, 1, 0, 1]), 2, "by_response")
    assert owners.int().tolist() == [[1, 0, 0, 1], [0, 1, 1, 0]]


def test_by_prompt_and_shared() -> None:
    prompt_index = torch.tensor([8, 2, 8, 4])
    assert assign(prompt_index, 2, "by_prompt").int().tolist() == [[1, 1, 1, 0], [0, 0, 0, 1]]
    assert bool(assign(prompt_index, 3, "shared").all())


def test_no_critic_is_an_error() -> None:
    with pytest.raises(ValueError, match="critics must be at least 1"):
        assign(torch.tensor([0]), 0, "shared")


def test_aggregates() -> None:
    values = torch.tensor([1.0, 4.0, 2.0, 9.0])[:, None, None]
    expected = {"mean": 4.0, "min": 1.0, "max": 9.0, "median": 3.0}
    for how, value in expected.items():
        assert aggregate(values, how).item() == value  # type: ignore[arg-type]
    assert aggregate(values[:3], "median").item() == 2.0
    assert aggregate(values[:2], "mean").item() == 2.5


@pytest.mark.parametrize("how", ["mean", "min", "max", "median"])
def test_one_critic_is_itself_to_the_bit(how: str) -> None:
    values = torch.randn(1, 3, 5)
    assert torch.equal(aggregate(values, how), values[0])  # type: ignore[arg-type]
    assert torch.equal(disagreement(values), torch.zeros(3, 5))


def test_disagreement_is_the_population_std() -> None:
    values = torch.randn(3, 4, 5)
    assert torch.allclose(disagreement(values), values.std(0, unbiased=False), atol=1e-6)
    pair = values[:2]
    assert torch.equal(disagreement(pair), (pair[0] - pair[1]).abs() / 2)


@pytest.mark.parametrize("critics", [2, 3, 7])
def test_critics_that_agree_differ_by_exactly_zero(critics: int) -> None:
    values = torch.full((critics, 2, 2), 0.1)
    assert torch.equal(disagreement(values), torch.zeros(2, 2))
