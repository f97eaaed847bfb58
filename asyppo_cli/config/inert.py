"""Settings without an effect: keys that a configuration does not use, and a warm-up that leaves nothing to train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyppo_cli.config.schema import Config
from asyppo_cli.keys import flatten, is_reference

# Change the speed of a run or what is written about it, but not what it computes.
WITHOUT_RESULT = ("learner.threads", "logging.", "checkpoints.", "records.")


def only_warms_up(config: Config) -> str | None:
    """A warning if the policy is never updated, because the critics' warm-up lasts as long as the run."""
    critics = config.critics
    if not critics.count or critics.warmup_steps < config.max_steps:
        return None
    return (
        f"critics.warmup_steps={critics.warmup_steps} is not below max_steps={config.max_steps}, so the policy is "
        "never updated: raise max_steps, or set critics.warmup_steps=0"
    )


def scored_by_verifier(config: Config) -> bool:
    """Whether rewards are the verifier's 1 or 0, of no function and no server."""
    return config.rewards.function is None and config.rewards.url is None


def inert_keys(config: Config) -> tuple[str, ...]:
    """Keys and sections (ending in a dot) whose values cannot change the results of a run."""
    critics, gates, loss = config.critics, config.gates, config.policy_loss
    usable = {"entropy", "random"} | ({"value_std"} if critics.count > 1 else set())
    can_mask, can_filter = (
        signal in usable or is_reference(signal) for signal in (gates.mask_signal, gates.entropy_filter_signal)
    )
    masks = gates.mask_pct > 0 and can_mask
    filters = gates.entropy_filter_pct > 0 and can_filter and loss.entropy_coef > 0
    no_critics = ("critics.", "learner.critics.", "advantage.values", "advantage.lambd", "advantage.critic_lambd")
    cases: tuple[tuple[bool, tuple[str, ...]], ...] = (
        (not critics.count, no_critics),
        (critics.count == 1, ("critics.aggregation",)),
        (not can_mask, ("gates.mask_pct",)),
        (not masks, ("gates.mask_signal",)),
        (not can_filter or loss.entropy_coef == 0, ("gates.entropy_filter_pct",)),
        (not filters, ("gates.entropy_filter_signal",)),
        (not masks and not filters, ("gates.scope",)),
        (is_reference(loss.surrogate), ("policy_loss.clip_low", "policy_loss.clip_high", "policy_loss.dual_clip")),
        (loss.kl_coef == 0, ("policy_loss.kl_form", "policy_loss.kl_in")),
        (not config.rewards.drop_uniform_groups, ("rewards.max_resamples",)),
        (scored_by_verifier(config), ("rewards.weights", "rewards.timeout", "rewards.on_error")),
        (only_warms_up(config) is not None, ("gates.", "policy_loss.", "learner.policy.", "training.")),
    )
    return tuple(key for holds, keys in cases if holds for key in keys)


def effective(config: Config, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved configuration by dotted key, without what cannot change the results: equal for equal results."""
    inert = (*inert_keys(config), *WITHOUT_RESULT)
    return {key: value for key, value in flatten(resolved).items() if not key.startswith(inert)}
