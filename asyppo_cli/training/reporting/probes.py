"""Probes: a few held-out prompts, answered anew at every recorded step and never learnt from.

Training prompts rarely come again, so nothing in the token records of two steps can be set side by side. Probes can:
the same prompts, the same seed, another policy. Nothing here draws from, or leaves behind, any random state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from asyppo_cli.ports import Learner
from asyppo_cli.training.estimate import Estimator
from asyppo_cli.training.rewards import Rewards
from asyppo_cli.training.rollouts.rollout import Rollout
from asyppo_cli.training.step import StepOutcome
from asyppo_cli.training.update import CriticUpdate
from asyppo_cli.types import PolicyOutputs, Prompt

# Two, so that methods which compare the responses of a prompt have something to compare.
RESPONSES = 2


@dataclass(frozen=True)
class Probes:
    """Held-out ``prompts``; ``answer`` gives graded responses to them from one seed, whatever the step."""

    prompts: Sequence[Prompt]
    answer: Callable[[Sequence[Prompt]], Rollout]
    reward: Callable[[Rollout], Rewards]
    policy: Learner[PolicyOutputs]
    critics: CriticUpdate | None
    estimator: Estimator
    seed: int

    def outcome(self, step: int) -> StepOutcome | None:
        """Responses of the models as they are after ``step``, valued and gated as if they were a batch of their own.

        None if a model's outputs are not finite: the next step of training will raise.
        """
        rollout = self.answer(self.prompts)
        batch, rewards = rollout.sequences(), self.reward(rollout)
        mask, everything = batch.response_mask, [torch.arange(len(batch))]
        old = self.policy.forward(batch)
        values = None if self.critics is None else self.critics.values(batch)
        seen = [old.logprobs[mask], old.entropy[mask], *([] if values is None else [values[:, mask]])]
        if not all(bool(tensor.isfinite().all()) for tensor in seen):
            return None
        targets = self.estimator.estimate(
            rewards.outcomes, rollout.prompt_index, mask, values, everything, self.seed, old, None
        )
        return StepOutcome(step, rollout, batch, rewards, everything, targets, old, values)
