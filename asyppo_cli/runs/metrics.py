"""Names of all metrics, for writers and readers.

A name is ``group/quantity``. Shares lie in [0, 1], times are seconds, lengths are tokens, memory is bytes.
"""

from __future__ import annotations

REWARD_MEAN = "reward/mean"
REWARD_GROUP_STD = "reward/group_std_mean"
DEAD_GROUPS = "reward/uniform_group_share"
# Calls of a reward function of the user's, or of a server, that failed or took too long.
REWARD_FAILED = "reward/failed_share"

ACCURACY = "eval/accuracy"
EVAL_REWARD = "eval/reward_mean"
ACCURACY_HALFWIDTH = "eval/accuracy_halfwidth"
EVAL_TRUNCATED = "eval/truncated_share"
EVAL_LENGTH = "eval/length_mean"

LENGTH_MEAN = "response/length_mean"
TRUNCATED = "response/truncated_share"
WRONG = "response/wrong_share"
UNPARSEABLE = "response/unparseable_share"
UNPARSEABLE_GOLD = "response/unparseable_gold_share"
TIMED_OUT = "response/timed_out_share"
RESAMPLES = "response/sampling_rounds"

ENTROPY = "policy/entropy"
CLIP_SHARE = "policy/clip_share"
KL = "policy/kl"
REFERENCE_KL = "policy/reference_kl"
POLICY_GRAD_NORM = "policy/grad_norm"
POLICY_SKIPPED = "policy/skipped_steps"
POLICY_LOSS = "policy/loss"
POLICY_LR = "policy/lr"
ADVANTAGE_MEAN = "policy/advantage_mean"
ADVANTAGE_STD = "policy/advantage_std"

DISAGREEMENT = "critics/disagreement_mean"
CORRELATION = "critics/correlation"
EXPLAINED_VARIANCE = "critics/explained_variance"

ADVANTAGE_MASKED = "gate/advantage_masked_share"
ENTROPY_FILTERED = "gate/entropy_filtered_share"
# Tokens that are masked or kept by the order of equal signals alone.
TIED = "gate/tied_share"

LOGPROB_DIFF = "sampler/logprob_diff_mean"
STALENESS = "sampler/staleness"
SUPERVISED_LOSS = "supervised/loss"

TOKENS_PER_SECOND = "throughput/tokens_per_second"
PEAK_MEMORY = "memory/peak_bytes"

CRITIC_QUANTITIES = ("loss", "explained_variance", "value_mean", "grad_norm", "skipped_steps", "lr")

STEP = "step"
STEP_TIME = "time/step"


def critic(m: int, quantity: str) -> str:
    """Name of a quantity of critic ``m``, one of :data:`CRITIC_QUANTITIES`."""
    return f"critic_{m}/{quantity}"


def reward(component: str) -> str:
    """Name of the mean of a named component of the rewards."""
    return f"reward/{component}_mean"


def is_component(metric: str) -> bool:
    """Whether a name has the form of :func:`reward`: which components there are, only their function knows."""
    return metric.startswith("reward/") and metric.endswith("_mean")


def memory(role: str) -> str:
    """Name of the peak memory in bytes of all processes of a role, where it has processes of its own."""
    return f"memory/{role}_peak_bytes"


def known(critics: int) -> list[str]:
    """Names of all that can be measured of a run with this number of critics, seconds of phases aside."""
    named = [value for name, value in globals().items() if name.isupper() and isinstance(value, str)]
    return [*named, *(critic(m, quantity) for m in range(critics) for quantity in CRITIC_QUANTITIES)]


def time(phase: str) -> str:
    """Name of the seconds a phase of the step took: ``sample``, ``grade``, ``values``, ``critics``, ``policy``, ..."""
    return f"time/{phase}"
