"""A backend for vLLM's weight transfer between CPUs: as its NCCL backend, with gloo in NCCL's place.

Importing this registers it with vLLM: in each of its workers as the extension's module, and in the trainer's process.
A worker loads what arrives tensor by tensor, by the same layer-wise reload that vLLM's own backends use.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch import distributed as dist
from vllm.distributed.weight_transfer import WeightTransferEngineFactory, WeightTransferTrainerFactory
from vllm.distributed.weight_transfer.base import (
    TrainerInitInfo,
    TrainerWeightTransferEngine,
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)

from asyppo_cli.engines.vllm.worker import WorkerExtension, pack_tied

# How long either side waits for the other.
TIMEOUT = timedelta(minutes=10)


@dataclass
class GlooTrainerInfo(TrainerInitInfo):  # type: ignore[misc]
    """Where the trainer listens, and how many take part with it."""

    backend: ClassVar[str] = "gloo"

    master_address: str
    master_port: int
    world_size: int


@dataclass
class GlooInfo(WeightTransferInitInfo):  # type: ignore[misc]
    """The same for an engine, whose first worker has rank ``rank_offset``."""

    master_address: str
    master_port: int
    world_size: int
    rank_offset: int


@dataclass
class GlooUpdate(WeightTransferUpdateInfo):  # type: ignore[misc]
    """The weights that are about to come, in their order."""

    names: list[str]
    dtype_names: list[str]
    shapes: list[list[int]]


class GlooEngine(WeightTransferEngine[GlooInfo, GlooUpdate]):  # type: ignore[misc]
    """A worker's side."""

    init_info_cls = GlooInfo
    update_info_cls = GlooUpdate

    def init_transfer_engine(self, init_info: GlooInfo) -> None:
        """Meet the trainer and the other workers."""
        rank = init_info.rank_offset + self.parallel_config.rank
        self._group = create_group(init_info.master_address, init_info.master_port, rank, init_info.world_size)

    def start_weight_update(self) -> None:
        """Make the model ready to be loaded again."""
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

        initialize_layerwise_reload(self.model)

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Receive and load; without the wait for an accelerator that vLLM's own begins with."""
        self.receive_weights(self.parse_update_info(update_info))

    def receive_weights(self, update_info: GlooUpdate) -> None:
        """Take one tensor after the other and load it."""
        for name, dtype, shape in zip(update_info.names, update_info.dtype_names, update_info.shapes, strict=True):
            tensor = torch.empty(shape, dtype=getattr(torch, dtype))
            broadcast(self._group, tensor)
            self.model.load_weights([(name, tensor)])

    def finish_weight_update(self) -> None:
        """Let the kernels take the weights over."""
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

        finalize_layerwise_reload(self.model, self.model_config)
        pack_tied(self.model)

    def shutdown(self) -> None:
        """Leave the group."""
        self._group = None


class GlooTrainer(TrainerWeightTransferEngine[GlooTrainerInfo]):  # type: ignore[misc]
    """A trainer rank's side; only rank 0 has a group and sends."""

    init_info_cls = GlooTrainerInfo
    _group: Any = None

    @classmethod
    def trainer_init(cls, init_info: GlooTrainerInfo, *, client: Any, source: Any = None) -> GlooTrainer:
        """Join the workers' process group; they are asked to join at the same time."""
        trainer = cls(client=client, source=source, is_sender=init_info.is_sender)
        if trainer.is_sender:
            place = (init_info.master_address, init_info.master_port)
            theirs = asdict(GlooInfo(*place, init_info.world_size, rank_offset=1))
            with ThreadPoolExecutor(1) as beside:
                joined = beside.submit(client.init_weight_transfer_engine, theirs)
                trainer._group = create_group(*place, 0, init_info.world_size)
                joined.result()
        return trainer

    def send_weights(self) -> None:
        """One round: the workers receive in the order of the metadata while this side sends."""
        if not self.is_sender:
            for _ in self.source:
                pass
            return
        meta = self.source.metadata()
        dtypes = [str(one.dtype).removeprefix("torch.") for one in meta]
        update = GlooUpdate([one.name for one in meta], dtypes, [list(one.shape) for one in meta])
        self.client.start_weight_update()
        beside = ThreadPoolExecutor(1)
        try:
            received = beside.submit(self.client.update_weights, asdict(update))
            for _, tensor in self.source:
                broadcast(self._group, tensor)
            received.result()
        finally:
            # Not waited for: workers that still receive after an error here would never return.
            beside.shutdown(wait=False)
        self.client.finish_weight_update()


class GlooWorkerExtension(WorkerExtension):
    """The extension of workers that receive by this backend."""


def create_group(address: str, port: int, rank: int, size: int) -> Any:
    """A group of its own beside any that the process has; rank 0 listens."""
    store = dist.TCPStore(address, port, size, is_master=rank == 0, timeout=TIMEOUT)  # type: ignore[attr-defined]
    return dist.ProcessGroupGloo(store, rank, size, TIMEOUT)


def broadcast(group: Any, tensor: Tensor) -> None:
    """Send a tensor from rank 0 to all others."""
    options = dist.BroadcastOptions()
    options.rootRank, options.rootTensor = 0, 0
    group.broadcast([tensor], options).wait()


WeightTransferEngineFactory.register_engine("gloo", GlooEngine)
WeightTransferTrainerFactory.register_engine("gloo", GlooTrainer)
