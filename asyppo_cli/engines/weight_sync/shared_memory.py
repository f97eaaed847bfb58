"""How new weights reach a sampling engine, behind one small protocol, and the way for processes of one machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from asyppo_cli.engines.weight_sync.checksums import Manifest, Shards, build_manifest, check_arrival, collect_shards

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a place in memory, and the file gets a name nobody can guess
# Offsets of tensors in the file are multiples of this many bytes, so that any kernel may read them in place.
ALIGNMENT = 64

# Bytes of the file, unless one weight alone takes more: what a container has of shared memory, which is 64 MiB.
CHUNK_BYTES = 32 * 2**20

Shapes = Mapping[str, tuple[int, ...]]


class SyncTarget(Protocol):
    """A started engine whose workers can be called: by name, with plain arguments, one result a worker."""

    def call_workers(self, method: str, **arguments: Any) -> list[Any]:
        """Call a method of every worker."""
        ...


class WeightSync(Protocol):
    """One way of sending weights to a started engine."""

    def send(self, weights: Iterable[tuple[str, Tensor]], version: int, target: SyncTarget) -> None:
        """Send named tensors, all of them; RuntimeError unless the engine then provably holds exactly these."""
        ...

    def close(self) -> None:
        """Give back memory and connections."""
        ...


@dataclass(frozen=True)
class Slot:
    """Where a tensor lies in the shared file: offset in bytes, shape, and the name of its dtype."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


class SharedMemorySync:
    """Through a file in memory that both sides map, some weights at a time.

    ``shapes`` are those of the weights, ``dtype`` is the engine's; ``part`` bytes go at a time, or the largest weight.
    The file is made at the first sync and unlinked as soon as the workers have mapped it, so nothing stays behind,
    however the processes end. ``note`` gets a line that says where the weights go instead if ``/dev/shm`` is too small.
    """

    def __init__(
        self, shapes: Shapes, dtype: torch.dtype, note: Callable[[str], None], part: int = CHUNK_BYTES
    ) -> None:
        self._shapes = shapes
        self._dtype = dtype
        self._note = note
        largest = max(torch.Size(shape).numel() for shape in shapes.values()) * dtype.itemsize
        self._size = max(part, largest)
        self._buffer: Tensor | None = None
        self._shards: Shards | None = None

    def send(self, weights: Iterable[tuple[str, Tensor]], version: int, target: SyncTarget) -> None:
        """Copy the weights into the shared file in the engine's precision, have them loaded, and compare."""
        if self._shards is None:
            self._shards = collect_shards(target.call_workers("asyppo_shards", shapes=self._shapes), self._shapes)
        path = None
        if self._buffer is None:
            path = self._create(self._size)
        assert self._buffer is not None
        manifest = Manifest(version, {}, {})
        begun = False
        try:
            for slots in self._chunks(check_complete(weights, self._shapes), self._buffer):
                part = build_manifest(views(self._buffer, slots).items(), version, self._shards)
                file = None if path is None or begun else str(path)
                reports = target.call_workers("asyppo_load", file=file, slots=slots, manifest=part, first=not begun)
                for arrived in reports:
                    check_arrival(part, arrived, "of what arrived")
                manifest, begun = manifest.joined(part), True
            check_reports(manifest, target.call_workers("asyppo_finish", manifest=manifest))
        except BaseException:
            # Workers that may not have mapped this file are sent another.
            self._buffer = None if path is not None else self._buffer
            if begun:
                # The first error is the one to report.
                with contextlib.suppress(Exception):
                    target.call_workers("asyppo_end")
            raise
        finally:
            if path is not None:
                path.unlink()

    def close(self) -> None:
        """Forget the mapping; the file has no name any more."""
        self._buffer = None

    @torch.no_grad()
    def _chunks(self, weights: Iterable[tuple[str, Tensor]], buffer: Tensor) -> Iterator[dict[str, Slot]]:
        """Fill the file again and again; each time, where the weights lie that are in it now."""
        slots: dict[str, Slot] = {}
        end = 0
        for name, tensor in weights:
            slot = Slot(end, tuple(tensor.shape), str(self._dtype).removeprefix("torch."))
            if end + size_of(slot) > self._size:
                yield slots
                slots, slot = {}, replace(slot, offset=0)
            slots[name] = slot
            views(buffer, {name: slot})[name].copy_(tensor)
            end = slot.offset - (-size_of(slot) // ALIGNMENT) * ALIGNMENT
        yield slots

    def _create(self, size: int) -> Path:
        folder = self._folder(size)
        handle, name = tempfile.mkstemp(prefix="asyppo-weights-", dir=folder)
        os.close(handle)
        os.truncate(name, size)
        self._buffer = torch.from_file(name, shared=True, size=size, dtype=torch.uint8)
        return Path(name)

    def _folder(self, size: int) -> Path:
        """Shared memory if the weights fit into what is free of it, a temporary folder otherwise."""
        free = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else 0
        if size < free:
            return SHARED_MEMORY
        folder = Path(tempfile.gettempdir())
        self._note(
            f"{SHARED_MEMORY} has {free / 2**20:,.0f} MiB free, and the policy's weights take {size / 2**20:,.0f}: "
            f"they go to the sampler by way of {folder}, which is slower"
        )
        return folder


def check_complete(weights: Iterable[tuple[str, Tensor]], shapes: Shapes) -> Iterator[tuple[str, Tensor]]:
    """The weights as they come; ValueError unless they are exactly those of the model that is sampled."""
    missing = dict(shapes)
    for name, tensor in weights:
        if missing.pop(name, None) != tuple(tensor.shape):
            known = f"there it is {list(shapes[name])}" if name in shapes else "there it is not known"
            raise ValueError(f"the new weights are of another model: {name} is {list(tensor.shape)}, {known}")
        yield name, tensor
    if missing:
        raise ValueError(f"the new weights are of another model: {', '.join(list(missing)[:3])} not among them")


def size_of(slot: Slot) -> int:
    """Bytes of a tensor."""
    dtype: torch.dtype = getattr(torch, slot.dtype)
    return torch.Size(slot.shape).numel() * dtype.itemsize


def views(buffer: Tensor, slots: Mapping[str, Slot]) -> dict[str, Tensor]:
    """The tensors in the file, without a copy."""
    return {
        name: buffer[slot.offset : slot.offset + size_of(slot)].view(getattr(torch, slot.dtype)).view(slot.shape)
        for name, slot in slots.items()
    }


def check_reports(manifest: Manifest, reports: Iterable[Any]) -> None:
    """RuntimeError unless every worker received what was sent, and computes with it.

    A report is a pair of readings: of what arrived (None where the transport does not show it), and of what the
    model's own tensors and kernels hold. A weight that no worker can read back may be anything: that is an error too.
    """
    unread = set(manifest.entries)
    answered = False
    for arrived, live in reports:
        answered = True
        if arrived is not None:
            check_arrival(manifest, arrived, "of what arrived")
        check_arrival(manifest, live, "in its model")
        unread -= {name for name, held in live.items() if (held.checksum, held.sample) != (None, None)}
    if not answered:
        raise RuntimeError(f"no worker of the sampler took the new weights (version {manifest.version})")
    if unread:
        names = [name for name in manifest.entries if name in unread]
        raise RuntimeError(
            f"{len(names)} of the policy's weights ({names[0]}, ...) cannot be read back from the sampler's model, so "
            "nothing shows that it samples from them: set sampler.engine=transformers"
        )
