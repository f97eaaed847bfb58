"""Diagnostics against their definitions and against automatic differentiation."""

from __future__ import annotations

import pytest
import torch

from asyppo_cli.algorithm.diagnostics import correlation, explained_variance, policy_gradient_norm
from asyppo_cli.algorithm.losses import clipped_policy_loss

MASK = torch.arange(6) < torch.tensor([[6], [2], [4]])
NAN = float("nan")


def test_explained_variance() -> None:
    returns = torch.randn(3, 6)
    noise = torch.randn(3, 6) * 0.5
    expected = 1 - noise[MASK].var() / returns[MASK].var()
    values = (returns - noise).masked_fill(~MASK, NAN)
    assert explained_variance(values, returns, MASK) == pytest.approx(float(expected), abs=1e-5)
    assert explained_variance(returns, returns, MASK) == 1.0
    assert explained_variance(returns + 3.0, returns, MASK) == pytest.approx(1.0)


def test_returns_that_do_not_vary_explain_nothing() -> None:
    assert explained_variance(torch.randn(3, 6), torch.full((3, 6), 0.1), MASK) == 0.0
    assert explained_variance(torch.randn(3, 6), torch.randn(3, 6), torch.zeros_like(MASK)) == 0.0


def test_correlation_is_the_mean_over_pairs() -> None:
    values = torch.randn(3, 3, 6)
    matrix = torch.corrcoef(values[:, MASK])
    expected = (matrix[0, 1] + matrix[0, 2] + matrix[1, 2]) / 3
    poisoned = values.masked_fill(~MASK, NAN)
    assert correlation(poisoned, MASK) == pytest.approx(float(expected), abs=1e-5)
    assert correlation(torch.stack([values[0], 3 - 2 * values[0]]), MASK) == pytest.approx(-1.0, abs=1e-5)


def test_correlation_where_it_is_undefined() -> None:
    values = torch.randn(2, 3, 6)
    values[1] = 0.1
    assert correlation(values, MASK) == 0.0
    assert correlation(values[:1], MASK) == 0.0
    assert correlation(values, torch.zeros_like(MASK)) == 0.0


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_gradient_norm_is_that_of_automatic_differentiation(temperature: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4, 50, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    tokens = torch.randint(0, 7, (4, 50, 1), generator=generator)
    old = torch.randn(4, 50, generator=generator, dtype=torch.float64) * 0.3
    advantages = torch.randn(4, 50, generator=generator, dtype=torch.float64)
    distribution = (logits / temperature).log_softmax(-1)
    logprobs = distribution.gather(2, tokens)[..., 0]
    ratio = (logprobs - logprobs.detach() + old).exp()
    loss, clipped = clipped_policy_loss(ratio, advantages, 0.2, 0.2, 3.0)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    others = distribution.exp().square().sum(-1) - logprobs.exp().square()
    norm = policy_gradient_norm(ratio, advantages, clipped, logprobs, others, temperature)
    assert clipped.any()
    assert not clipped.all()
    assert torch.allclose(norm.detach(), gradient.norm(dim=-1), atol=1e-9)


def test_a_certain_token_has_no_gradient() -> None:
    one = torch.ones(1, 1)
    norm = policy_gradient_norm(one, one, one.bool() & False, torch.full((1, 1), 1e-7), one * 0.0)
    assert 0.0 <= norm.item() < 1e-6
