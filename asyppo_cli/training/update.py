"""One step's learning: every critic on its share of the responses, the policy on all of them.

Shapes: ``M`` critics, ``B`` responses, ``T`` tokens of the longest response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeVar

import torch
from torch import Tensor

from asyppo_cli.algorithm.critics import Split, SplitFunction, assign
from asyppo_cli.algorithm.losses import token_weights
from asyppo_cli.algorithm.targets import Targets
from asyppo_cli.ports import Learner
from asyppo_cli.runs import metrics as names
from asyppo_cli.training import objectives
from asyppo_cli.training.background import in_background
from asyppo_cli.training.objectives import PolicyObjective, ValueObjective
from asyppo_cli.training.rewards import Rewards
from asyppo_cli.types import PolicyOutputs, PolicyTargets, Sequences, StepReport, ValueOutputs, ValueTargets

T = TypeVar("T")


@dataclass(frozen=True)
class Passes:
    """How often a batch is gone through, and in how many optimizer steps each time."""

    epochs: int
    mini_batches: int


def partition(rows: Tensor, parts: int, seed: int) -> list[Tensor]:
    """Rows shuffled and cut into ``parts`` mini-batches of nearly equal size (fewer if there are fewer rows)."""
    shuffled = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
    return list(torch.tensor_split(shuffled, min(parts, len(rows))))


@dataclass(frozen=True)
class CriticUpdate:
    """Trains every critic towards the returns, each on the responses that the split gives it.

    ``together``: the critics have processes of their own and work at the same time. The numbers are the same.
    """

    critics: Sequence[Learner[ValueOutputs]]
    objective: ValueObjective
    passes: Passes
    split: Split | SplitFunction
    together: bool = False

    def values(self, batch: Sequences) -> Tensor:
        """All critics score all responses: ``[M, B, T]``."""
        return torch.stack(self._each(lambda m: self.critics[m].forward(batch).values))

    def learn(
        self, batch: Sequences, prompt_index: Tensor, targets: Targets, values: Tensor, seed: int
    ) -> dict[str, float]:
        """One step of every critic; ``values`` are those from before. Returns metrics."""
        shares = assign(prompt_index, len(self.critics), self.split)

        def learn_one(m: int) -> dict[str, float]:
            parts = partition(shares[m].nonzero()[:, 0], self.passes.mini_batches, seed + m)
            losses, reports = [], []
            for rows in parts * self.passes.epochs:
                loss, report = self._step(self.critics[m], batch, rows, targets.returns, values[m])
                losses.append(loss)
                reports.append(report)
            return {
                names.critic(m, "loss"): sum(losses) / len(losses),
                names.critic(m, "grad_norm"): sum(r.grad_norm for r in reports) / len(reports),
                names.critic(m, "skipped_steps"): sum(r.skipped for r in reports),
                names.critic(m, "lr"): reports[-1].lr,
            }

        return {name: value for learnt in self._each(learn_one) for name, value in learnt.items()}

    def _each(self, work: Callable[[int], T]) -> list[T]:
        """What ``work`` makes of the number of every critic, in order."""
        numbers = range(len(self.critics))
        if not self.together:
            return [work(m) for m in numbers]
        beside = [in_background(partial(work, m)) for m in numbers]
        return [future.result() for future in beside]

    def _step(
        self, critic: Learner[ValueOutputs], batch: Sequences, rows: Tensor, returns: Tensor, values: Tensor
    ) -> tuple[float, StepReport]:
        part = batch.rows(rows)
        mask = part.response_mask
        width = mask.shape[1]
        targets = ValueTargets(
            mask,
            token_weights(mask, "token_mean", max_length=width),
            returns[rows, :width],
            values[rows, :width] if self.objective.clip is not None else None,
        )
        _, sums = critic.forward_backward(part, targets, self.objective)
        return sums["loss"], critic.optimizer_step()


@dataclass(frozen=True)
class PolicyUpdate:
    """Trains the policy on a batch: ``passes.epochs`` (UTD) times."""

    policy: Learner[PolicyOutputs]
    objective: PolicyObjective
    passes: Passes
    aggregation: Literal["response_mean", "token_mean", "constant"]
    response_length: int

    def mini_batches(self, count: int, seed: int) -> list[Tensor]:
        """Rows of each mini-batch of ``count`` responses, the same in all passes."""
        rows = torch.arange(count)
        return [rows] if self.passes.mini_batches == 1 else partition(rows, self.passes.mini_batches, seed)

    def targets(
        self,
        mask: Tensor,
        targets: Targets,
        rewards: Rewards,
        parts: Sequence[Tensor],
        *,
        old: Tensor | None,
        sampled: Tensor | None,
        reference: Tensor | None,
    ) -> PolicyTargets:
        """Targets of the whole batch, complete; means are over each of the mini-batches ``parts``.

        Log-probabilities ``[B, T]``: of the ``old`` policy (None: :meth:`learn` gets them from its first pass), those
        ``sampled`` with (None: the loss is not corrected for the sampler), of the ``reference`` (None: no KL term).
        """
        weights, likelihood = torch.zeros(mask.shape), torch.zeros(mask.shape)
        for rows in parts:
            part, counted = mask[rows], rewards.counted[rows]
            weights[rows] = token_weights(part, self.aggregation, self.response_length, rows=counted)
            correct = rewards.correct[rows, None] & part
            likelihood[rows] = correct / correct.sum().clamp(min=1)
        return PolicyTargets(
            mask=mask,
            weights=weights,
            advantages=targets.advantages,
            advantage_kept=targets.advantage_kept,
            entropy_kept=targets.entropy_kept,
            old_logprobs=old,
            sampler_logprobs=sampled,
            reference_logprobs=reference,
            nll_weights=likelihood if self.objective.nll_coef else None,
        )

    def learn(
        self, batch: Sequences, targets: PolicyTargets, parts: Sequence[Tensor], old: PolicyOutputs | None
    ) -> tuple[PolicyOutputs, dict[str, float]]:
        """All passes over the mini-batches ``parts``; returns the old policy's outputs and metrics.

        ``old`` may be None if there is one mini-batch, in the batch's own order: nothing has changed when the first
        pass sees it, so that pass gives the old outputs. Where the targets hold no old log-probabilities, these are
        used for all later passes.
        """
        totals: dict[str, float] = {}
        reports = []
        for _ in range(self.passes.epochs):
            for rows in parts:
                part = batch.rows(rows)
                chosen = targets.rows(rows, int(part.response_lengths.max()))
                outputs, sums = self.policy.forward_backward(part, chosen, self.objective)
                reports.append(self.policy.optimizer_step())
                totals = {name: totals.get(name, 0.0) + value for name, value in sums.items()}
            if old is None:
                old = outputs
                if targets.old_logprobs is None:
                    targets = replace(targets, old_logprobs=old.logprobs)
        assert old is not None
        return old, self._metrics(totals, reports, int(targets.mask.sum()))

    def _metrics(self, totals: Mapping[str, float], reports: Sequence[StepReport], tokens: int) -> dict[str, float]:
        seen = tokens * self.passes.epochs
        metrics = {
            names.POLICY_LOSS: totals["loss"] / len(reports),
            names.CLIP_SHARE: totals[objectives.CLIPPED] / seen,
            names.KL: totals[objectives.KL] / seen,
            names.POLICY_GRAD_NORM: sum(report.grad_norm for report in reports) / len(reports),
            names.POLICY_SKIPPED: sum(report.skipped for report in reports),
            names.POLICY_LR: reports[-1].lr,
        }
        if objectives.REFERENCE_KL in totals:
            metrics[names.REFERENCE_KL] = totals[objectives.REFERENCE_KL] / seen
        return metrics
