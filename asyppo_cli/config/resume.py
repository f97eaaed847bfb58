"""Which settings a resumed run may change: those that say how it computes, how long and where it reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Key prefixes. Learning rates and the prompt limit decide what is learnt, but error messages advise to change them.
CHANGEABLE = (
    "max_steps",
    "evaluation.every",
    "checkpoints.",
    "records.",
    "logging.",
    "grading.",
    "cluster.",
    "rollout.prompt_length",
    "task.overlong",
    "sampler.engine",
    "sampler.batch_size",
    "sampler.logprob_diff_",
    "sampler.vllm.",
    "learner.engine",
    "learner.device",
    "learner.threads",
    "learner.micro_batch_tokens",
    "learner.gradient_checkpointing",
    "learner.share_prompts",
    "learner.moments_dir",
    "learner.deepspeed.",
    "learner.policy.lr",
    "learner.critics.lr",
    "learner.policy.max_grad_norm",
    "learner.critics.max_grad_norm",
)


def check_changes(run: str, changes: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """What to tell of the changes (dotted key: old and new value) to a run that is resumed.

    Raises:
        ValueError: one of them would make it another experiment.
    """
    refused = [key for key in changes if not key.startswith(CHANGEABLE)]
    if refused:
        shown = ", ".join(f"{key} (is {changes[key][0]})" for key in refused[:3])
        raise ValueError(
            f"--resume cannot change {shown} of run {run}, which decides what is learnt: leave it out, or start a new "
            "run, from this one's weights with policy.model=RUN/checkpoints/STEP/policy"
        )
    return [f"resumed with {key}={new} instead of {old}" for key, (old, new) in changes.items()]


def schedule_notes(changes: Mapping[str, tuple[Any, Any]], schedules: Mapping[str, str]) -> list[str]:
    """What a new ``max_steps`` does to learning rates that fall towards it; ``schedules`` by optimizer section."""
    if "max_steps" not in changes:
        return []
    old, new = changes["max_steps"]
    moves = "rises" if new > old else "falls"
    return [
        f"{section}.schedule={kind} ends at max_steps, now {new} instead of {old}: the learning rate {moves} at this "
        f"point to the new course; lower {section}.lr to keep it"
        for section, kind in schedules.items()
        if kind != "constant"
    ]
