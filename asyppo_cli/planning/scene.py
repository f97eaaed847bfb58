"""What an estimate is made of: the configuration, the sizes of its models, and the machines it is to run on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from asyppo_cli.config.schema import Config
from asyppo_cli.planning.architecture import Architecture
from asyppo_cli.planning.passes import Load, Precision
from asyppo_cli.planning.states import Sharing

MIB, GIB = 2**20, 2**30


@dataclass(frozen=True)
class Processes:
    """Bytes of a process before it holds a model: libraries, interpreter, and what these allocate for themselves.

    ``main`` is measured where the estimate is made. The rest was measured by ``benchmarks/plan.py`` with the versions
    in pyproject.toml: ``worker`` a rank under Ray, ``sampler`` vLLM, ``grader`` each process that judges answers,
    ``cluster`` Ray's own services. ``gpu``: CUDA's context and libraries on the GPU, which torch does not count.
    """

    main: float
    worker: float = 640 * MIB
    sampler: float = 1100 * MIB
    grader: float = 120 * MIB
    cluster: float = 900 * MIB
    gpu: float = 600 * MIB


@dataclass(frozen=True)
class Machine:
    """``memory`` of the machine, ``gpu_memory`` of each of ``gpus``; ``planned``: GPUs that are not here."""

    memory: float
    gpus: int
    gpu_memory: float
    planned: bool


@dataclass(frozen=True)
class Scene:
    """All that is known before anything is loaded. ``prompt`` and ``response`` are the longest to be expected."""

    config: Config
    policy: Architecture
    critic: Architecture | None
    prompt: int
    response: int
    sampler: Literal["transformers", "vllm"]
    machine: Machine
    processes: Processes

    @property
    def on_gpu(self) -> bool:
        """Whether models are trained on GPUs."""
        return self.config.learner.device != "cpu" and self.machine.gpus > 0 and not self._placed_on_cores

    @property
    def _placed_on_cores(self) -> bool:
        cluster = self.config.cluster
        return cluster.kind == "ray" and cluster.policy.first_gpu is None

    @property
    def responses(self) -> int:
        """Responses of a step."""
        return self.config.rollout.prompts * self.config.rollout.responses

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt and response."""
        return self.prompt + self.response

    @property
    def precision(self) -> Precision:
        """In what the learners compute."""
        learner = self.config.learner
        if learner.dtype == "float32":
            return "float32"
        return "bfloat16" if learner.engine == "deepspeed" and learner.deepspeed.stage > 0 else "autocast"

    def ranks(self, section: Literal["policy", "critics", "sampler"]) -> int:
        """Processes of a role."""
        placement = getattr(self.config.cluster, section)
        return int(placement.ranks) if self.config.cluster.kind == "ray" else 1

    def sharing(self, section: Literal["policy", "critics"]) -> Sharing:
        """How a role's model is shared out."""
        learner = self.config.learner
        zero = learner.deepspeed
        return Sharing(learner.engine, zero.stage, self.ranks(section), zero.offload, self.precision == "bfloat16")

    def load(self, rows: int) -> Load:
        """The largest micro-batch that one rank makes of so many rows."""
        fitting = max(1, self.config.learner.micro_batch_tokens // self.longest)
        taken = max(1, min(rows, fitting))
        return Load(taken * self.longest, taken * self.response, self.longest)

    @property
    def critic_share(self) -> int:
        """Responses of a step that one critic learns from."""
        critics = self.config.critics
        return self.responses if critics.split == "shared" else -(-self.responses // max(1, critics.count))
