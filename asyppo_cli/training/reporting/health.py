"""Warnings from a step's metrics, and errors: what looks wrong, and which setting to change."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from asyppo_cli.runs import metrics as names

# Above these, something other than the policy decides the outcome.
TRUNCATED_SHARE = 0.3
UNPARSEABLE_SHARE = 0.7
TIMED_OUT_SHARE = 0.05
# A mean difference this many times the median of the steps before, of which at least FEWEST are known, is a jump.
JUMP_FACTOR = 10.0
REMEMBERED, FEWEST = 100, 3


@dataclass
class SamplerAgreement:
    """Mean differences between sampler and trainer in the steps so far; ``limit`` in nats a token, None: none.

    Steps whose batch is of an earlier version of the policy do not count: a difference is expected in them.
    """

    limit: float | None
    earlier: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def jump(self, metrics: Mapping[str, float]) -> str | None:
        """Remember a step's difference; what is wrong if it is beyond the limit and far beyond those before."""
        difference = metrics.get(names.LOGPROB_DIFF)
        if self.limit is None or difference is None or metrics.get(names.STALENESS):
            return None
        usual = median(self.earlier) if len(self.earlier) >= FEWEST else None
        self.earlier.append(difference)
        # Not "difference <= limit": NaN is no agreement.
        if usual is None or difference <= max(self.limit, JUMP_FACTOR * usual):
            return None
        return (
            f"sampler and trainer differ by {difference:.3g} nats a token, {usual:.3g} in the steps before "
            f"(sampler.logprob_diff_limit={self.limit:g}): the sampler no longer computes what is trained: set "
            "sampler.engine=transformers, or raise the limit if the difference is meant"
        )


def health_warnings(metrics: Mapping[str, float], logprob_diff: float) -> dict[str, str]:
    """Metric name and warning for everything that looks wrong in one step's metrics.

    ``logprob_diff`` is how far sampler and trainer may differ, in nats a token; in a batch from an earlier version of
    the policy a difference is expected.
    """

    def above(name: str, limit: float) -> bool:
        return metrics.get(name, 0.0) > limit

    found = {}
    if above(names.TRUNCATED, TRUNCATED_SHARE):
        found[names.TRUNCATED] = (
            f"{metrics[names.TRUNCATED]:.0%} of the responses are cut by the length limit before they end (rewards "
            "stay as graded): raise rollout.response_length, or check that the model ends its turn (its end token)"
        )
    if metrics.get(names.DEAD_GROUPS) == 1.0:
        found[names.DEAD_GROUPS] = (
            "all responses of every prompt got the same reward, so there is nothing to compare: "
            "an easier or harder task, or more rollout.responses"
        )
    if above(names.UNPARSEABLE, UNPARSEABLE_SHARE):
        found[names.UNPARSEABLE] = (
            f"{metrics[names.UNPARSEABLE]:.0%} of the responses box no answer: start from a model that does "
            "(asyppo warmstart), or look at task.system_prompt"
        )
    if above(names.TIMED_OUT, TIMED_OUT_SHARE):
        found[names.TIMED_OUT] = (
            f"{metrics[names.TIMED_OUT]:.0%} of the answers took longer to grade than grading.deadline allows"
        )
    if above(names.LOGPROB_DIFF, logprob_diff) and not metrics.get(names.STALENESS):
        found[names.LOGPROB_DIFF] = (
            f"sampler and trainer differ by {metrics[names.LOGPROB_DIFF]:.3f} nats a token "
            f"(sampler.logprob_diff_warning={logprob_diff:g}): importance ratios are off; policy_loss.importance_cap=2 "
            "weighs against it"
        )
    return found
