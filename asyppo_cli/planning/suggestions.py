"""The nearest change that makes a run fit: changes are tried through the estimate itself, the mildest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from asyppo_cli.planning.estimate import MemoryEstimate, estimate, with_settings
from asyppo_cli.planning.inputs import PlanInputs

# Most changes that are tried together.
MAX_CHANGES = 4


@dataclass(frozen=True)
class Change:
    """Settings by key, with what it costs in words."""

    settings: dict[str, Any]
    cost: str


@dataclass(frozen=True)
class Suggestion:
    """Changes after which the run fits, and the estimate then."""

    changes: tuple[Change, ...]
    estimate: MemoryEstimate

    @property
    def overrides(self) -> list[str]:
        """As typed behind the command."""
        return [f"{key}={str(value).lower()}" for c in self.changes for key, value in c.settings.items()]


def suggest(inputs: PlanInputs) -> Suggestion | None:
    """The first change that fits, then the first pair, and so on; None if not even all together do."""
    groups = [options for options in changes(inputs) if options]
    for size in range(1, MAX_CHANGES + 1):
        for options in combinations(groups, size):
            for chosen in combine(options):
                suggestion = apply(inputs, chosen)
                if suggestion is not None:
                    return suggestion
    return None


def combine(options: tuple[list[Change], ...]) -> Iterator[tuple[Change, ...]]:
    """One rung of each ladder, mild ones first: all but the last at their firmest."""
    *others, last = options
    for change in last:
        yield (*(other[-1] for other in others), change)


def apply(inputs: PlanInputs, chosen: tuple[Change, ...]) -> Suggestion | None:
    """The estimate under these changes, if they make sense together and it fits."""
    settings = {key: value for change in chosen for key, value in change.settings.items()}
    try:
        changed = with_settings(inputs, settings)
    except ValueError:
        # A combination that the schema refuses is none.
        return None
    result = estimate(changed)
    return Suggestion(chosen, result) if result.fits else None


def changes(inputs: PlanInputs) -> Iterator[list[Change]]:
    """What can be changed here, each as a ladder of firmer and firmer steps; the mildest ladder first."""
    config = inputs.config
    learner, zero = config.learner, config.learner.deepspeed
    yield halvings("learner.micro_batch_tokens", learner.micro_batch_tokens, inputs.longest, "more, smaller passes")
    if inputs.sampler == "transformers":
        least = max(config.rollout.responses, config.evaluation.samples)
        yield halvings("sampler.batch_size", config.sampler.batch_size, least, "sampled in more rounds")
    elif inputs.on_gpu:
        shares = [share for share in (0.5, 0.4, 0.3, 0.2) if share < config.sampler.vllm.memory_share]
        yield [Change({"sampler.vllm.memory_share": share}, "fewer responses at once") for share in shares]
        if not config.sampler.vllm.sleep and config.rollout.async_generate_level == 0:
            yield [Change({"sampler.vllm.sleep": True}, "the sampler starts anew at every step")]
    else:
        yield halvings("sampler.vllm.kv_cache_gib", config.sampler.vllm.kv_cache_gib, 0.25, "fewer responses at once")
    if not learner.gradient_checkpointing:
        yield [Change({"learner.gradient_checkpointing": True}, "a third more work in learning")]
    if learner.engine == "deepspeed" and max(inputs.ranks("policy"), inputs.ranks("critics")) > 1:
        stages = range(zero.stage + 1, 4)
        yield [Change({"learner.deepspeed.stage": stage}, "more traffic between ranks") for stage in stages]
    yield from offloads(inputs)
    if learner.engine == "torch" and learner.moments_dir is None:
        yield [Change({"learner.moments_dir": "."}, "moments on the disk: slower optimizer steps")]
    if config.critics.count and config.critics.model is None:
        depths = [depth for depth in (0.5, 0.33, 0.2) if depth < config.critics.depth]
        yield [Change({"critics.depth": depth}, "smaller critics") for depth in depths]
    # Responses of less than a quarter would be another task.
    longest = config.rollout.response_length
    yield halvings("rollout.response_length", longest, longest / 4, "shorter responses")


def offloads(inputs: PlanInputs) -> Iterator[list[Change]]:
    """To the machine's memory, from a GPU."""
    zero = inputs.config.learner.deepspeed
    if inputs.on_gpu and inputs.config.learner.engine == "deepspeed" and zero.offload != "all":
        options = ["optimizer", "all"] if zero.offload == "none" else ["all"]
        yield [Change({"learner.deepspeed.offload": option}, "slower optimizer steps") for option in options]


def halvings(key: str, value: float, least: float, cost: str) -> list[Change]:
    """Half, a quarter, and so on, down to ``least``."""
    found = []
    while value / 2 >= least:
        value = value / 2 if isinstance(value, float) and value < 4 else int(value // 2)
        found.append(Change({key: value}, cost))
    return found
