"""Returns and advantages: worked numbers, the definition as an oracle, invariances."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asyppo_cli.algorithm.returns import (
    gae,
    length_adaptive_lambda,
    outcome_rewards,
    whitened,
)


def prefix_mask(lengths: list[int], width: int | None = None) -> Tensor:
    return torch.arange(width or max(lengths)) < torch.tensor(lengths)[:, None]


def gae_by_definition(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lambdas: list[float]) -> Tensor:
    """The double sum over tokens and their successors, in float64."""
    result = torch.zeros(mask.shape, dtype=torch.float64)
    for b, length in enumerate(mask.sum(1).tolist()):
        r, v = rewards[b, :length].double(), torch.cat([values[b, :length].double(), torch.zeros(1).double()])
        delta = r + gamma * v[1:] - v[:-1]
        for t in range(length):
            powers = (gamma * lambdas[b]) ** torch.arange(length - t).double()
            result[b, t] = (powers * delta[t:]).sum()
    return result


def test_worked_example() -> None:
    mask = prefix_mask([3, 1])
    rewards = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    values = torch.tensor([[0.5, 0.25, 0.5], [0.25, 0.0, 0.0]])
    # delta = [0.5 * 0.25 - 0.5, 0.5 * 0.5 - 0.25, 1 - 0.5]; decay 0.25
    expected = torch.tensor([[-0.375 + 0.0 + 0.0625 * 0.5, 0.0 + 0.25 * 0.5, 0.5], [0.75, 0.0, 0.0]])
    assert torch.allclose(gae(rewards, values, mask, 0.5, 0.5).advantages, expected)


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    gamma=st.sampled_from([0.0, 0.5, 0.99, 1.0]),
    lambd=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0)),
    seed=st.integers(0, 1000),
)
def test_equals_its_definition(lengths: list[int], gamma: float, lambd: float, seed: int) -> None:
    check_against_definition(lengths, gamma, [lambd] * len(lengths), lambd, seed)


@settings(deadline=None, max_examples=20)
@given(rows=st.lists(st.tuples(st.integers(1, 70), st.floats(0.0, 1.0)), min_size=1, max_size=4))
def test_one_lambda_per_response_equals_the_definition(rows: list[tuple[int, float]]) -> None:
    lengths, lambdas = [length for length, _ in rows], [lambd for _, lambd in rows]
    check_against_definition(lengths, 0.97, lambdas, torch.tensor(lambdas), seed=0)


@pytest.mark.parametrize("width", [1, 15, 16, 17, 255, 256, 257, 272, 273, 1000])
@pytest.mark.parametrize("lambd", [0.0, 0.95, 1.0])
def test_widths_around_the_blocks_of_the_scan(width: int, lambd: float) -> None:
    check_against_definition([width, max(1, width - 3)], 0.999, [lambd] * 2, lambd, seed=width)


def test_long_rows_need_three_levels_and_differ_by_row() -> None:
    lambdas = [0.999, 0.0, 1.0]
    check_against_definition([4400, 17, 4113], 1.0, lambdas, torch.tensor(lambdas), seed=1)


def check_against_definition(
    lengths: list[int], gamma: float, lambdas: list[float], lambd: float | Tensor, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = prefix_mask(lengths)
    rewards, values = torch.randn(2, *mask.shape, generator=generator) * mask
    expected = gae_by_definition(rewards, values, mask, gamma, lambdas)
    advantages, returns = gae(rewards, values, mask, gamma, lambd)
    assert torch.allclose(advantages.double(), expected, atol=2e-4, rtol=1e-4)
    assert torch.allclose(returns, advantages + values, atol=1e-5)


def test_gamma_lambda_one_is_outcome_minus_value_to_the_bit() -> None:
    mask = prefix_mask([300, 1, 77])
    values = torch.randn(mask.shape)
    outcomes = torch.tensor([1.0, 0.3, 0.0])
    rewards = outcome_rewards(outcomes, mask)
    assert torch.equal(
        gae(rewards, values, mask, 1.0, 1.0).advantages, torch.where(mask, outcomes[:, None] - values, 0.0)
    )
    assert torch.equal(gae(rewards, values, mask, 1.0, 1.0).returns, outcomes[:, None] * mask)


def test_lambda_zero_is_the_one_step_error() -> None:
    rewards, values = torch.randn(2, 1, 40)
    mask = torch.ones(1, 40, dtype=torch.bool)
    following = torch.nn.functional.pad(values[:, 1:], (0, 1))
    assert torch.allclose(
        gae(rewards, values, mask, 0.9, 0.0).advantages, rewards + 0.9 * following - values, atol=1e-6
    )


@pytest.mark.parametrize("lambd", [1.0, 0.9])
def test_padding_is_never_read_and_its_amount_changes_nothing(lambd: float) -> None:
    lengths = [5, 33, 1]
    narrow, wide = prefix_mask(lengths), prefix_mask(lengths, 70)
    rewards, values = torch.randn(2, 3, 33)
    poisoned = [torch.full((3, 70), float("nan")) for _ in range(2)]
    for full, part in zip(poisoned, (rewards, values), strict=True):
        full[wide] = part[narrow]
    expected = gae(rewards, values, narrow, 0.99, lambd).advantages
    result = gae(*poisoned, wide, 0.99, lambd).advantages
    assert torch.allclose(result[:, :33], expected, atol=1e-6)
    assert torch.equal(result[~wide], torch.zeros(int((~wide).sum())))


def test_order_of_rows_and_their_company_change_nothing() -> None:
    # More tokens than one block of rows: rows meet different company.
    mask = prefix_mask(torch.randint(1, 700, (1000,)).tolist(), 700)
    rewards, values = torch.randn(2, *mask.shape)
    order = torch.randperm(1000)
    expected = gae(rewards, values, mask, 1.0, 0.95).advantages
    assert torch.allclose(
        gae(rewards[order], values[order], mask[order], 1.0, 0.95).advantages, expected[order], atol=1e-5
    )


def test_inputs_stay_as_they_were() -> None:
    mask = prefix_mask([20, 9])
    rewards, values = torch.randn(2, 2, 20)
    before = rewards.clone(), values.clone()
    gae(rewards, values, mask, 0.9, 0.9)
    assert torch.equal(rewards, before[0])
    assert torch.equal(values, before[1])


def test_no_gradient_flows_through_targets() -> None:
    values = torch.randn(1, 4, requires_grad=True)
    mask = torch.ones(1, 4, dtype=torch.bool)
    assert not gae(torch.zeros(1, 4), values, mask, 1.0, 0.9).advantages.requires_grad


def test_left_padding_is_refused() -> None:
    mask = torch.tensor([[False, True, True]])
    with pytest.raises(ValueError, match="pad on the right"):
        gae(torch.zeros(1, 3), torch.zeros(1, 3), mask, 1.0, 1.0)


def test_outcomes_lie_on_the_last_token() -> None:
    mask = prefix_mask([3, 1, 0], 4)
    result = outcome_rewards(torch.tensor([0.5, 2.0, 7.0]), mask)
    assert result.tolist() == [[0.0, 0.0, 0.5, 0.0], [2.0, 0.0, 0.0, 0.0], [0.0] * 4]


def test_length_adaptive_lambda_worked_and_clamped() -> None:
    lambdas = length_adaptive_lambda(torch.tensor([10, 40, 400]), 0.05)
    assert torch.allclose(lambdas, torch.tensor([0.0, 0.5, 0.95]))
    with pytest.raises(ValueError, match="alpha must be positive"):
        length_adaptive_lambda(torch.tensor([10]), 0.0)


def test_whitening() -> None:
    mask = prefix_mask([2, 1])
    x = torch.tensor([[1.0, 3.0], [5.0, float("nan")]])
    # mean 3, population variance 8/3
    expected = torch.tensor([[-2.0, 0.0], [2.0, 0.0]]) / (8 / 3) ** 0.5
    assert torch.allclose(whitened(x, mask), expected)
    assert torch.equal(whitened(torch.tensor([[4.0]]), torch.tensor([[True]])), torch.zeros(1, 1))
    assert torch.equal(whitened(x, torch.zeros_like(mask)), torch.zeros(2, 2))
