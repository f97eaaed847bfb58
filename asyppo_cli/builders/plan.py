"""From a configuration to the scene of an estimate: models by their sizes, this machine or a planned one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from asyppo_cli.builders.architecture import read_architecture
from asyppo_cli.builders.roles import SECTIONS
from asyppo_cli.builders.samplers import pick_engine
from asyppo_cli.config.schema import Config
from asyppo_cli.engines.hf.resolve import EMBEDDED
from asyppo_cli.engines.vllm.install import installed_version
from asyppo_cli.planning.architecture import Architecture
from asyppo_cli.planning.inputs import GIB, MachineMemory, PlanInputs, ProcessOverhead

# What a run imports after its start: tasks, tokenizers, records (pyarrow), kernels; measured by benchmarks/plan.py.
IMPORTED_LATER = 326 * 2**20
UNLIMITED = 2**60


@dataclass(frozen=True)
class Planned:
    """What is planned for instead of this machine and the limits of lengths: None where nothing is said."""

    gpu_memory: float | None
    gpus: int | None
    prompt: int | None
    response: int | None


def build_plan_inputs(config: Config, planned: Planned) -> PlanInputs:
    """Everything an estimate needs to know.

    Raises:
        ValueError: a model that is not there, a placement that does not exist, lengths that are none.
    """
    # First of all: what follows loads what a run loads later.
    processes = ProcessOverhead(main=own_memory() + IMPORTED_LATER)
    machine = machine_for(config, planned)
    check_gpus(config, machine)
    policy = read_architecture(config.policy.model, config.policy.revision, "policy.model")
    rollout = config.rollout
    return PlanInputs(
        config=config,
        policy=policy,
        critic=critic_of(config, policy),
        prompt=expected("--prompt-tokens", planned.prompt, "rollout.prompt_length", rollout.prompt_length),
        response=expected("--response-tokens", planned.response, "rollout.response_length", rollout.response_length),
        sampler=sampler_of(config, machine),
        machine=machine,
        processes=processes,
    )


def critic_of(config: Config, policy: Architecture) -> Architecture | None:
    """A critic's sizes; None for methods without."""
    critics = config.critics
    if not critics.count:
        return None
    whole = policy if critics.model is None else read_architecture(critics.model, None, "critics.model")
    return whole.as_critic(critics.depth)


def sampler_of(config: Config, machine: MachineMemory) -> Literal["transformers", "vllm"]:
    """Who samples: on planned GPUs vLLM counts as installed there."""
    if not machine.planned or config.sampler.engine != "auto":
        if config.sampler.engine == "auto" and not reachable(config.policy.model):
            return "vllm" if installed_version() else "transformers"
        return pick_engine(config.sampler.engine, config.policy.model, config.policy.revision)
    return "transformers" if config.policy.model.startswith(EMBEDDED) else "vllm"


def reachable(model: str) -> bool:
    """Whether a model's configuration is on this machine."""
    return model.startswith(EMBEDDED) or Path(model).expanduser().is_dir()


def expected(option: str, value: int | None, key: str, limit: int) -> int:
    """A length to be expected; ValueError beyond the limit that the configuration sets."""
    if value is None:
        return limit
    if not 0 < value <= limit:
        raise ValueError(f"{option} {value} must be between 1 and {key}={limit}")
    return value


def machine_for(config: Config, planned: Planned) -> MachineMemory:
    """This machine, or one with the GPUs that are planned: as many as the placement asks for, unless said."""
    if planned.gpus is not None and planned.gpu_memory is None:
        raise ValueError(f"--gpus {planned.gpus} needs --gpu-memory GIB, the memory of each of them")
    if planned.gpu_memory is not None:
        gpus = planned.gpus or max(1, gpus_asked_for(config))
        return MachineMemory(memory_here(), gpus, planned.gpu_memory * GIB, planned=True)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    memory = float(torch.cuda.mem_get_info(0)[1]) if gpus else 0.0
    return MachineMemory(memory_here(), gpus, memory, planned=False)


def gpus_asked_for(config: Config) -> int:
    """One more than the last GPU that any role is to have."""
    placements = [getattr(config.cluster, section) for section in SECTIONS]
    return max((p.first_gpu + p.ranks for p in placements if p.first_gpu is not None), default=0)


def check_gpus(
    config: Config, machine: MachineMemory, instead: str = "plan for other GPUs with --gpu-memory GIB"
) -> None:
    """ValueError, in one line with what to do ``instead``, for a placement that does not exist."""
    instead += " --gpus N" if machine.planned else ""
    where = "the planned machine" if machine.planned else "this machine"
    there = {0: "has none", 1: "has one, number 0"}.get(machine.gpus, f"has {machine.gpus}, 0-{machine.gpus - 1}")
    for section in SECTIONS:
        placement = getattr(config.cluster, section)
        if placement.first_gpu is not None and config.cluster.kind == "local":
            raise ValueError(f"cluster.{section}.first_gpu={placement.first_gpu} needs cluster=ray")
        if placement.first_gpu is not None and placement.first_gpu + placement.ranks > machine.gpus:
            last = placement.first_gpu + placement.ranks - 1
            asked = f"GPU {last}" if placement.ranks == 1 else f"GPUs {placement.first_gpu}-{last}"
            raise ValueError(f"cluster.{section} asks for {asked}, but {where} {there}: {instead}")
    if config.learner.device == "cuda" and not machine.gpus:
        raise ValueError(f"learner.device=cuda, but {where} has no GPU: set learner.device=auto, or {instead}")


def memory_here() -> float:
    """Bytes that processes of this machine may have: its memory, or less where a control group says so."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit() and int(text) < UNLIMITED:
        whole = min(whole, int(text))
    return float(whole)


def own_memory() -> float:
    """Bytes of this process now, with torch and transformers loaded as in a run; half a GiB where nobody tells."""
    status = Path("/proc/self/statm")
    if not status.is_file():
        return 0.5 * GIB
    return float(int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
