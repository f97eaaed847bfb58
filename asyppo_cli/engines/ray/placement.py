"""Which rank gets which share of which GPU and how many cores. Pure arithmetic: it knows no cluster.

GPUs are counted through the cluster, machine by machine. Roles may share a GPU: each of its processes then counts as
an equal fraction of it, which keeps other runs off but bounds no memory.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

# Ray counts fractions of a resource in ten-thousandths.
RAY_RESOLUTION = 10_000


@dataclass(frozen=True)
class Role:
    """``ranks`` processes, without a GPU (``first_gpu`` None), or with ``width`` GPUs each from ``first_gpu`` on;
    ``section`` of the configuration says so.
    """

    name: str
    section: str
    ranks: int
    first_gpu: int | None
    width: int = 1

    @property
    def gpus(self) -> range:
        """Numbers of the GPUs that it takes."""
        return range(0) if self.first_gpu is None else range(self.first_gpu, self.first_gpu + self.ranks * self.width)


@dataclass(frozen=True)
class NodeSlot:
    """A rank's place: the bundle of resources it sits in, and how much of it; ``extra`` bundles of further GPUs of its
    own, of each as much.
    """

    bundle: int
    cpus: float
    gpus: float
    extra: tuple[int, ...] = ()

    @property
    def gpu_bundles(self) -> set[int]:
        """All bundles of which it has a GPU."""
        return {self.bundle, *self.extra} if self.gpus else set()


@dataclass(frozen=True)
class PlacementPlan:
    """``bundles`` of resources, each on one machine: GPUs first, in their order, then processes without; ``slots`` by
    role and rank; ``cpus`` of each process.
    """

    bundles: list[dict[str, float]]
    slots: dict[str, list[NodeSlot]]
    cpus: float

    @property
    def gpus(self) -> int:
        """How many GPUs are reserved."""
        return sum("GPU" in bundle for bundle in self.bundles)

    def disjoint(self, one: str, other: str) -> bool:
        """Whether two roles have no GPU in common; processes without a GPU have cores of their own."""
        return not self.gpus_of(one) & self.gpus_of(other)

    def gpus_of(self, role: str) -> set[int]:
        """The bundles of a role's GPUs."""
        return {bundle for slot in self.slots[role] for bundle in slot.gpu_bundles}

    def fastest_path(self, trainer: str, sampler: str) -> Literal["host", "ipc", "nccl"]:
        """How weights get fastest from one role to the other: within a GPU's memory where every GPU of the sampler is
        one of the trainer's, from GPU to GPU where none is, through the host's memory otherwise.
        """
        theirs, ours = self.gpus_of(sampler), self.gpus_of(trainer)
        if not theirs or not ours:
            return "host"
        if theirs <= ours:
            return "ipc"
        return "host" if theirs & ours else "nccl"


def plan_placement(roles: Sequence[Role], resources: Mapping[str, float], cpus_per_rank: float | None) -> PlacementPlan:
    """Seats for all roles in a cluster with those ``resources`` (Ray's names: ``CPU``, ``GPU``).

    Without ``cpus_per_rank`` all processes share the cores equally.

    Raises:
        ValueError: there is less than what is asked for.
    """
    roles_per_gpu = Counter(gpu for role in roles for gpu in role.gpus)
    cpu_ranks = sum(role.ranks for role in roles if role.first_gpu is None)
    # All GPUs' bundles are alike, so that whichever of them Ray puts beside each other can be neighbours in number.
    ranks_per_gpu = max(roles_per_gpu.values(), default=0)
    processes = len(roles_per_gpu) * ranks_per_gpu + cpu_ranks
    _check_gpus(roles, int(resources.get("GPU", 0)))
    cpus = _cores_per_rank(processes, resources.get("CPU", 0.0), cpus_per_rank)
    bundles: list[dict[str, float]] = [{"GPU": 1.0, "CPU": cpus * ranks_per_gpu} for _ in roles_per_gpu]
    bundle_of = {gpu: bundle for bundle, gpu in enumerate(sorted(roles_per_gpu))}
    slots: dict[str, list[NodeSlot]] = {}
    for role in roles:
        own = [role.gpus[i : i + role.width] for i in range(0, len(role.gpus), role.width)]
        slots[role.name] = [
            NodeSlot(
                bundle_of[first],
                cpus,
                round_down(1 / max(roles_per_gpu[g] for g in (first, *extra))),
                tuple(bundle_of[g] for g in extra),
            )
            for first, *extra in own
        ]
        if role.first_gpu is None:
            slots[role.name] = [NodeSlot(len(bundles) + rank, cpus, 0.0) for rank in range(role.ranks)]
            bundles += [{"CPU": cpus} for _ in range(role.ranks)]
    return PlacementPlan(bundles, slots, cpus)


def _check_gpus(roles: Sequence[Role], available: int) -> None:
    """ValueError if a role asks for more GPUs than there are, with what exists."""
    for role in roles:
        if role.gpus and role.gpus[-1] >= available:
            asked = f"GPU {role.gpus[0]}" if len(role.gpus) == 1 else f"GPUs {role.gpus[0]}-{role.gpus[-1]}"
            what = {0: "has none", 1: "has one, number 0"}.get(available, f"has {available}, numbers 0-{available - 1}")
            raise ValueError(
                f"cluster.{role.section} asks for {asked}, but the cluster {what}: change its ranks or first_gpu, "
                "or join a larger cluster (cluster.address)"
            )


def _cores_per_rank(slots: int, cores: float, asked: float | None) -> float:
    """Cores of each process; ValueError if there are not enough."""
    each = round_down(cores / slots) if asked is None else asked
    if not 0 < each * slots <= cores + 1e-6:
        raise ValueError(
            f"cluster.cpus_per_rank={each:g} for {slots} processes needs {each * slots:g} cores, but the cluster has "
            f"{cores:g}: lower it (fractions are fine), or set it to null to share the cores equally"
        )
    return each


def round_down(shard: float) -> float:
    """A share that Ray can count, not more than the true one."""
    return math.floor(shard * RAY_RESOLUTION + 1e-9) / RAY_RESOLUTION
