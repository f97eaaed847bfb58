"""The whole estimate of a run, and of the methods it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from asyppo_cli.config.schema import Config
from asyppo_cli.planning.inputs import Scene
from asyppo_cli.planning.memory import RoleNeed
from asyppo_cli.planning.placement import Place, places
from asyppo_cli.planning.roles import role_needs


@dataclass(frozen=True)
class Estimate:
    """What every role needs, and what that makes of every memory."""

    scene: Scene
    roles: Sequence[RoleNeed]
    places: Sequence[Place]

    @property
    def fits(self) -> bool:
        """Whether every memory is large enough."""
        return all(place.fits for place in self.places)

    @property
    def total(self) -> float:
        """Bytes of all devices that learn: of all GPUs, or of the machine where there is none."""
        gpus = [place for place in self.places if place.name.startswith("GPU")]
        return sum(place.count * place.used for place in gpus or self.places)

    @property
    def models(self) -> float:
        """Bytes that roles need on their devices, libraries apart."""
        return sum(role.ranks * role.device.peak for role in self.roles)


@dataclass(frozen=True)
class Comparison:
    """Another method under otherwise the same configuration: its total, and what this run needs less, as a share."""

    method: str
    total: float
    saving: float


def estimate(scene: Scene) -> Estimate:
    """Roles, then places."""
    needs = role_needs(scene)
    return Estimate(scene, needs, places(scene, needs))


def with_settings(scene: Scene, changes: dict[str, Any]) -> Scene:
    """The scene under changed settings, ``section.key`` to value; lengths, and critics of the policy's layers, follow.

    Raises:
        ValueError: they make no sense together.
    """
    plain = scene.config.model_dump()
    for key, value in changes.items():
        *path, last = key.split(".")
        section = plain
        for name in path:
            section = section[name]
        section[last] = value
    config = Config.model_validate(plain)
    own = config.critics.count > 0 and "critics.depth" in changes
    return replace(
        scene,
        config=config,
        response=min(scene.response, config.rollout.response_length),
        critic=scene.policy.as_critic(config.critics.depth) if own else scene.critic,
    )


def comparisons(scene: Scene, own: Estimate) -> list[Comparison]:
    """Symmetric PPO, one critic of the policy's size; and GRPO, which has none."""
    symmetric = with_settings(scene, {"critics.count": 1, "critics.model": None, "critics.depth": 1.0} | gae(scene))
    without = with_settings(scene, {"critics.count": 0, "advantage.estimator": "grpo", "policy_loss.kl_coef": 0.0})
    found = []
    for method, other in (
        ("symmetric PPO", replace(symmetric, critic=scene.policy.as_critic(1.0))),
        ("GRPO", replace(without, critic=None)),
    ):
        total = estimate(other).total
        found.append(Comparison(method, total, 1.0 - own.total / total))
    return found


def gae(scene: Scene) -> dict[str, str]:
    """What a method without critics has to change to have one."""
    return {} if scene.config.critics.count else {"advantage.estimator": "gae"}
