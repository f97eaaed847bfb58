"""Supervised fine-tuning of a policy on worked traces: a base for reinforcement learning."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from asyppo_cli.algorithm.losses import token_weights
from asyppo_cli.monitor import Monitor
from asyppo_cli.ports import Learner, NonFiniteLoss
from asyppo_cli.runs import metrics as names
from asyppo_cli.training.objectives import LikelihoodObjective
from asyppo_cli.types import PolicyOutputs, PolicyTargets, Sequences

# Steps between two reports to the monitor.
REPORT_EVERY = 50

Pair = tuple[Sequence[int], Sequence[int]]


def train_sft(
    learner: Learner[PolicyOutputs],
    pairs_at: Callable[[int], Sequence[Pair]],
    steps: int,
    monitor: Monitor,
) -> float:
    """Maximise the likelihood of responses given prompts, token-mean; returns the last mean loss in nats a token.

    ``pairs_at(step)`` gives the tokenized prompts and responses of optimizer step ``step`` (from 0). RuntimeError if a
    loss or gradient is NaN or infinite; the weights are those before that step.
    """
    recent: list[float] = []
    for step in range(steps):
        try:
            loss = sft_step(learner, pairs_at(step))
        except NonFiniteLoss as error:
            raise RuntimeError(f"step {step + 1}: {error}: lower learner.policy.lr") from error
        recent.append(loss)
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == steps:
            monitor.step(step + 1, {names.SUPERVISED_LOSS: sum(recent) / len(recent)})
            last, recent = sum(recent) / len(recent), []
    return last


def sft_step(learner: Learner[PolicyOutputs], pairs: Sequence[Pair]) -> float:
    """One optimizer step; returns the loss before it."""
    batch = Sequences.join([prompt for prompt, _ in pairs], [response for _, response in pairs])
    mask = batch.response_mask
    weights = token_weights(mask, "token_mean", max_length=mask.shape[1])
    targets = PolicyTargets(mask=mask, weights=weights, advantages=weights, advantage_kept=mask, entropy_kept=mask)
    _, sums = learner.forward_backward(batch, targets, LikelihoodObjective())
    learner.optimizer_step()
    return sums["loss"]
