"""Functions of the user's in place of built-in ones: the same numbers where they are the same, checked where not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from asyppo_cli.algorithm import critics, losses
from asyppo_cli.config.load import load
from asyppo_cli.extensions.function import Extension, ExtensionError
from asyppo_cli.training import user_functions
from asyppo_cli.training.estimate import Estimator
from asyppo_cli.training.objectives import PolicyObjective
from asyppo_cli.types import PolicyOutputs, PolicyTargets

MASK = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]], dtype=torch.bool)
INDEX = torch.tensor([0, 0, 1, 1])
REWARDS = torch.tensor([1.0, 0.0, 0.0, 1.0])
SOURCE = """
import torch
from asyppo_cli.algorithm.baselines import grpo as built_in_grpo
from asyppo_cli.algorithm.returns import gae as built_in_gae

def gae(batch):
    return built_in_gae(batch.token_rewards, batch.values.mean(0), batch.mask, batch.gamma, batch.lambd).advantages

def grpo(batch):
    return built_in_grpo(batch.rewards, batch.prompt_index)

def disagreement(batch):
    return batch.disagreement

def entropy(batch):
    return batch.entropy.double()

def mean(values, mask):
    return values.mean(0)

def by_row(prompt_index, critics):
    rows = torch.arange(len(prompt_index))
    return torch.stack([rows % critics == m for m in range(critics)])

def surrogate(outputs, targets):
    ratio = (outputs.logprobs - targets.old_logprobs).exp()
    return -torch.min(ratio * targets.advantages, ratio.clamp(0.8, 1.2) * targets.advantages)

def numbers(*_):
    return [1.0]

def short(batch):
    return batch.rewards[:2]

def whole(*_):
    return torch.ones(4, 3, dtype=torch.long)

def nan(*_):
    return torch.full((4, 3), torch.nan)

def idle(prompt_index, critics):
    return torch.zeros(critics, len(prompt_index), dtype=torch.bool)

def constant(outputs, targets):
    return torch.zeros(4, 3)
"""


def own(key: str, name: str) -> dict[str, Extension]:
    return {key: Extension(key, "mine.py", name, "/nowhere/mine.py", SOURCE)}


def estimated(overrides: list[str], extensions: dict[str, Extension], count: int = 3) -> Any:
    config = load(["gates.mask_pct=0.3", "advantage.lambd=0.9", f"critics.count={count}", *overrides]).config
    generator = torch.Generator().manual_seed(1)
    values, logprobs, entropy = (torch.rand(shape, generator=generator) for shape in ((3, 4, 3), (4, 3), (4, 3)))
    old = PolicyOutputs(logprobs, entropy, entropy)
    estimator = Estimator(config.advantage, config.critics, config.gates, config.policy_loss, extensions)
    assert estimator.needs_old_outputs == bool(extensions.keys() - {"critics.aggregation"}) or "entropy" in str(
        overrides
    )
    return estimator.estimate(REWARDS, INDEX, MASK, values if count else None, [], 3, old, None)


@pytest.mark.parametrize(
    ("key", "name", "built_in", "count"),
    [
        ("advantage.estimator", "gae", "gae", 3),
        ("advantage.estimator", "grpo", "grpo", 0),
        ("gates.mask_signal", "disagreement", "value_std", 3),
        ("gates.entropy_filter_signal", "entropy", "entropy", 3),
        ("critics.aggregation", "mean", "mean", 3),
    ],
)
def test_a_copy_of_a_built_in_gives_the_same(key: str, name: str, built_in: str, count: int) -> None:
    theirs = estimated([f"{key}=mine.py:{name}"], own(key, name), count)
    ours = estimated([f"{key}={built_in}"], {}, count)
    for field in ("values", "advantages", "returns", "advantage_kept", "entropy_kept"):
        assert torch.equal(getattr(theirs, field), getattr(ours, field)), field


def test_an_estimator_per_response_may_have_critics_beside_it() -> None:
    found = estimated(["advantage.estimator=mine.py:grpo"], own("advantage.estimator", "grpo"))
    assert torch.equal(found.advantages != 0, MASK) and bool(found.returns.any())


def test_one_signal_behind_both_gates_is_asked_once() -> None:
    both = own("gates.mask_signal", "disagreement") | own("gates.entropy_filter_signal", "disagreement")
    signals = ["gates.mask_signal=mine.py:disagreement", "gates.entropy_filter_signal=mine.py:disagreement"]
    found, ours = estimated(signals, both), estimated([], {})
    assert torch.equal(found.advantage_kept, ours.advantage_kept) and torch.equal(found.entropy_kept, ours.entropy_kept)


@pytest.mark.parametrize(
    ("name", "part"),
    [("numbers", "list"), ("short", "[2]"), ("whole", "int64"), ("nan", "9 of 9"), ("absent", "not defined")],
)
def test_what_cannot_be_used_is_one_line_with_the_users_file(name: str, part: str) -> None:
    with pytest.raises(ExtensionError) as caught:
        estimated([f"advantage.estimator=mine.py:{name}"], own("advantage.estimator", name))
    assert "mine.py" in str(caught.value) and part in str(caught.value)


def test_a_split_is_checked() -> None:
    split = user_functions.split(own("critics.split", "by_row")["critics.split"])
    assert critics.assign(INDEX, 2, split).int().tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]]
    for name in ("numbers", "whole", "idle"):
        with pytest.raises(ExtensionError, match="mine.py"):
            user_functions.split(own("critics.split", name)["critics.split"])(INDEX, 4)


def loss(surrogate: Extension | None) -> Any:
    generator = torch.Generator().manual_seed(2)
    logprobs = torch.rand(4, 3, generator=generator).requires_grad_()
    advantages, old = torch.rand(4, 3, generator=generator), torch.rand(4, 3, generator=generator)
    ones = torch.ones(4, 3, dtype=torch.bool)
    targets = PolicyTargets(MASK, losses.token_weights(MASK, "token_mean", 3), advantages, ones, ones, old)
    objective = PolicyObjective(0.2, 0.2, None, "token", 0.0, 0.0, "k3", 0.0, None, surrogate)
    terms = objective(PolicyOutputs(logprobs, logprobs, logprobs), targets)
    terms.loss.backward()
    return terms.loss.detach(), logprobs.grad


def test_a_surrogate_takes_the_place_of_the_clipped_one() -> None:
    ours, theirs = loss(None), loss(own("policy_loss.surrogate", "surrogate")["policy_loss.surrogate"])
    assert torch.allclose(ours[0], theirs[0]) and torch.allclose(ours[1], theirs[1])
    with pytest.raises(ExtensionError, match="gradient"):
        loss(own("policy_loss.surrogate", "constant")["policy_loss.surrogate"])
