"""Which process is where: roles added up to processes, and processes to the memories they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asyppo_cli.planning.inputs import PlanInputs
from asyppo_cli.planning.memory import MemoryUse, RoleMemory, sequential

# What the C library's allocator keeps of freed blocks, as a share of the worst phase: 0.31 to 0.56 were measured, on
# cores, with models of 0.4 and 135 million weights. torch's allocator for GPUs gives its blocks up before it fails.
SLACK = 0.4
# Bytes of weights that go to vLLM at a time, unless one takes more: that of engines.weight_sync.
CHUNK_BYTES = 32 * 2**20
SECTION_OF = {"sampler": "sampler", "policy": "policy", "reference": "policy"}


@dataclass(frozen=True)
class ProcessMemory:
    """``count`` processes alike: what each needs for its roles, for itself (``libraries``), and of memory that it has
    in common with others (``shared``).
    """

    name: str
    use: MemoryUse
    libraries: float
    shared: float = 0.0
    count: int = 1
    slack: float = SLACK

    @property
    def peak(self) -> float:
        """Bytes of one of them at its worst moment, as the system counts them."""
        return self.use.with_slack(self.slack) + self.libraries + self.shared


@dataclass(frozen=True)
class MemoryPool:
    """A memory, or ``count`` alike, with the processes in each; ``shared`` counts once what several have in common."""

    name: str
    capacity: float
    processes: Sequence[ProcessMemory]
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


def memory_pools(inputs: PlanInputs, uses: Sequence[RoleMemory]) -> list[MemoryPool]:
    """All memories of a run: GPUs first, then that of the machine."""
    if inputs.config.cluster.kind == "ray":
        return (
            [*gpu_memory_pools(inputs, uses), host_memory_with_ray(inputs, uses)]
            if inputs.on_gpu
            else [host_memory_with_ray(inputs, uses)]
        )
    return local_memory_pools(inputs, uses)


def local_memory_pools(inputs: PlanInputs, uses: Sequence[RoleMemory]) -> list[MemoryPool]:
    """Everything in one process, vLLM in one of its own."""
    libraries = inputs.processes
    vllm = [use for use in uses if use.role == "sampler" and inputs.sampler == "vllm"]
    inside = [use for use in uses if use not in vllm]
    shared = sent_at_a_time(inputs) if vllm and not inputs.on_gpu else 0.0
    host = (use.host if inputs.on_gpu else use.device for use in inside)
    main = ProcessMemory("main", sequential(host), libraries.main, shared)
    beside = [ProcessMemory("vllm", n.host if inputs.on_gpu else n.device, libraries.sampler, shared) for n in vllm]
    machine = MemoryPool("memory", inputs.machine.memory, [main, *beside, grader(inputs)], shared=shared)
    if not inputs.on_gpu:
        return [machine]
    return [
        gpu_memory(inputs, "GPU 0", 1, [("main", [n.device for n in inside]), *(("vllm", [n.device]) for n in vllm)]),
        machine,
    ]


def gpu_memory_pools(inputs: PlanInputs, uses: Sequence[RoleMemory]) -> list[MemoryPool]:
    """GPUs of a cluster, those with the same roles together."""
    roles_of: dict[int, list[RoleMemory]] = {}
    for use in uses:
        placement = getattr(inputs.config.cluster, section(use.role))
        for gpu in range(placement.first_gpu or 0, (placement.first_gpu or 0) + use.ranks):
            if placement.first_gpu is not None:
                roles_of.setdefault(gpu, []).append(use)
    groups: dict[tuple[str, ...], list[int]] = {}
    for gpu in sorted(roles_of):
        groups.setdefault(tuple(use.role for use in roles_of[gpu]), []).append(gpu)
    return [
        gpu_memory(inputs, numbers(gpus), len(gpus), [(n.role, [n.device]) for n in roles_of[gpus[0]]])
        for gpus in groups.values()
    ]


def gpu_memory(inputs: PlanInputs, name: str, count: int, roles: Iterable[tuple[str, list[MemoryUse]]]) -> MemoryPool:
    """A GPU with the processes of its roles. A sampler that sleeps takes turns with the others, if nobody is ahead."""
    named = list(roles)
    context = inputs.processes.gpu
    turns = inputs.config.sampler.vllm.sleep and inputs.config.rollout.async_generate_level == 0
    sleeper = (
        [uses for role, uses in named if role in ("sampler", "vllm")] if inputs.sampler == "vllm" and turns else []
    )
    awake = [(role, uses) for role, uses in named if uses not in sleeper]
    processes = [ProcessMemory(role, sequential(uses), context, slack=0.0) for role, uses in awake]
    others = sum(process.use.transient for process in processes)
    for uses in sleeper:
        whole = sequential(uses)
        over = max(0.0, whole.transient - others)
        processes.append(
            ProcessMemory("sampler", MemoryUse(whole.held, {"sample": {"cache": over}}), context, slack=0.0)
        )
    return MemoryPool(name, inputs.machine.gpu_memory, processes, count)


def host_memory_with_ray(inputs: PlanInputs, uses: Sequence[RoleMemory]) -> MemoryPool:
    """The memory of the machine, or of all machines together: every rank a process, and Ray's own."""
    libraries = inputs.processes
    shared = sent_weights(inputs)
    found = [ProcessMemory("driver", MemoryUse(), libraries.main)]
    for use in uses:
        held = use.host if inputs.on_gpu else use.device
        carries = shared if use.role in ("policy", "sampler") else 0.0
        own = libraries.sampler if use.role == "sampler" and inputs.sampler == "vllm" else libraries.worker
        found += ranks_of(use, held, own, carries)
    services = ProcessMemory("ray", MemoryUse(), libraries.cluster)
    name = "memory" if not inputs.machine.planned else "memory of all machines"
    capacity = float("inf") if inputs.machine.planned else inputs.machine.memory
    return MemoryPool(name, capacity, [*found, services, grader(inputs)], shared=shared)


def ranks_of(use: RoleMemory, held: MemoryUse, libraries: float, shared: float) -> list[ProcessMemory]:
    """The processes of a role: rank 0 alone puts a checkpoint together."""
    if use.ranks == 1 or "save" not in held.phases:
        return [ProcessMemory(use.role, held, libraries, shared, use.ranks)]
    others = MemoryUse(held.held, {phase: added for phase, added in held.phases.items() if phase != "save"})
    name = f"{use.role} (other ranks)"
    return [
        ProcessMemory(f"{use.role} (rank 0)", held, libraries, shared),
        ProcessMemory(name, others, libraries, 0.0, use.ranks - 1),
    ]


def grader(inputs: PlanInputs) -> ProcessMemory:
    """The processes that judge answers."""
    return ProcessMemory("grader", MemoryUse(), inputs.processes.grader, count=inputs.config.grading.workers)


def sent_weights(inputs: PlanInputs) -> float:
    """The policy's weights on their way to the sampler on a cluster, in shared memory."""
    each = 2 if inputs.precision == "bfloat16" or (inputs.sampler == "vllm" and inputs.on_gpu) else 4
    return float(each * inputs.policy.parameters)


def sent_at_a_time(inputs: PlanInputs) -> float:
    """Those of them that are in shared memory at a time where they go to vLLM's process on the same cores."""
    asked = inputs.config.sampler.vllm.dtype
    dtype = inputs.config.learner.dtype if asked == "auto" else asked
    each = 4 if dtype == "float32" else 2
    return float(min(each * inputs.policy.parameters, max(CHUNK_BYTES, each * inputs.policy.largest)))


def section(role: str) -> str:
    """The section of the configuration that places a role."""
    return SECTION_OF.get(role, "critics")


def numbers(gpus: Sequence[int]) -> str:
    """GPUs by number, neighbours as a range."""
    if len(gpus) == 1:
        return f"GPU {gpus[0]}"
    packed_responses = gpus[-1] - gpus[0] + 1 == len(gpus)
    return f"GPUs {gpus[0]}-{gpus[-1]}" if packed_responses else f"GPUs {', '.join(map(str, gpus))}"
