from __future__ import annotations

import math
import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from asyppo_cli.algorithm.losses import token_weights
from asyppo_cli.training.objectives import PolicyObjective, ValueObjective
from asyppo_cli.types import PolicyOutputs, PolicyTargets, ValueOutputs, ValueTargets

PAPER = PolicyObjective(
    clip_low=0.2,
    clip_high=0.2,
    dual_clip=None,
    ratio="token",
    entropy_coef=0.01,
    kl_coef=0.0,
    kl_form="k3",
    nll_coef=0.0,
    importance_cap=None,
)
MASK = torch.tensor([[True, True, True], [True, False, False]])


def leaf(*values: list[float]) -> Tensor:
    return torch.tensor(values, requires_grad=True)


def outputs() -> PolicyOutputs:
    return PolicyOutputs(
        logprobs=leaf([-1.0, -2.0, -0.5], [-0.7, 0.0, 0.0]),
        entropy=leaf([1.0, 0.5, 0.2], [2.0, 0.0, 0.0]),
        others_squared=torch.zeros(2, 3),
    )


def targets(**changes: Any) -> PolicyTargets:
    usual = PolicyTargets(
        mask=MASK,
        weights=token_weights(MASK, "response_mean", 8),
        advantages=torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.0, 0.0]]),
        advantage_kept=torch.tensor([[True, False, True], [True, False, False]]),
        entropy_kept=torch.tensor([[True, True, False], [False, False, False]]),
        old_logprobs=torch.tensor([[-1.0, -2.5, -0.9], [-0.7, 0.0, 0.0]]),
    )
    return replace(usual, **changes)


def test_worked_example_of_the_papers_objective() -> None:
    # rho = 1, e^0.5, e^0.4 -> clipped 1.2, and 1; weights 1/6 for the first response's tokens and 1/2 for the other's.
    gain = (1.0 * 1.0 + 1.2 * 0.5) / 6 + 3.0 / 2
    bonus = 0.01 * (1.0 + 0.5) / 6
    assert PAPER(outputs(), targets()).loss.item() == pytest.approx(-(gain + bonus), rel=1e-6)


def test_masked_tokens_get_no_policy_gradient_and_filtered_ones_no_bonus() -> None:
    given = outputs()
    PAPER(given, targets()).loss.backward()  # type: ignore[no-untyped-call]
    assert given.logprobs.grad is not None and given.entropy.grad is not None
    # Token (0, 1) is masked, (0, 2) clipped; padding never counts.
    assert (given.logprobs.grad != 0).tolist() == [[True, False, False], [True, False, False]]
    assert (given.entropy.grad != 0).tolist() == [[True, True, False], [False, False, False]]


def test_masked_tokens_stay_in_the_denominator() -> None:
    everything = torch.ones_like(MASK) & MASK
    full, gated = outputs(), outputs()
    PAPER(full, targets(advantage_kept=everything, entropy_kept=everything)).loss.backward()  # type: ignore[no-untyped-call]
    PAPER(gated, targets()).loss.backward()  # type: ignore[no-untyped-call]
    assert full.logprobs.grad is not None and gated.logprobs.grad is not None
    assert full.logprobs.grad[0, 0] == gated.logprobs.grad[0, 0]


def test_the_first_pass_is_its_own_old_policy() -> None:
    given = outputs()
    terms = PAPER(given, targets(old_logprobs=None))
    same = PAPER(outputs(), targets(old_logprobs=outputs().logprobs.detach()))
    assert terms.loss.item() == same.loss.item() and terms.sums["clipped"] == 0 and terms.sums["kl"] == 0


def test_reference_divergence_and_likelihood_are_added() -> None:
    reference = torch.tensor([[-1.5, -2.0, -0.5], [-0.7, 0.0, 0.0]])
    with_kl = replace(PAPER, kl_coef=0.5)
    extra = with_kl(outputs(), targets(reference_logprobs=reference)).loss - PAPER(outputs(), targets()).loss
    # k3 at d = 0.5, weight 1/6.
    assert extra.item() == pytest.approx(0.5 * (2.718281828**-0.5 - 1 + 0.5) / 6, rel=1e-4)
    likely = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    with_nll = replace(PAPER, nll_coef=0.1)
    extra = with_nll(outputs(), targets(nll_weights=likely)).loss - PAPER(outputs(), targets()).loss
    assert extra.item() == pytest.approx(0.1 * 0.7, rel=1e-4)


def test_value_objective_is_the_weighted_square() -> None:
    values = ValueOutputs(leaf([0.5, 0.0, 1.0], [0.2, 0.0, 0.0]))
    goal = ValueTargets(MASK, token_weights(MASK, "token_mean", 8), torch.ones(2, 3))
    expected = (0.25 + 1.0 + 0.0 + 0.64) / 4
    assert ValueObjective(None)(values, goal).loss.item() == pytest.approx(expected)


def test_objectives_travel_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(PAPER)) == PAPER
    assert pickle.loads(pickle.dumps(ValueObjective(0.2))) == ValueObjective(0.2)


def test_importance_weights_account_for_the_sampler_and_are_cut() -> None:
    sampled = torch.tensor([[-1.0, -2.5 - math.log(1.5), -0.9 - math.log(9.0)], [-0.7 + math.log(2.0), 0.0, 0.0]])
    everything = targets(advantage_kept=MASK)
    given = replace(everything, sampler_logprobs=sampled)
    plain, weighed = outputs(), outputs()
    unweighed = replace(PAPER, entropy_coef=0.0)
    unweighed(plain, everything).loss.backward()
    replace(unweighed, importance_cap=2.0)(weighed, given).loss.backward()
    expected = plain.logprobs.grad * torch.tensor([[1.0, 1.5, 2.0], [0.5, 1.0, 1.0]])
    torch.testing.assert_close(weighed.logprobs.grad, expected)


def test_importance_weights_leave_the_entropy_bonus_alone() -> None:
    given = replace(targets(), sampler_logprobs=torch.full((2, 3), -5.0))
    plain, weighed = outputs(), outputs()
    PAPER(plain, targets()).loss.backward()
    replace(PAPER, importance_cap=2.0)(weighed, given).loss.backward()
    torch.testing.assert_close(weighed.entropy.grad, plain.entropy.grad)
