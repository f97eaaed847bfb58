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

from asyppo_cli.engines.ray.placement import Plan, Seat
from asyppo_cli.engines.ray.rank_group import RankGroup
from asyppo_cli.engines.ray.rank_process import GpuHolder, Place, RankProcess

# What a worker is given of this process's environment, wherever it runs.
INHERITED = ("HF_", "VLLM_", "NCCL_", "GLOO_")
# A cluster that is free answers at once.
SOON_SECONDS = 10.0


@dataclass(frozen=True)
class Site:
    """What all processes of a run have in common; see :class:`Place`. ``logs`` becomes ``LOGS-role-rank.log``."""

    folder: Path
    shared: Path
    logs: Path
    timeout: float


class Seats:
    """Reserved resources of a cluster, and the groups of processes that sit in them."""

    def __init__(self, plan: Plan, site: Site, note: Callable[[str], None]) -> None:
        self._plan, self._site = plan, site
        self._groups: dict[str, RankGroup] = {}
        self._holders: dict[str, list[list[Any]]] = {}
        self._reserved = reserve(plan, site.timeout, note)
        self._bundles = by_machine(plan, self._reserved)

    def start(self, role: str, kind: type[RankProcess]) -> RankGroup:
        """A group of processes on the seats of a role, empty as yet."""
        seats = self._plan.seats[role]
        places = [self._place(role, rank, seat, len(seats)) for rank, seat in enumerate(seats)]
        actors = [self._actor(kind, place, seat) for place, seat in zip(places, seats, strict=True)]
        self._holders[role] = [[self._holder(bundle, seat) for bundle in seat.more] for seat in seats]
        self._groups[role] = RankGroup(places, actors, self._site.timeout)
        return self._groups[role]

    def fill(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        """Let all ranks of all roles make what they hold, at the same time."""
        waiting = []
        for role, make in makers.items():
            group = self._groups[role]
            addresses = group.ask_all("starting", "settle")
            self._hand_over_gpus(role)
            waiting.append(group.begin("loading its model", "build", [(make, addresses[0])] * group.size))
        for answers in waiting:
            answers()

    def measure(self, what: Callable[[], int]) -> dict[str, int]:
        """A number of every process, added up by role."""
        groups = self._groups.items()
        waiting = {role: group.begin("answering", "measure", [(what,)] * group.size) for role, group in groups}
        return {role: sum(answers()) for role, answers in waiting.items()}

    def close(self) -> None:
        """End all processes and give the resources back."""
        for group in self._groups.values():
            group.close()
        for holder in (holder for ranks in self._holders.values() for rank in ranks for holder in rank):
            ray.kill(holder)
        remove_placement_group(self._reserved)

    def _place(self, role: str, rank: int, seat: Seat, ranks: int) -> Place:
        site = self._site
        log = site.logs.with_name(f"{site.logs.name}-{role}-{rank}.log")
        return Place(role, rank, ranks, seat.gpus > 0, site.folder, site.shared, log, site.timeout)

    def _hand_over_gpus(self, role: str) -> None:
        """Tell ranks that have several GPUs which; each but its first is kept for it by a holder."""
        if any(self._holders[role]):
            found = [[holder.device.remote() for holder in own] for own in self._holders[role]]
            devices = [(ray.get(own, timeout=self._site.timeout),) for own in found]
            self._groups[role].ask("starting", "take_gpus", devices)

    def _holder(self, bundle: int, seat: Seat) -> Any:
        strategy = PlacementGroupSchedulingStrategy(self._reserved, self._bundles[bundle])
        remote: Any = ray.remote(GpuHolder)
        return remote.options(num_cpus=0, num_gpus=seat.gpus, max_restarts=0, scheduling_strategy=strategy).remote()

    def _actor(self, kind: type[RankProcess], place: Place, seat: Seat) -> Any:
        strategy = PlacementGroupSchedulingStrategy(self._reserved, self._bundles[seat.bundle])
        remote: Any = ray.remote(kind)
        return remote.options(
            num_cpus=seat.cpus,
            num_gpus=seat.gpus,
            max_restarts=0,
            scheduling_strategy=strategy,
            runtime_env={"env_vars": environment(seat)},
        ).remote(place)


def environment(seat: Seat) -> dict[str, str]:
    """Environment variables of a process: no imports from where it stands, its own cores and no others' GPU."""
    own = {name: value for name, value in os.environ.items() if name.startswith(INHERITED)}
    own |= {"PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": str(max(1, int(seat.cpus)))}
    return own if seat.gpus else own | {"CUDA_VISIBLE_DEVICES": ""}


def reserve(plan: Plan, timeout: float, note: Callable[[str], None]) -> PlacementGroup:
    """All resources of a run, or none.

    Raises:
        ValueError: other runs did not give them back in time.
    """
    group = placement_group(plan.bundles, strategy="PACK")
    if group.wait(SOON_SECONDS):
        return group
    free = ray.available_resources()
    told = f"of the cluster {free.get('GPU', 0):g} GPUs and {free.get('CPU', 0):g} cores are free"
    note(f"{told}: waiting for others to give back what this run asks for")
    if group.wait(timeout):
        return group
    remove_placement_group(group)
    raise ValueError(
        f"{told}, and for {timeout:g} seconds what this run asks for has not become free: wait for other runs to end, "
        "or ask for less in cluster.*"
    )


def by_machine(plan: Plan, group: PlacementGroup) -> list[int]:
    """Ray's number of each of the plan's bundles. It deals them to machines as it likes: GPUs are numbered anew, so
    that those on one machine have successive numbers.
    """
    machines = placement_group_table(group)["bundles_to_node_id"]
    gpus = [number for number, bundle in enumerate(plan.bundles) if "GPU" in bundle]
    first = {machines[number]: number for number in reversed(gpus)}
    ordered = sorted(gpus, key=lambda number: (first[machines[number]], number))
    return ordered + list(range(len(gpus), len(plan.bundles)))
