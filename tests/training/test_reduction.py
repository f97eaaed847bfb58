"""One critic is plain PPO: a textbook implementation, written apart from ours, gives the same weights to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from asyppo_cli.algorithm.targets import Targets
from asyppo_cli.engines.hf.models import PolicyModel, ValueModel
from asyppo_cli.engines.torch.learner import AdamW, TorchLearner
from asyppo_cli.training.objectives import PolicyObjective, ValueObjective
from asyppo_cli.training.rewards import Rewards
from asyppo_cli.training.update import CriticUpdate, Passes, PolicyUpdate
from asyppo_cli.types import Sequences

LR, EPOCHS, CLIP, BETA = 1e-2, 3, 0.2, 0.01
OUTCOMES = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0])


def learner(module: Any) -> TorchLearner[Any]:
    return TorchLearner(
        module,
        AdamW(LR, 0.0, (0.9, 0.95), 1.0, 0, "constant", 10),
        device=torch.device("cpu"),
        dtype=torch.float32,
        micro_batch_tokens=10_000,
        gradient_checkpointing=False,
        share_prompts=False,
    )


def ours(policy: PolicyModel, critic: ValueModel, batch: Sequences, papers_targets: Callable[..., Targets]) -> None:
    critics = CriticUpdate([learner(critic)], ValueObjective(None), Passes(1, 1), "by_response")
    objective = PolicyObjective(CLIP, CLIP, None, "token", BETA, 0.0, "k3", 0.0, None)
    update = PolicyUpdate(learner(policy), objective, Passes(EPOCHS, 1), "response_mean", 16)
    mask = batch.response_mask
    values = critics.values(batch)
    targets = papers_targets(values, OUTCOMES, mask)
    critics.learn(batch, torch.arange(9) // 3, targets, values, seed=0)
    rewards = Rewards(OUTCOMES, torch.ones(len(batch), dtype=torch.bool), OUTCOMES > 0)
    parts = update.mini_batches(9, 0)
    update.learn(
        batch, update.targets(mask, targets, rewards, parts, old=None, sampled=None, reference=None), parts, None
    )


def textbook(policy: PolicyModel, critic: ValueModel, batch: Sequences) -> None:
    """PPO (Schulman et al. 2017) with Monte-Carlo returns, response-mean loss and entropy bonus; sorted rows, as any
    trainer does, since sums in another order round differently."""
    order = batch.lengths.argsort(descending=True, stable=True)
    batch, outcome = batch.rows(order), OUTCOMES[order][:, None]
    mask = batch.response_mask
    values = critic(batch).values.detach()
    advantages = (outcome - values) * mask
    per_response = mask / (mask.sum(1, keepdim=True) * len(batch))
    old: Tensor | None = None
    adam = torch.optim.AdamW(policy.parameters(), lr=LR, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    for _ in range(EPOCHS):
        outputs = policy(batch)
        old = outputs.logprobs.detach() if old is None else old
        ratio = (outputs.logprobs - old).exp()
        surrogate = torch.minimum(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages)
        loss = ((-surrogate - BETA * outputs.entropy) * per_response).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        adam.step()
        adam.zero_grad()


@pytest.mark.parametrize("head", [0.0, 1.0])
def test_one_critic_and_its_idle_gates_are_plain_ppo_to_the_bit(
    make_model: Callable[..., Any], papers_targets: Callable[..., Targets], batch: Sequences, head: float
) -> None:
    def pair() -> tuple[PolicyModel, ValueModel]:
        critic = ValueModel(make_model("qwen3", 2).base_model)
        torch.manual_seed(1)
        torch.nn.init.normal_(critic.head.weight, std=head)
        return PolicyModel(make_model("qwen3", 1), 1.0), critic

    (policy, critic), (expected, unchanged) = pair(), pair()
    before = {name: weight.clone() for name, weight in policy.named_parameters()}
    ours(policy, critic, batch, papers_targets)
    textbook(expected, unchanged, batch)
    for name, weight in policy.named_parameters():
        assert torch.equal(weight, expected.get_parameter(name)), name
        assert not torch.equal(weight, before[name]), name
