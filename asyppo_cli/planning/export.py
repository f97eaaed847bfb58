"""An estimate as plain data: what ``--json`` writes, and what tables are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyppo_cli.planning.architecture import Architecture
from asyppo_cli.planning.estimate import Comparison, Estimate
from asyppo_cli.planning.placement import Place
from asyppo_cli.planning.suggestions import Remedy
from asyppo_cli.planning.work import Rates, Work, seconds


def as_data(
    estimate: Estimate, compared: Sequence[Comparison], work: Sequence[Work], rates: Rates, remedy: Remedy | None
) -> dict[str, Any]:
    """Everything in bytes, tokens, operations and seconds, JSON values only."""
    scene = estimate.scene
    return {
        "models": models(scene.policy, scene.critic),
        "lengths": {"prompt": scene.prompt, "response": scene.response},
        "sampler": scene.sampler,
        "precision": scene.precision,
        "places": [place_data(place) for place in estimate.places],
        "roles": [
            {"role": r.role, "ranks": r.ranks, "phase": r.device.worst, "bytes": r.device.peak, **r.device.by_kind()}
            for r in estimate.roles
        ],
        "total_bytes": estimate.total,
        "models_bytes": estimate.models,
        "fits": estimate.fits,
        "compared": [vars(each) for each in compared],
        "work": [vars(each) | {"seconds": seconds(scene, each, rates)} for each in work],
        "remedy": None if remedy is None else remedy.overrides,
    }


def models(policy: Architecture, critic: Architecture | None) -> dict[str, Any]:
    """Sizes of the models, and where they are known from."""
    found = {"policy": {"parameters": policy.parameters, "source": policy.source}}
    if critic is not None:
        found["critic"] = {"parameters": critic.parameters, "source": critic.source}
    return found


def place_data(place: Place) -> dict[str, Any]:
    """A memory and the processes in it; a capacity that nobody knows is null."""
    return {
        "place": place.name,
        "count": place.count,
        "bytes": place.used,
        "capacity": None if place.capacity == float("inf") else place.capacity,
        "fits": place.fits,
        "processes": [
            {"process": p.name, "count": p.count, "bytes": p.peak, "phase": p.need.worst, "libraries": p.libraries}
            for p in place.processes
        ],
    }
