"""Probes: a few held-out prompts, answered anew at every recorded step and never learnt from.

Training prompts rarely come again, so nothing in the token records of two steps can be set side by side. Probes can:
the same prompts, the same seed, another policy. Nothing here draws from, or leaves behind, any random state.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch

from asyppo_cli.ports import Learner
from asyppo_cli.training.estimate import Estimator
from asyppo_cli.training.rollout import Collector
from asyppo_cli.training.step import StepOutcome
from asyppo_cli.training.update import CriticUpdate
from asyppo_cli.types import PolicyOutputs, SamplingParams

# Two, so that methods which compare the responses of a prompt have something to compare.
RESPONSES = 2


@dataclass(frozen=True)
class Probes:
    """``collector`` answers the ``prompts`` probes, whatever position is asked for; ``params.seed`` never changes."""

    prompts: int
    collector: Collector
    params: SamplingParams
    policy: Learner[PolicyOutputs]
    critics: CriticUpdate | None
    estimator: Estimator

    def answer(self, step: int) -> StepOutcome | None:
        """Responses of the models as they stand after ``step``, valued and gated as if they were a batch of their own.

        None if a model's outputs are not finite: the next step of training will say so.
        """
        rollout = self.collector.collect(0, self.prompts, self.params, lambda _: nullcontext())
        batch = rollout.sequences()
        mask = batch.response_mask
        old = self.policy.forward(batch)
        values = None if self.critics is None else self.critics.values(batch)
        seen = [old.logprobs[mask], old.entropy[mask], *([] if values is None else [values[:, mask]])]
        if not all(bool(tensor.isfinite().all()) for tensor in seen):
            return None
        one_batch = torch.zeros(len(batch), dtype=torch.long)
        targets = self.estimator.estimate(rollout, mask, values, one_batch, self.params.seed, old, None)
        return StepOutcome(step, rollout, batch, mask, [], targets, old, values)
