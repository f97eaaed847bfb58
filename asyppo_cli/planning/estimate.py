"""The whole estimate of a run, and of the methods it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from asyppo_cli.config.schema import Config
from asyppo_cli.planning.inputs import PlanInputs
from asyppo_cli.planning.memory import RoleMemory
from asyppo_cli.planning.placement import MemoryPool, memory_pools
from asyppo_cli.planning.roles import role_memory


@dataclass(frozen=True)
class MemoryEstimate:
    """What every role needs, and what that makes of every memory."""

    inputs: PlanInputs
    roles: Sequence[RoleMemory]
    memory_pools: Sequence[MemoryPool]

    @property
    def fits(self) -> bool:
        """Whether every memory is large enough."""
        return all(place.fits for place in self.memory_pools)

    @property
    def total(self) -> float:
        """Bytes of all devices that learn: of all GPUs, or of the machine where there is none."""
        gpus = [place for place in self.memory_pools if place.name.startswith("GPU")]
        return sum(place.count * place.used for place in gpus or self.memory_pools)

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


def estimate(inputs: PlanInputs) -> MemoryEstimate:
    """Roles, then places."""
    uses = role_memory(inputs)
    return MemoryEstimate(inputs, uses, memory_pools(inputs, uses))


def with_settings(inputs: PlanInputs, changes: dict[str, Any]) -> PlanInputs:
    """The scene under changed settings, ``section.key`` to value; lengths, and critics of the policy's layers, follow.

    Raises:
        ValueError: they make no sense together.
    """
    plain = inputs.config.model_dump()
    for key, value in changes.items():
        *path, last = key.split(".")
        section = plain
        for name in path:
            section = section[name]
        section[last] = value
    config = Config.model_validate(plain)
    own = config.critics.count > 0 and "critics.depth" in changes
    return replace(
        inputs,
        config=config,
        response=min(inputs.response, config.rollout.response_length),
        critic=inputs.policy.as_critic(config.critics.depth) if own else inputs.critic,
    )


def comparisons(inputs: PlanInputs, own: MemoryEstimate) -> list[Comparison]:
    """Symmetric PPO, one critic of the policy's size; and GRPO, which has none."""
    symmetric = with_settings(inputs, {"critics.count": 1, "critics.model": None, "critics.depth": 1.0} | gae(inputs))
    without = with_settings(inputs, {"critics.count": 0, "advantage.estimator": "grpo", "policy_loss.kl_coef": 0.0})
    found = []
    for method, other in (
        ("symmetric PPO", replace(symmetric, critic=inputs.policy.as_critic(1.0))),
        ("GRPO", replace(without, critic=None)),
    ):
        total = estimate(other).total
        found.append(Comparison(method, total, 1.0 - own.total / total))
    return found


def gae(inputs: PlanInputs) -> dict[str, str]:
    """What a method without critics has to change to have one."""
    return {} if inputs.config.critics.count else {"advantage.estimator": "gae"}
