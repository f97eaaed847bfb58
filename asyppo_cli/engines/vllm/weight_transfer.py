"""How new weights reach vLLM engines through vLLM's own weight transfer: CUDA IPC, NCCL, or gloo between CPUs.

Written to the interface of vLLM 0.32 (``vllm.distributed.weight_transfer``). IPC shares the trainer's memory with an
engine on the same GPU; NCCL and gloo broadcast to engines elsewhere, while their workers receive. vLLM's trainer side
drives the calls (init, start, update, finish); here is only what it asks for: a client that reaches the workers, and a
source that yields exactly what it announced. **Run with gloo only**: what lies behind the same calls on GPUs never was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from asyppo_cli.engines.weight_sync.checksums import ManifestBuilder, Shards, collect_shards
from asyppo_cli.engines.weight_sync.shared_memory import Shapes, SyncTarget, check_complete, check_reports
from asyppo_cli.system import free_port

LOCALHOST = "127.0.0.1"

Backend = Literal["ipc", "nccl", "gloo"]


@dataclass(frozen=True)
class TransferSpec:
    """What both sides of a transfer agree on: the backend, the weights' ``shapes`` by name in their order, the engines'
    ``dtype``, and how many ``workers`` receive in all.
    """

    backend: Backend
    shapes: Shapes
    dtype: torch.dtype
    workers: int


class TransferSync:
    """A :class:`~asyppo_cli.engines.weight_sync.shared_memory.WeightSync` by one of vLLM's backends.

    On a trainer of several ranks every rank makes one and calls :meth:`send` with all weights, at the same time: those
    may be gathered on the way. Rank 0 sends. ``address`` is where the workers find it.
    """

    def __init__(
        self, transfer_spec: TransferSpec, target: SyncTarget, rank: int = 0, address: str = LOCALHOST
    ) -> None:
        self._rank = rank
        claims = target.call_workers("asyppo_shards", shapes=transfer_spec.shapes) if rank == 0 else []
        self._source = StreamedSource(transfer_spec, collect_shards(claims, transfer_spec.shapes), describes=rank == 0)
        self._trainer = open_trainer(transfer_spec, self._source, TransferClient(target), rank, address)

    def send(self, weights: Iterable[tuple[str, Tensor]], version: int, target: SyncTarget) -> None:
        """Transfer the weights as they come, and compare with what the workers then hold."""
        self._source.begin(weights, version)
        self._trainer.send_weights()
        if not self._rank:
            manifest = self._source.manifest
            check_reports(manifest, target.call_workers("asyppo_read", manifest=manifest))

    def close(self) -> None:
        """Leave the transfer group."""
        self._trainer.shutdown()


class StreamedSource:
    """A vLLM ``WeightSource`` over weights that are given anew each round; ``describes`` them as they pass."""

    def __init__(self, transfer_spec: TransferSpec, shards: Shards, describes: bool) -> None:
        self._shapes, self._dtype, self._shards, self._describes = (
            transfer_spec.shapes,
            transfer_spec.dtype,
            shards,
            describes,
        )
        self._device = "cpu" if transfer_spec.backend == "gloo" else "cuda"
        self._weights: Iterable[tuple[str, Tensor]] = ()
        self._describer = ManifestBuilder(0, shards)

    def begin(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """The next iteration yields these."""
        self._weights, self._describer = weights, ManifestBuilder(version, self._shards)

    @property
    def manifest(self) -> Any:
        """That of the weights which have passed since :meth:`begin`."""
        return self._describer.manifest

    def metadata(self) -> list[Any]:
        """Name, dtype and shape of everything an iteration yields."""
        from vllm.distributed.weight_transfer.base import ParamMeta

        return [ParamMeta(name, self._dtype, shape) for name, shape in self._shapes.items()]

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """The weights on the device in the engines' precision, in the order announced."""
        for (name, tensor), announced in zip(check_complete(self._weights, self._shapes), self._shapes, strict=True):
            if name != announced:
                raise ValueError(f"weights came in another order: {name} instead of {announced}")
            sent = tensor.detach().to(self._device, self._dtype).contiguous()
            if self._describes:
                self._describer.add(name, sent)
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
    transfer_spec: TransferSpec, source: StreamedSource, client: TransferClient, rank: int, address: str
) -> Any:
    """The trainer side of vLLM's transfer on one rank; on rank 0 connected to the workers."""
    from vllm.distributed.weight_transfer import WeightTransferTrainerFactory

    # Rank 0 listens; the others need no port.
    meeting: dict[str, Any] = {
        "master_address": address,
        "master_port": free_port(),
        "world_size": 1 + transfer_spec.workers,
        "rank": rank,
    }
    match transfer_spec.backend:
        case "ipc":
            from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo

            info: Any = IPCTrainerInitInfo(rank=rank)
        case "nccl":
            from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

            info = NCCLTrainerInitInfo(**meeting)
        case "gloo":
            from asyppo_cli.engines.vllm.worker_gloo import GlooTrainerInfo

            info = GlooTrainerInfo(**meeting)
    return WeightTransferTrainerFactory.trainer_init(info, client=client, source=source)
