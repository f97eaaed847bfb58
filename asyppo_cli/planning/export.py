"""An estimate as plain data: what ``--json`` writes, and what tables are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyppo_cli.planning.architecture import Architecture
from asyppo_cli.planning.estimate import Comparison, MemoryEstimate
from asyppo_cli.planning.placement import MemoryPool
from asyppo_cli.planning.suggestions import Suggestion
from asyppo_cli.planning.work import Rates, StepWork, seconds


def as_data(
    estimate: MemoryEstimate,
    compared: Sequence[Comparison],
    work: Sequence[StepWork],
    rates: Rates,
    suggestion: Suggestion | None,
) -> dict[str, Any]:
    """Everything in bytes, tokens, operations and seconds, JSON values only."""
    inputs = estimate.inputs
    return {
        "models": models(inputs.policy, inputs.critic),
        "lengths": {"prompt": inputs.prompt, "response": inputs.response},
        "sampler": inputs.sampler,
        "precision": inputs.precision,
        "places": [memory_pool_data(place) for place in estimate.memory_pools],
        "roles": [
            {"role": r.role, "ranks": r.ranks, "phase": r.device.worst, "bytes": r.device.peak, **r.device.by_kind()}
            for r in estimate.roles
        ],
        "total_bytes": estimate.total,
        "models_bytes": estimate.models,
        "fits": estimate.fits,
        "compared": [vars(each) for each in compared],
        "work": [vars(each) | {"seconds": seconds(inputs, each, rates)} for each in work],
        "remedy": None if suggestion is None else suggestion.overrides,
    }


def models(policy: Architecture, critic: Architecture | None) -> dict[str, Any]:
    """Sizes of the models, and where they are known from."""
    found = {"policy": {"parameters": policy.parameters, "source": policy.source}}
    if critic is not None:
        found["critic"] = {"parameters": critic.parameters, "source": critic.source}
    return found


def memory_pool_data(place: MemoryPool) -> dict[str, Any]:
    """A memory and the processes in it; a capacity that nobody knows is null."""
    return {
        "place": place.name,
        "count": place.count,
        "bytes": place.used,
        "capacity": None if place.capacity == float("inf") else place.capacity,
        "fits": place.fits,
        "processes": [
            {"process": p.name, "count": p.count, "bytes": p.peak, "phase": p.use.worst, "libraries": p.libraries}
            for p in place.processes
        ],
    }
