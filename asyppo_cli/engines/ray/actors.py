"""The processes of a run in a Ray cluster: all resources reserved at once, then an actor on every seat of the plan."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from asyppo_cli.engines.ray.placement import NodeSlot, PlacementPlan
from asyppo_cli.engines.ray.rank_group import RankGroup
from asyppo_cli.engines.ray.rank_process import GpuReservation, RankContext, RankProcess

# What a worker is given of this process's environment, wherever it runs.
INHERITED = ("HF_", "VLLM_", "NCCL_", "GLOO_", "OMP_WAIT_", "GOMP_", "KMP_")
# A cluster that is free answers at once.
RESERVE_GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class WorkerSettings:
    """What all processes of a run have in common; see :class:`RankContext`. ``logs`` becomes ``LOGS-role-rank.log``."""

    folder: Path
    shared: Path
    logs: Path
    timeout: float


class ClusterActors:
    """Reserved resources of a cluster, and the groups of processes that sit in them."""

    def __init__(self, plan: PlacementPlan, workers: WorkerSettings, note: Callable[[str], None]) -> None:
        self._plan, self._workers = plan, workers
        self._groups: dict[str, RankGroup] = {}
        self._reservations: dict[str, list[list[Any]]] = {}
        self._reserved = reserve(plan, workers.timeout, note)
        self._bundles = order_bundles(plan, self._reserved)

    def create(self, role: str, kind: type[RankProcess]) -> RankGroup:
        """A group of processes on the seats of a role, empty as yet."""
        slots = self._plan.slots[role]
        contexts = [self._context(role, rank, slot, len(slots)) for rank, slot in enumerate(slots)]
        actors = [self._create_actor(kind, context, slot) for context, slot in zip(contexts, slots, strict=True)]
        self._reservations[role] = [[self._reservation(bundle, slot) for bundle in slot.extra] for slot in slots]
        self._groups[role] = RankGroup(contexts, actors, self._workers.timeout)
        return self._groups[role]

    def start(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        """Let all ranks of all roles make what they hold, at the same time."""
        waiting = []
        for role, make in makers.items():
            group = self._groups[role]
            addresses = group.call_all("starting", "prepare")
            self._assign_gpus(role)
            waiting.append(group.submit("loading its model", "build", [(make, addresses[0])] * group.size))
        for answers in waiting:
            answers()

    def measure(self, what: Callable[[], int]) -> dict[str, int]:
        """A number of every process, added up by role."""
        groups = self._groups.items()
        waiting = {role: group.submit("answering", "measure", [(what,)] * group.size) for role, group in groups}
        return {role: sum(answers()) for role, answers in waiting.items()}

    def close(self) -> None:
        """End all processes and give the resources back."""
        for group in self._groups.values():
            group.close()
        for reservation in (
            reservation for ranks in self._reservations.values() for rank in ranks for reservation in rank
        ):
            ray.kill(reservation)
        remove_placement_group(self._reserved)

    def _context(self, role: str, rank: int, slot: NodeSlot, ranks: int) -> RankContext:
        workers = self._workers
        log = workers.logs.with_name(f"{workers.logs.name}-{role}-{rank}.log")
        return RankContext(role, rank, ranks, slot.gpus > 0, workers.folder, workers.shared, log, workers.timeout)

    def _assign_gpus(self, role: str) -> None:
        """Tell ranks that have several GPUs which; each but its first is kept for it by a holder."""
        if any(self._reservations[role]):
            found = [[reservation.device.remote() for reservation in own] for own in self._reservations[role]]
            devices = [(ray.get(own, timeout=self._workers.timeout),) for own in found]
            self._groups[role].call("starting", "take_gpus", devices)

    def _reservation(self, bundle: int, slot: NodeSlot) -> Any:
        strategy = PlacementGroupSchedulingStrategy(self._reserved, self._bundles[bundle])
        remote: Any = ray.remote(GpuReservation)
        return remote.options(num_cpus=0, num_gpus=slot.gpus, max_restarts=0, scheduling_strategy=strategy).remote()

    def _create_actor(self, kind: type[RankProcess], context: RankContext, slot: NodeSlot) -> Any:
        strategy = PlacementGroupSchedulingStrategy(self._reserved, self._bundles[slot.bundle])
        remote: Any = ray.remote(kind)
        return remote.options(
            num_cpus=slot.cpus,
            num_gpus=slot.gpus,
            max_restarts=0,
            scheduling_strategy=strategy,
            runtime_env={"env_vars": environment(slot)},
        ).remote(context)


def environment(slot: NodeSlot) -> dict[str, str]:
    """Environment variables of a process: no imports from where it stands, its own cores and no others' GPU."""
    own = {name: value for name, value in os.environ.items() if name.startswith(INHERITED)}
    own |= {"PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": str(max(1, int(slot.cpus)))}
    return own if slot.gpus else own | {"CUDA_VISIBLE_DEVICES": ""}


def reserve(plan: PlacementPlan, timeout: float, note: Callable[[str], None]) -> PlacementGroup:
    """All resources of a run, or none.

    Raises:
        ValueError: other runs did not give them back in time.
    """
    group = placement_group(plan.bundles, strategy="PACK")
    if group.wait(RESERVE_GRACE_SECONDS):
        return group
    free = ray.available_resources()
    message = f"of the cluster {free.get('GPU', 0):g} GPUs and {free.get('CPU', 0):g} cores are free"
    note(f"{message}: waiting for others to give back what this run asks for")
    if group.wait(timeout):
        return group
    remove_placement_group(group)
    raise ValueError(
        f"{message}, and this run's resources have not become free within {timeout:g} seconds: wait for other runs to "
        "end, or lower the ranks in cluster.*"
    )


def order_bundles(plan: PlacementPlan, group: PlacementGroup) -> list[int]:
    """Ray's number of each of the plan's bundles. It deals them to machines as it likes: GPUs are numbered anew, so
    that those on one machine have successive numbers.
    """
    machines = placement_group_table(group)["bundles_to_node_id"]
    gpus = [number for number, bundle in enumerate(plan.bundles) if "GPU" in bundle]
    first = {machines[number]: number for number in reversed(gpus)}
    ordered = sorted(gpus, key=lambda number: (first[machines[number]], number))
    return ordered + list(range(len(gpus), len(plan.bundles)))
