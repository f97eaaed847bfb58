"""Targets of a whole batch: reduction to plain PPO, the order of the steps, gates, invariances."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from asyppo_cli.algorithm.gating import highest, lowest, random_signal
from asyppo_cli.algorithm.returns import gae, outcome_rewards, whitened
from asyppo_cli.algorithm.targets import Targets, asymmetric_targets, critic_free_targets

LENGTHS = torch.tensor([30, 1, 17, 30])
MASK = torch.arange(30) < LENGTHS[:, None]
REWARDS = outcome_rewards(torch.tensor([1.0, 0.0, 1.0, 0.0]), MASK)
FIELDS = ("values", "disagreement", "advantages", "returns", "advantage_kept", "entropy_kept")
GATES: dict[str, Any] = {
    "whiten": False,
    "mask_pct": 0.2,
    "entropy_filter_pct": 0.3,
    "mask_signal": "value_std",
    "entropy_filter_signal": "value_std",
    "entropy": None,
    "scope_of_row": None,
    "seed": 7,
}
DEFAULTS: dict[str, Any] = {"gamma": 1.0, "lambd": 1.0, "critic_lambd": None, "aggregation": "mean", **GATES}


def targets(values: Tensor, mask: Tensor = MASK, rewards: Tensor = REWARDS, **changes: Any) -> Targets:
    return asymmetric_targets(values, rewards, mask, **{**DEFAULTS, **changes})


def draw_values(critics: int) -> Tensor:
    return torch.randn(critics, *MASK.shape, generator=torch.Generator().manual_seed(critics))


def test_two_critics_by_hand() -> None:
    mask = torch.tensor([[True, True], [True, False]])
    values = torch.tensor([[[0.5, 1.0], [0.0, 0.0]], [[0.0, 0.5], [1.0, 0.0]]])
    rewards = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    result = targets(values, mask, rewards, mask_pct=0.34, entropy_filter_pct=0.34)
    assert result.values.tolist() == [[0.25, 0.75], [0.5, 0.0]]
    assert result.disagreement.tolist() == [[0.25, 0.25], [0.5, 0.0]]
    assert result.advantages.tolist() == [[0.75, 0.25], [-0.5, 0.0]]
    assert result.returns.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    # One of the two that tie is masked.
    assert sorted(result.advantage_kept[0].tolist()) == [False, True] and result.advantage_kept[1].tolist() == [
        True,
        False,
    ]
    assert result.tied_share == pytest.approx(2 / 3)
    assert result.entropy_kept.tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize("lambd", [1.0, 0.9])
@pytest.mark.parametrize("scope", [None, torch.arange(4)])
def test_one_critic_is_plain_ppo_to_the_bit(lambd: float, scope: Tensor | None) -> None:
    values = draw_values(1)
    result = targets(values, lambd=lambd, gamma=0.99, scope_of_row=scope)
    advantages, returns = gae(REWARDS, values[0], MASK, 0.99, lambd)
    assert torch.equal(result.values, values[0] * MASK)
    assert torch.equal(result.advantages, advantages)
    assert torch.equal(result.returns, returns)
    assert torch.equal(result.advantage_kept, MASK)
    assert torch.equal(result.entropy_kept, MASK)
    assert not result.disagreement.any()


@pytest.mark.parametrize("aggregation", ["mean", "min", "max", "median"])
def test_aggregation_comes_before_the_one_gae(aggregation: str) -> None:
    values = draw_values(3)
    reference = {
        "mean": values.mean(0),
        "min": values.amin(0),
        "max": values.amax(0),
        "median": values.median(0).values,
    }
    result = targets(values, aggregation=aggregation, lambd=0.8)
    assert torch.allclose(result.values, reference[aggregation] * MASK)
    assert torch.allclose(result.advantages, gae(REWARDS, reference[aggregation], MASK, 1.0, 0.8).advantages, atol=1e-6)


def test_gamma_lambda_one_is_outcome_minus_mean_value() -> None:
    values = draw_values(2)
    result = targets(values)
    outcome = REWARDS.sum(1, keepdim=True)
    assert torch.equal(result.advantages, torch.where(MASK, outcome - result.values, 0.0))
    assert torch.equal(result.returns, outcome * MASK)


def test_critics_may_have_a_lambda_of_their_own_and_the_policy_one_per_response() -> None:
    values, lambdas = draw_values(2), torch.tensor([0.5, 0.0, 0.9, 1.0])
    result = targets(values, lambd=lambdas, critic_lambd=1.0)
    assert torch.equal(result.returns, REWARDS.sum(1, keepdim=True) * MASK)
    assert torch.allclose(result.advantages, gae(REWARDS, result.values, MASK, 1.0, lambdas).advantages, atol=1e-6)
    shared = targets(values, lambd=lambdas)
    assert torch.allclose(shared.returns, shared.advantages + shared.values, atol=1e-6)


def test_whitening_precedes_masking_and_leaves_returns_alone() -> None:
    plain, white = targets(draw_values(2)), targets(draw_values(2), whiten=True)
    assert torch.equal(white.advantages, whitened(plain.advantages, MASK))
    assert torch.equal(white.returns, plain.returns)
    assert torch.equal(white.advantage_kept, plain.advantage_kept)


def test_gates_follow_their_own_signals() -> None:
    values, entropy = draw_values(2), torch.rand(MASK.shape)
    noise = random_signal(MASK, 7)
    result = targets(values, mask_signal="entropy", entropy_filter_signal="random", entropy=entropy)
    assert torch.equal(result.advantage_kept, MASK & ~lowest(entropy, MASK, 0.2, None))
    assert torch.equal(result.entropy_kept, MASK & ~highest(noise, MASK, 0.3, None))
    std = targets(values, scope_of_row=torch.arange(4))
    assert torch.equal(std.advantage_kept, MASK & ~lowest(std.disagreement, MASK, 0.2, torch.arange(4)))
    off = targets(values, mask_signal="none")
    assert torch.equal(off.advantage_kept, MASK)
    assert not torch.equal(off.entropy_kept, MASK)


def test_the_control_gates_work_with_one_critic() -> None:
    result = targets(draw_values(1), mask_signal="random")
    assert int((MASK & ~result.advantage_kept).sum()) == int(MASK.sum()) // 5
    assert torch.equal(result.entropy_kept, MASK)


def test_equal_heads_mask_nothing() -> None:
    result = targets(torch.zeros(2, *MASK.shape))
    assert torch.equal(result.advantage_kept, MASK)
    assert torch.equal(result.entropy_kept, MASK)


def test_an_entropy_signal_needs_an_entropy() -> None:
    with pytest.raises(ValueError, match="pass entropy"):
        targets(draw_values(2), mask_signal="entropy")


@pytest.mark.parametrize("critics", [1, 2, 3])
def test_padding_and_its_amount_change_nothing(critics: int) -> None:
    def widen(x: Tensor) -> Tensor:
        return torch.nn.functional.pad(x.masked_fill(~MASK, float("nan")), (0, 5), value=float("nan"))

    values = draw_values(critics)
    narrow = targets(values, lambd=0.9, whiten=True)
    wide = targets(widen(values), torch.nn.functional.pad(MASK, (0, 5)), widen(REWARDS), lambd=0.9, whiten=True)
    for name in FIELDS:
        expected = torch.nn.functional.pad(getattr(narrow, name), (0, 5))
        assert torch.allclose(getattr(wide, name).double(), expected.double(), atol=1e-6), name


def test_order_of_responses_changes_nothing() -> None:
    order, values = torch.tensor([2, 0, 3, 1]), draw_values(2)
    plain = targets(values, lambd=0.9)
    moved = targets(values[:, order], MASK[order], REWARDS[order], lambd=0.9)
    for name in FIELDS:
        assert torch.allclose(getattr(moved, name).double(), getattr(plain, name)[order].double(), atol=1e-6), name


def test_order_of_critics_changes_nothing() -> None:
    values = draw_values(2)
    for name in FIELDS:
        assert torch.equal(getattr(targets(values), name), getattr(targets(values.flip(0)), name)), name


def test_a_single_token() -> None:
    one = torch.ones(1, 1, dtype=torch.bool)
    result = targets(torch.tensor([[[0.25]], [[0.75]]]), one, torch.ones(1, 1))
    assert result.advantages.tolist() == [[0.5]] and result.advantage_kept.tolist() == [[True]]


def test_without_critics_every_token_gets_its_responses_advantage() -> None:
    advantages = torch.tensor([1.5, -1.0, 0.0, 2.0])
    result = critic_free_targets(advantages, MASK, **{**GATES, "entropy_filter_signal": "random"})
    assert torch.equal(result.advantages, advantages[:, None] * MASK)
    assert torch.equal(result.advantage_kept, MASK)
    assert torch.equal(result.entropy_kept, MASK & ~highest(random_signal(MASK, 7), MASK, 0.3, None))
    assert not result.values.any()
    assert not result.returns.any() and not result.disagreement.any()
    white = critic_free_targets(advantages, MASK, **{**GATES, "whiten": True})
    assert torch.allclose(white.advantages, whitened(advantages[:, None] * MASK, MASK))
