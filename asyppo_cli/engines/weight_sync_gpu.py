"""How new weights reach a vLLM engine on GPUs: through vLLM's own weight transfer, CUDA IPC or NCCL.

Written to the interface of vLLM 0.32 (``vllm.distributed.weight_transfer``) and **never run**: no GPU was at
hand. IPC shares the trainer's memory with an engine on the same GPU; NCCL broadcasts to engines on others, while the
workers receive. vLLM's trainer side drives the four calls (init, start, update, finish); here is only what it asks
for: a client that reaches the workers, and a source that yields exactly what it announced.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from asyppo_cli.engines.manifest import Entry, Manifest, entry
from asyppo_cli.engines.weight_sync import Shapes, SyncTarget, checked, confirm

LOCALHOST = "127.0.0.1"


class TransferSync:
    """A :class:`~asyppo_cli.engines.weight_sync.WeightSync` by vLLM's backend ``backend``. Never run."""

    def __init__(
        self,
        backend: Literal["ipc", "nccl"],
        shapes: Shapes,
        dtype: torch.dtype,
        tensor_parallel: int,
        target: SyncTarget,
    ) -> None:
        self._source = StreamedSource(shapes, dtype)
        self._trainer = open_trainer(backend, self._source, tensor_parallel, target)

    def send(self, weights: Iterable[tuple[str, Tensor]], version: int, target: SyncTarget) -> list[str]:
        """Transfer the weights as they come, and compare with what the workers then hold."""
        self._source.begin(weights, version)
        self._trainer.send_weights()
        manifest = Manifest(version, self._source.entries)
        return confirm(manifest, target.call_workers("asyppo_read", manifest=manifest))

    def close(self) -> None:
        """Leave the transfer group."""
        self._trainer.shutdown()


class StreamedSource:
    """A vLLM ``WeightSource`` over weights that are given anew each round; describes them as they pass."""

    def __init__(self, shapes: Shapes, dtype: torch.dtype) -> None:
        self._shapes = shapes
        self._dtype = dtype
        self._weights: Iterable[tuple[str, Tensor]] = ()
        self._version = 0
        self.entries: dict[str, Entry] = {}

    def begin(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """The next iteration yields these."""
        self._weights, self._version, self.entries = weights, version, {}

    def metadata(self) -> list[Any]:
        """Name, dtype and shape of everything an iteration yields."""
        from vllm.distributed.weight_transfer.base import ParamMeta

        return [ParamMeta(name, self._dtype, shape) for name, shape in self._shapes.items()]

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """The weights on the GPU in the engine's precision, in the order announced."""
        for (name, tensor), announced in zip(checked(self._weights, self._shapes), self._shapes, strict=True):
            if name != announced:
                raise ValueError(f"weights came in another order: {name} instead of {announced}")
            sent = tensor.detach().to("cuda", self._dtype).contiguous()
            self.entries[name] = entry(sent, self._version)
            yield name, sent


class TransferClient:
    """The inference side of a transfer, as vLLM's trainer side calls it."""

    def __init__(self, target: SyncTarget) -> None:
        self._target = target

    def init_weight_transfer_engine(self, init_info: Mapping[str, Any]) -> None:
        """Have the workers join."""
        self._target.call_workers("init_weight_transfer_engine", init_info=dict(init_info))

    def shutdown_weight_transfer_engine(self) -> None:
        """Have the workers leave."""
        self._target.call_workers("shutdown_weight_transfer_engine")

    def start_weight_update(self) -> None:
        """New weights are about to come."""
        self._target.call_workers("start_weight_update")

    def update_weights(self, update_info: Any) -> None:
        """Some weights come now; returns when the workers have them."""
        self._target.call_workers("update_weights", update_info=update_info)

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """All weights have come."""
        self._target.call_workers("finish_weight_update")


def open_trainer(
    backend: Literal["ipc", "nccl"], source: StreamedSource, tensor_parallel: int, target: SyncTarget
) -> Any:
    """The trainer side of vLLM's transfer, connected to the workers; this process is its only rank."""
    from vllm.distributed.weight_transfer import WeightTransferTrainerFactory

    if backend == "ipc":
        from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo

        info: Any = IPCTrainerInitInfo(rank=0)
    else:
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

        info = NCCLTrainerInitInfo(
            master_address=LOCALHOST, master_port=free_port(), world_size=1 + tensor_parallel, rank=0
        )
    return WeightTransferTrainerFactory.trainer_init(info, client=TransferClient(target), source=source)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        port: int = probe.getsockname()[1]
    return port
