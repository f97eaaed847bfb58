"""One training step: sample, grade, value, estimate, learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from asyppo_cli.algorithm import diagnostics, losses
from asyppo_cli.algorithm.targets import Targets
from asyppo_cli.ports import Learner, NonFiniteLoss
from asyppo_cli.runs import metrics as names
from asyppo_cli.training.background import in_background
from asyppo_cli.training.clock import Clock
from asyppo_cli.training.estimate import Estimator
from asyppo_cli.training.rewards import Rewards
from asyppo_cli.training.rollouts.rollout import Rollout, rollout_metrics
from asyppo_cli.training.rollouts.source import RolloutSource
from asyppo_cli.training.seeds import derive_seed
from asyppo_cli.training.update import CriticUpdate, PolicyUpdate
from asyppo_cli.types import PolicyOutputs, Sequences

CRITICS_TRACK = "critics"


@dataclass
class StepOutcome:
    """A batch and all that a step computes of it.

    ``parts`` are the rows of the policy's mini-batches, ``values`` ``[M, B, T]`` (None: critic-free), ``old`` the
    outputs of the policy before it learns, ``reference`` log-probabilities ``[B, T]`` of the initial policy,
    ``staleness`` how many versions behind that policy the one that sampled is.
    """

    step: int
    rollout: Rollout
    batch: Sequences
    rewards: Rewards
    parts: list[Tensor]
    targets: Targets
    old: PolicyOutputs | None = None
    values: Tensor | None = None
    reference: Tensor | None = None
    staleness: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


class NonFiniteBatchError(RuntimeError):
    """A batch on which a value, loss or gradient was not finite; ``tensors`` is what to keep of it."""

    def __init__(self, reason: str, rollout: Rollout, batch: Sequences, **tensors: Tensor) -> None:
        super().__init__(reason)
        self.tensors = {
            "tokens": batch.tokens,
            "prompt_lengths": batch.prompt_lengths,
            "response_lengths": batch.response_lengths,
            "rewards": rollout.rewards,
            **tensors,
        }


@dataclass(frozen=True)
class TrainStep:
    """All roles of a step. ``critics`` None: a critic-free method; ``reference`` None: no KL term.

    ``together``: policy and critics have devices of their own and learn at the same time. The numbers are the same.
    """

    seed: int
    source: RolloutSource
    reward: Callable[[Rollout], Rewards]
    estimator: Estimator
    policy: PolicyUpdate
    critics: CriticUpdate | None
    reference: Learner[PolicyOutputs] | None
    warmup_steps: int
    together: bool = False

    def run(self, step: int, clock: Clock) -> StepOutcome:
        """Step number ``step`` (from 1).

        Raises:
            NonFiniteBatchError: a value, loss or gradient is NaN or infinite.
        """
        outcome = self._assess(step, self.source.next(step, clock), clock)
        try:
            self._learn(outcome, clock)
        except NonFiniteLoss as error:
            advantages, returns = outcome.targets.advantages, outcome.targets.returns
            raise NonFiniteBatchError(
                str(error), outcome.rollout, outcome.batch, advantages=advantages, returns=returns
            ) from error
        # Evaluations and probes, which follow, use the sampler.
        self.source.wait_until_idle(clock)
        if step > self.warmup_steps:
            self.source.sync(self.policy.policy.weights(), clock)
        outcome.metrics |= rollout_metrics(outcome.rollout) | batch_metrics(outcome)
        loss = self.estimator.policy_loss
        if outcome.reference is not None and outcome.old is not None and loss.kl_in == "reward":
            divergence = losses.kl_estimate(outcome.old.logprobs, outcome.reference, loss.kl_form)
            outcome.metrics[names.REFERENCE_KL] = float(divergence[outcome.batch.response_mask].mean())
        return outcome

    def _assess(self, step: int, rollout: Rollout, clock: Clock) -> StepOutcome:
        """Everything that is known of a batch before any weight changes."""
        batch, rewards = rollout.sequences(), self.reward(rollout)
        parts = self.policy.mini_batches(len(batch), derive_seed(self.seed, "mini_batches", step))
        with clock.phase("values"):
            values = None if self.critics is None else self._values(self.critics, rollout, batch)
        with clock.phase("old_logprobs"):
            # With one mini-batch the update's first pass sees the old policy: no pass of its own is needed.
            ask = len(parts) > 1 or self.estimator.needs_old_outputs or step <= self.warmup_steps
            old = self.policy.policy.forward(batch) if ask else None
            reference = None if self.reference is None else self.reference.forward(batch).logprobs
        with clock.phase("targets"):
            seed = derive_seed(self.seed, "gates", step)
            targets = self.estimator.estimate(
                rewards.outcomes, rollout.prompt_index, batch.response_mask, values, parts, seed, old, reference
            )
        staleness = self.source.version - rollout.version
        return StepOutcome(step, rollout, batch, rewards, parts, targets, old, values, reference, staleness)

    def _values(self, critics: CriticUpdate, rollout: Rollout, batch: Sequences) -> Tensor:
        """Values ``[M, B, T]``, checked here, since everything computed from a NaN would hide where it came from."""
        values = critics.values(batch)
        if not values[:, batch.response_mask].isfinite().all():
            raise NonFiniteBatchError("a critic's value is NaN or infinite", rollout, batch, values=values)
        return values

    def _learn(self, outcome: StepOutcome, clock: Clock) -> None:
        """Critics and policy learn, at the same time if the policy need not wait for the critics' new values."""
        if not self.together or self.estimator.advantage.values == "after":
            self._learn_values(outcome, clock)
            self._learn_policy(outcome, clock)
            return
        beside = Clock(None, CRITICS_TRACK)
        values = in_background(lambda: self._learn_values(outcome, beside))
        self._learn_policy(outcome, clock)
        values.result()
        clock.include(beside)

    def _learn_values(self, outcome: StepOutcome, clock: Clock) -> None:
        """Every critic learns; with values from "after", the policy's targets follow the updated critics."""
        if self.critics is None or outcome.values is None:
            return
        rollout, batch = outcome.rollout, outcome.batch
        with clock.phase("critics"):
            seed = derive_seed(self.seed, "critics", outcome.step)
            outcome.metrics |= self.critics.learn(batch, rollout.prompt_index, outcome.targets, outcome.values, seed)
        if self.estimator.advantage.values == "after":
            with clock.phase("values"):
                outcome.values = self._values(self.critics, rollout, batch)
                outcome.targets = self.estimator.estimate(
                    outcome.rewards.outcomes,
                    rollout.prompt_index,
                    batch.response_mask,
                    outcome.values,
                    outcome.parts,
                    derive_seed(self.seed, "gates", outcome.step),
                    outcome.old,
                    outcome.reference,
                )

    def _learn_policy(self, outcome: StepOutcome, clock: Clock) -> None:
        """The policy learns, unless only the critics are being warmed up.

        A batch of an earlier version has that version as its old policy. With truncated importance sampling the
        trainer's policy of this step is the old one (as always), and the truncated weight corrects for the sampler's.
        """
        if outcome.step <= self.warmup_steps:
            return
        with clock.phase("policy"):
            capped = self.policy.objective.importance_cap is not None
            sampled = outcome.rollout.sampler_logprobs() if capped or outcome.staleness else None
            old = None if outcome.old is None else outcome.old.logprobs
            targets = self.policy.targets(
                outcome.batch.response_mask,
                outcome.targets,
                outcome.rewards,
                outcome.parts,
                old=old if capped or sampled is None else sampled,
                sampled=sampled if capped else None,
                reference=outcome.reference if self.estimator.policy_loss.kl_in == "loss" else None,
            )
            outcome.old, learnt = self.policy.learn(outcome.batch, targets, outcome.parts, outcome.old)
            outcome.metrics |= learnt


def batch_metrics(outcome: StepOutcome) -> dict[str, float]:
    """Numbers over all response tokens of a batch: entropy, sampler difference, gates, and the critics' quality."""
    mask, values, targets, old = outcome.batch.response_mask, outcome.values, outcome.targets, outcome.old
    assert old is not None
    total = int(mask.sum())
    advantages = targets.advantages[mask]
    metrics = {
        names.STALENESS: outcome.staleness,
        names.ENTROPY: float(old.entropy[mask].mean()),
        names.LOGPROB_DIFF: float((old.logprobs - outcome.rollout.sampler_logprobs())[mask].abs().mean()),
        names.ADVANTAGE_MEAN: float(advantages.mean()),
        names.ADVANTAGE_STD: float(advantages.std(unbiased=False)),
        names.TIED: targets.tied_share,
        names.ADVANTAGE_MASKED: 1.0 - int(targets.advantage_kept.sum()) / total,
        names.ENTROPY_FILTERED: 1.0 - int(targets.entropy_kept.sum()) / total,
    }
    if values is None:
        return metrics
    metrics[names.EXPLAINED_VARIANCE] = diagnostics.explained_variance(targets.values, targets.returns, mask)
    for m, value in enumerate(values):
        metrics[names.critic(m, "explained_variance")] = diagnostics.explained_variance(value, targets.returns, mask)
        metrics[names.critic(m, "value_mean")] = float(value[mask].mean())
    if len(values) > 1:
        metrics[names.DISAGREEMENT] = float(targets.disagreement[mask].mean())
        metrics[names.CORRELATION] = diagnostics.correlation(values, mask)
    return metrics
