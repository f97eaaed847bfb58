"""What an estimate is made of: the configuration, the sizes of its models, and the machines it is to run on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from asyppo_cli.config.schema import Config
from asyppo_cli.planning.activations import BatchShape, Precision, packed_responses_per_row
from asyppo_cli.planning.architecture import Architecture
from asyppo_cli.planning.model_state import ShardingSettings

MIB, GIB = 2**20, 2**30


@dataclass(frozen=True)
class ProcessOverhead:
    """Bytes of a process before it holds a model: libraries, interpreter, and what these allocate for themselves.

    ``main`` is measured where the estimate is made. ``worker`` is a rank under Ray, ``sampler`` vLLM's process: both
    from one run each of an embedded model on cores, peaks less what the model took. ``grader`` is each process that
    judges answers, as seen. ``cluster``, Ray's own services, and ``gpu``, CUDA's context and libraries on a GPU, which
    torch does not count, are guesses.
    """

    main: float
    worker: float = 510 * MIB
    sampler: float = 700 * MIB
    grader: float = 120 * MIB
    cluster: float = 900 * MIB
    gpu: float = 600 * MIB


@dataclass(frozen=True)
class MachineMemory:
    """``memory`` of the machine, ``gpu_memory`` of each of ``gpus``; ``planned``: GPUs that are not here."""

    memory: float
    gpus: int
    gpu_memory: float
    planned: bool


@dataclass(frozen=True)
class PlanInputs:
    """All that is known before anything is loaded. ``prompt`` and ``response`` are the longest to be expected."""

    config: Config
    policy: Architecture
    critic: Architecture | None
    prompt: int
    response: int
    sampler: Literal["transformers", "vllm"]
    machine: MachineMemory
    processes: ProcessOverhead

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

    def sharding(self, section: Literal["policy", "critics"]) -> ShardingSettings:
        """How a role's model is shared out."""
        learner = self.config.learner
        zero = learner.deepspeed
        return ShardingSettings(
            learner.engine,
            zero.stage,
            self.ranks(section),
            zero.offload,
            half=self.precision == "bfloat16",
            moments_in_file=learner.moments_dir is not None,
            on_cores=not self.on_gpu,
        )

    def largest_batch(self, arch: Architecture, rows: int, group: int) -> BatchShape:
        """The largest micro-batch that one rank makes of the responses, ``group`` of them to each prompt."""
        return self.batch_shapes(arch, rows, group)[0]

    def batch_shapes(self, arch: Architecture, rows: int, group: int) -> tuple[BatchShape, BatchShape]:
        """The largest micro-batch, and the one after it, which meets a gradient; that may be empty."""
        packed_responses = self.packed_responses(arch, group)
        longest = self.prompt + packed_responses * self.response
        whole = -(-rows // packed_responses)
        fitting = max(1, self.config.learner.micro_batch_tokens // longest)
        first = max(1, min(whole, fitting))
        sizes = (first, max(0, min(whole - first, fitting)))
        one, other = (
            BatchShape(n * longest, n * packed_responses * self.response, longest, packed_responses > 1) for n in sizes
        )
        return one, other

    def packed_responses(self, arch: Architecture, group: int) -> int:
        """How many responses share a row, and with it their prompt."""
        learner = self.config.learner
        if not learner.share_prompts:
            return 1
        return packed_responses_per_row(arch, self.prompt, self.response, group, learner.micro_batch_tokens)

    @property
    def critic_group(self) -> int:
        """Responses to a prompt that one critic learns from."""
        by_response = self.config.critics.split == "by_response"
        return -(-self.config.rollout.responses // (self.config.critics.count if by_response else 1))

    @property
    def critic_share(self) -> int:
        """Responses of a step that one critic learns from."""
        critics = self.config.critics
        return self.responses if critics.split == "shared" else -(-self.responses // max(1, critics.count))
