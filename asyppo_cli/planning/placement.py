"""Which process is where: roles added up to processes, and processes to the memories they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asyppo_cli.planning.inputs import Scene
from asyppo_cli.planning.memory import Need, RoleNeed, one_after_another

# What the C library's allocator keeps of freed blocks, as a share of the worst phase: 0.31 to 0.56 were measured, on
# cores, with models of 0.4 and 135 million weights. torch's allocator for GPUs gives its blocks up before it fails.
SLACK = 0.4
# Bytes of weights that go to vLLM at a time, unless one takes more: that of engines.weight_sync.
PART = 32 * 2**20
SECTION_OF = {"sampler": "sampler", "policy": "policy", "reference": "policy"}


@dataclass(frozen=True)
class Process:
    """``count`` processes alike: what each needs for its roles, for itself (``libraries``), and of memory that it has
    in common with others (``shared``).
    """

    name: str
    need: Need
    libraries: float
    shared: float = 0.0
    count: int = 1
    slack: float = SLACK

    @property
    def peak(self) -> float:
        """Bytes of one of them at its worst moment, as the system counts them."""
        return self.need.settled(self.slack) + self.libraries + self.shared


@dataclass(frozen=True)
class Place:
    """A memory, or ``count`` alike, with the processes in each; ``shared`` counts once what several have in common."""

    name: str
    capacity: float
    processes: Sequence[Process]
    count: int = 1
    shared: float = 0.0

    @property
    def used(self) -> float:
        """Bytes at the worst moment of every process at once: nobody promises that they differ."""
        return self.shared + sum(process.count * (process.peak - process.shared) for process in self.processes)

    @property
    def fits(self) -> bool:
        """Whether that is there."""
        return self.used <= self.capacity


def places(scene: Scene, needs: Sequence[RoleNeed]) -> list[Place]:
    """All memories of a run: GPUs first, then that of the machine."""
    if scene.config.cluster.kind == "ray":
        return [*gpu_places(scene, needs), ray_machine(scene, needs)] if scene.on_gpu else [ray_machine(scene, needs)]
    return local_places(scene, needs)


def local_places(scene: Scene, needs: Sequence[RoleNeed]) -> list[Place]:
    """Everything in one process, vLLM in one of its own."""
    libraries = scene.processes
    vllm = [need for need in needs if need.role == "sampler" and scene.sampler == "vllm"]
    inside = [need for need in needs if need not in vllm]
    shared = sent_at_a_time(scene) if vllm and not scene.on_gpu else 0.0
    host = (need.host if scene.on_gpu else need.device for need in inside)
    main = Process("main", one_after_another(host), libraries.main, shared)
    beside = [Process("vllm", n.host if scene.on_gpu else n.device, libraries.sampler, shared) for n in vllm]
    machine = Place("memory", scene.machine.memory, [main, *beside, grader(scene)], shared=shared)
    if not scene.on_gpu:
        return [machine]
    return [
        gpu_place(scene, "GPU 0", 1, [("main", [n.device for n in inside]), *(("vllm", [n.device]) for n in vllm)]),
        machine,
    ]


def gpu_places(scene: Scene, needs: Sequence[RoleNeed]) -> list[Place]:
    """GPUs of a cluster, those with the same roles together."""
    roles_of: dict[int, list[RoleNeed]] = {}
    for need in needs:
        placement = getattr(scene.config.cluster, section(need.role))
        for gpu in range(placement.first_gpu or 0, (placement.first_gpu or 0) + need.ranks):
            if placement.first_gpu is not None:
                roles_of.setdefault(gpu, []).append(need)
    groups: dict[tuple[str, ...], list[int]] = {}
    for gpu in sorted(roles_of):
        groups.setdefault(tuple(need.role for need in roles_of[gpu]), []).append(gpu)
    return [
        gpu_place(scene, numbers(gpus), len(gpus), [(n.role, [n.device]) for n in roles_of[gpus[0]]])
        for gpus in groups.values()
    ]


def gpu_place(scene: Scene, name: str, count: int, roles: Iterable[tuple[str, list[Need]]]) -> Place:
    """A GPU with the processes of its roles. A sampler that sleeps takes turns with the others, if nobody is ahead."""
    named = list(roles)
    context = scene.processes.gpu
    turns = scene.config.sampler.vllm.sleep and scene.config.rollout.async_generate_level == 0
    sleeper = (
        [needs for role, needs in named if role in ("sampler", "vllm")] if scene.sampler == "vllm" and turns else []
    )
    awake = [(role, needs) for role, needs in named if needs not in sleeper]
    processes = [Process(role, one_after_another(needs), context, slack=0.0) for role, needs in awake]
    others = sum(process.need.passing for process in processes)
    for needs in sleeper:
        whole = one_after_another(needs)
        over = max(0.0, whole.passing - others)
        processes.append(Process("sampler", Need(whole.held, {"sample": {"cache": over}}), context, slack=0.0))
    return Place(name, scene.machine.gpu_memory, processes, count)


def ray_machine(scene: Scene, needs: Sequence[RoleNeed]) -> Place:
    """The memory of the machine, or of all machines together: every rank a process, and Ray's own."""
    libraries = scene.processes
    shared = sent_weights(scene)
    found = [Process("driver", Need(), libraries.main)]
    for need in needs:
        held = need.host if scene.on_gpu else need.device
        carries = shared if need.role in ("policy", "sampler") else 0.0
        own = libraries.sampler if need.role == "sampler" and scene.sampler == "vllm" else libraries.worker
        found += ranks_of(need, held, own, carries)
    services = Process("ray", Need(), libraries.cluster)
    name = "memory" if not scene.machine.planned else "memory of all machines"
    capacity = float("inf") if scene.machine.planned else scene.machine.memory
    return Place(name, capacity, [*found, services, grader(scene)], shared=shared)


def ranks_of(need: RoleNeed, held: Need, libraries: float, shared: float) -> list[Process]:
    """The processes of a role: rank 0 alone puts a checkpoint together."""
    if need.ranks == 1 or "save" not in held.phases:
        return [Process(need.role, held, libraries, shared, need.ranks)]
    others = Need(held.held, {phase: added for phase, added in held.phases.items() if phase != "save"})
    name = f"{need.role} (other ranks)"
    return [
        Process(f"{need.role} (rank 0)", held, libraries, shared),
        Process(name, others, libraries, 0.0, need.ranks - 1),
    ]


def grader(scene: Scene) -> Process:
    """The processes that judge answers."""
    return Process("grader", Need(), scene.processes.grader, count=scene.config.grading.workers)


def sent_weights(scene: Scene) -> float:
    """The policy's weights on their way to the sampler on a cluster, in shared memory."""
    each = 2 if scene.precision == "bfloat16" or (scene.sampler == "vllm" and scene.on_gpu) else 4
    return float(each * scene.policy.parameters)


def sent_at_a_time(scene: Scene) -> float:
    """Those of them that are in shared memory at a time where they go to vLLM's process on the same cores."""
    asked = scene.config.sampler.vllm.dtype
    dtype = scene.config.learner.dtype if asked == "auto" else asked
    each = 4 if dtype == "float32" else 2
    return float(min(each * scene.policy.parameters, max(PART, each * scene.policy.largest)))


def section(role: str) -> str:
    """The section of the configuration that places a role."""
    return SECTION_OF.get(role, "critics")


def numbers(gpus: Sequence[int]) -> str:
    """GPUs by number, neighbours as a range."""
    if len(gpus) == 1:
        return f"GPU {gpus[0]}"
    together = gpus[-1] - gpus[0] + 1 == len(gpus)
    return f"GPUs {gpus[0]}-{gpus[-1]}" if together else f"GPUs {', '.join(map(str, gpus))}"
