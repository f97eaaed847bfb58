"""What runs in a rank's own process: a learner or a sampler, driven by a :class:`RankGroup` elsewhere.

The process uses Ray only to share memory; everything else is the engine's own business.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from asyppo_cli.engines.distributed import init_ranks
from asyppo_cli.engines.ray.transport import PackedRecord, chunked, pack_record, unpack_record
from asyppo_cli.engines.vllm.weight_transfer import TransferSpec, TransferSync
from asyppo_cli.system import free_port
from asyppo_cli.types import Response, SamplingParams


@dataclass(frozen=True)
class RankContext:
    """Where a rank is: which of how many in its role, with a GPU or without, in which folder it works.

    ``shared`` is a file that all machines must see, ``log`` takes what the process prints, ``timeout`` is how long
    it waits for other ranks in seconds.
    """

    role: str
    rank: int
    ranks: int
    gpu: bool
    folder: Path
    shared: Path
    log: Path
    timeout: float

    @property
    def title(self) -> str:
        """The rank in words."""
        return f"{self.role}, rank {self.rank} of {self.ranks}"


class RankProcess:
    """A rank before it holds anything."""

    def __init__(self, context: RankContext) -> None:
        self._context = context
        self._held: Any = None

    def prepare(self) -> str:
        """Take the folder and the log over; returns ``host:port`` at which other ranks may meet this one.

        Raises:
            ValueError: this machine does not see the run's files.
        """
        context = self._context
        if not context.shared.is_file():
            raise ValueError(
                f"the machine {platform.node()} does not see {context.shared}: on several machines --runs-dir must be "
                "on a file system that all of them share"
            )
        redirect_output(context.log)
        print(f"{context.title}: process {os.getpid()} on {platform.node()}", flush=True)
        if context.folder.is_dir():
            os.chdir(context.folder)
        return f"{own_address()}:{free_port()}"

    def take_gpus(self, extra: Sequence[tuple[str, str]]) -> None:
        """Add the GPUs that holders keep for this rank, each a machine and a number, to the one that it has.

        Raises:
            ValueError: one is on another machine.
        """
        machine, own = gpu_of_this_process()
        if any(other != machine for other, _ in extra):
            raise ValueError(
                f"its {1 + len(extra)} GPUs are on several machines: choose cluster.sampler.first_gpu so that "
                "sampler.vllm.tensor_parallel successive GPUs are on one"
            )
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join([own, *(number for _, number in extra)])

    def build(self, make: Callable[[], Any], address: str) -> None:
        """Meet the other ranks, if there are any and this has not been done, and make what this rank holds."""
        context = self._context
        if context.ranks > 1 and not dist.is_initialized():
            device = torch.device("cuda" if context.gpu else "cpu")
            init_ranks(context.rank, context.ranks, address, device, timedelta(seconds=context.timeout))
        self._held = make()

    def measure(self, what: Callable[[], int]) -> int:
        """Any number about this process."""
        return what()

    def close(self) -> None:
        """Release what is held, orderly."""
        if self._held is not None:
            self._held.close()


class LearnerRank(RankProcess):
    """One rank of a learner."""

    _sync: TransferSync | None = None
    _version = 0

    def forward(self, batch: PackedRecord) -> PackedRecord:
        """Outputs of this rank's rows."""
        return pack_record(self._held.forward(unpack_record(batch)))

    def forward_backward(
        self, batch: PackedRecord, targets: PackedRecord, loss: Callable[..., Any]
    ) -> tuple[PackedRecord, Any]:
        """Outputs of this rank's rows, and the terms summed over all ranks."""
        outputs, sums = self._held.forward_backward(unpack_record(batch), unpack_record(targets), loss)
        return pack_record(outputs), dict(sums)

    def optimizer_step(self) -> Any:
        """The report, the same on every rank."""
        return self._held.optimizer_step()

    def weights(self) -> list[Any]:
        """References to chunks of the weights: all of them from rank 0, none from the others, who only take part."""
        import ray

        if self._context.rank == 0:
            return [ray.put(chunk) for chunk in chunked(self._held.weights())]
        for _ in self._held.weights():
            pass
        return []

    def send_weights(self, samplers: Sequence[Any]) -> None:
        """Send the weights to all sampler ranks by vLLM's transfer, whose calls rank 0 makes; see that they arrived."""
        target = RemoteSamplers(samplers)
        if self._sync is None:
            self._sync = TransferSync(target.transfer_spec(), target, self._context.rank, own_address())
        self._version += 1
        self._sync.send(self._held.weights(), self._version, target)

    def close(self) -> None:
        """Leave the transfer group too."""
        if self._sync is not None:
            self._sync.close()
        super().close()

    def save(self, directory: Path) -> None:
        """Write this rank's part."""
        self._held.save(directory)

    def load(self, directory: Path) -> None:
        """Take back this rank's part."""
        self._held.load(directory)


class SamplerRank(RankProcess):
    """One sampler of several, each with a copy of the policy."""

    def sample(self, prompts: Sequence[Sequence[int]], n: int, params: SamplingParams) -> list[list[Response]]:
        """Responses to this rank's share of the prompts."""
        drawn: list[list[Response]] = self._held.sample(prompts, n, params)
        return drawn

    def load_weights(self, chunks: Sequence[Any]) -> None:
        """Take over the policy's weights, chunk by chunk."""
        import ray

        self._held.load_weights(pair for reference in chunks for pair in ray.get(reference))

    def transfer_spec(self) -> TransferSpec:
        """What a trainer must know to send weights by vLLM's transfer."""
        transfer_spec: TransferSpec = self._held.transfer_spec()
        return transfer_spec

    def call_workers(self, method: str, arguments: dict[str, Any]) -> list[Any]:
        """Call a method of every worker of this rank's vLLM."""
        results: list[Any] = self._held.call_workers(method, **arguments)
        return results

    def reset_cache(self) -> None:
        """Drop what is cached of old weights."""
        self._held.reset_cache()


class RemoteSamplers:
    """The workers of all sampler ranks' engines, reached from a learner's rank: a
    :class:`~asyppo_cli.engines.weight_sync.shared_memory.SyncTarget`. ``samplers`` are handles of
    :class:`SamplerRank` actors.
    """

    def __init__(self, samplers: Sequence[Any]) -> None:
        self._samplers = samplers

    def transfer_spec(self) -> TransferSpec:
        """Those of one engine, with the workers of all."""
        import ray

        one: TransferSpec = ray.get(self._samplers[0].transfer_spec.remote())
        return replace(one, workers=one.workers * len(self._samplers))

    def call_workers(self, method: str, **arguments: Any) -> list[Any]:
        """Call a method of all workers, engine by engine at the same time; one result a worker.

        In the group of a transfer the workers of one engine come after those of the one before.
        """
        import ray

        own = [dict(arguments) for _ in self._samplers]
        joining = arguments.get("init_info", {})
        if "rank_offset" in joining:
            width = (joining["world_size"] - 1) // len(own)
            for number, given in enumerate(own):
                given["init_info"] = {**joining, "rank_offset": joining["rank_offset"] + number * width}
        calls = [s.call_workers.remote(method, given) for s, given in zip(self._samplers, own, strict=True)]
        return [result for results in ray.get(calls) for result in results]


class GpuReservation:
    """Keeps a further GPU for a rank that computes on several, and does nothing else."""

    def device(self) -> tuple[str, str]:
        """The machine and its number there."""
        return gpu_of_this_process()


def gpu_of_this_process() -> tuple[str, str]:
    """The machine, and the number there of the one GPU that Ray has given this process."""
    import ray

    context = ray.get_runtime_context()
    (number,) = context.get_accelerator_ids()["GPU"]
    return str(context.get_node_id()), str(number)


def redirect_output(log: Path) -> None:
    """Everything this process prints from now on, native libraries included, goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def own_address() -> str:
    """The address of this machine as the cluster knows it."""
    import ray

    return str(ray.util.get_node_ip_address())
