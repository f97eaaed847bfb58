"""Losses: by hand, against automatic differentiation, and at the edges."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from asyppo_cli.algorithm import losses

MASK = torch.tensor([[True, True, True], [True, False, False]])


def token(value: float) -> Tensor:
    return torch.tensor([[value]])


def test_weights_by_hand() -> None:
    expected = torch.tensor([[1 / 6, 1 / 6, 1 / 6], [1 / 2, 0.0, 0.0]])
    assert torch.allclose(losses.token_weights(MASK, "response_mean", 10), expected)
    assert torch.equal(losses.token_weights(MASK, "token_mean", 10), MASK * 0.25)
    assert torch.equal(losses.token_weights(MASK, "constant", 10), MASK.float() / 20)


@pytest.mark.parametrize("aggregation", ["response_mean", "token_mean"])
@pytest.mark.parametrize("rows", [None, [True, False, True, True], [False, False, True, False]])
def test_means_sum_to_one_over_the_rows_that_count(aggregation: str, rows: list[bool] | None) -> None:
    mask = torch.arange(9) < torch.tensor([[9], [2], [1], [5]])
    chosen = None if rows is None else torch.tensor(rows)
    weights = losses.token_weights(mask, aggregation, 9, chosen)  # type: ignore[arg-type]
    assert weights.sum().item() == pytest.approx(1.0)
    assert not weights[~mask].any()
    if chosen is not None:
        assert not weights[~chosen].any()


def test_no_row_that_counts_means_no_weight() -> None:
    for aggregation in ("response_mean", "token_mean", "constant"):
        weights = losses.token_weights(MASK, aggregation, 4, torch.zeros(2, dtype=torch.bool))  # type: ignore[arg-type]
        assert torch.equal(weights, torch.zeros(2, 3))


@pytest.mark.parametrize("kind", ["token", "sequence"])
def test_equal_logprobs_give_a_ratio_of_exactly_one(kind: str) -> None:
    logprobs = torch.randn(2, 3)
    assert torch.equal(losses.importance_ratio(logprobs, logprobs.clone(), MASK, kind), MASK.float())  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["token", "sequence"])
def test_padding_is_not_read_and_gets_no_gradient(kind: str) -> None:
    padding = ~MASK
    logprobs = torch.randn(2, 3).masked_fill(padding, float("nan")).requires_grad_()
    ratio = losses.importance_ratio(logprobs, torch.randn(2, 3), MASK, kind)  # type: ignore[arg-type]
    ratio.sum().backward()
    assert logprobs.grad is not None
    assert torch.equal(ratio[padding], torch.zeros(2))
    assert torch.equal(logprobs.grad[padding], torch.zeros(2))
    assert logprobs.grad[MASK].abs().min() > 0


def test_sequence_ratio_by_hand_with_its_gradient() -> None:
    logprobs = torch.tensor([[0.3, -0.1, 0.4], [0.2, 0.0, 0.0]], requires_grad=True)
    ratio = losses.importance_ratio(logprobs, torch.zeros(2, 3), MASK, "sequence")
    sequence = torch.tensor([0.2, 0.2]).exp()
    assert torch.allclose(ratio, sequence[:, None] * MASK)
    # The response mean of s A is s A; its gradient is s A / |o| at each token.
    (ratio * losses.token_weights(MASK, "response_mean", 3)).sum().backward()
    assert logprobs.grad is not None
    assert torch.allclose(logprobs.grad, (sequence / 2 / torch.tensor([3, 1]))[:, None] * MASK)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.1, 2.0, -2.2, -2.0),
        (1.5, 2.0, -2.56, 0.0),
        (0.5, 2.0, -1.0, -2.0),
        (0.5, -2.0, 1.6, 0.0),
        (1.5, -2.0, 3.0, 2.0),
        (5.0, -2.0, 6.0, 0.0),
        (5.0, 0.0, 0.0, 0.0),
    ],
)
def test_clipping_by_hand(ratio: float, advantage: float, loss: float, gradient: float) -> None:
    rho = token(ratio).requires_grad_()
    result, clipped = losses.clipped_policy_loss(rho, token(advantage), 0.2, 0.28, 3.0)
    result.sum().backward()
    assert rho.grad is not None
    assert result.item() == pytest.approx(loss)
    assert rho.grad.item() == pytest.approx(gradient)
    assert bool(clipped) == (gradient == 0.0 and advantage != 0.0)


def test_without_dual_clip_the_loss_is_not_bounded() -> None:
    result, clipped = losses.clipped_policy_loss(token(50.0), token(-1.0), 0.2, 0.2, None)
    assert result.item() == 50.0 and not clipped.any()


def test_on_policy_gradient_is_that_of_the_weighted_likelihood() -> None:
    logits = torch.randn(2, 3, 5, requires_grad=True)
    tokens, advantages = torch.randint(0, 5, (2, 3, 1)), torch.randn(2, 3) * MASK
    logprobs = logits.log_softmax(-1).gather(2, tokens)[..., 0]
    ratio = losses.importance_ratio(logprobs, logprobs.detach(), MASK, "token")
    surrogate = losses.clipped_policy_loss(ratio, advantages, 0.2, 0.2, None).loss
    (ours,) = torch.autograd.grad(surrogate.sum(), logits, retain_graph=True)
    (plain,) = torch.autograd.grad(-(logprobs * advantages).sum(), logits)
    assert torch.allclose(ours, plain, atol=1e-6)


def test_a_gated_token_has_exactly_no_gradient() -> None:
    logprobs = torch.randn(1, 4, requires_grad=True)
    kept = torch.tensor([[True, False, True, False]])
    mask = torch.ones(1, 4, dtype=torch.bool)
    ratio = losses.importance_ratio(logprobs, logprobs.detach() + 0.1, mask, "token")
    loss = losses.clipped_policy_loss(ratio, torch.ones(1, 4), 0.9, 9.0, None).loss * kept
    (loss * losses.token_weights(mask, "response_mean", 4)).sum().backward()
    assert logprobs.grad is not None
    assert torch.equal(logprobs.grad == 0, ~kept)


def test_kl_estimates_average_to_the_divergence() -> None:
    generator = torch.Generator().manual_seed(0)
    policy = torch.randn(6, generator=generator).log_softmax(0).double()
    reference = torch.randn(6, generator=generator).log_softmax(0).double()
    exact = (policy.exp() * (policy - reference)).sum()
    for form in ("k1", "k3"):
        estimate = losses.kl_estimate(policy[None], reference[None], form)  # type: ignore[arg-type]
        assert torch.allclose((policy.exp() * estimate).sum(), exact)
    assert (losses.kl_estimate(policy[None], reference[None], "k3") >= 0).all()
    assert losses.kl_estimate(token(-1.0), token(-3.0), "k2").item() == 2.0


def test_value_loss() -> None:
    values, returns, old = torch.tensor([[1.0, 0.6]]), torch.tensor([[0.5, 1.0]]), torch.tensor([[0.0, 0.5]])
    assert losses.value_loss(values, returns, None, None).tolist() == [[0.25, pytest.approx(0.16)]]
    # Clipped to 0.2 and 0.6: errors 0.09 and 0.16; the larger of both counts.
    assert losses.value_loss(values, returns, old, 0.2).tolist() == [[0.25, pytest.approx(0.16)]]
    assert losses.value_loss(torch.tensor([[0.5]]), token(0.5), token(0.0), 0.2).item() == pytest.approx(0.09)
    with pytest.raises(ValueError, match="needs old_values"):
        losses.value_loss(values, returns, None, 0.2)
