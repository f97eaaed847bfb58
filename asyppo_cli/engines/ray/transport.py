"""Tensors on their way between processes: as NumPy arrays, which Ray shares without copying or pickling them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Bytes of weights in one object: large enough to be fast, small enough that a receiver holds little besides the model.
CHUNK_BYTES = 256 * 2**20


@dataclass(frozen=True)
class PackedRecord:
    """A record of tensors: its type, and its fields by name, each an array or None."""

    kind: type[Any]
    fields: dict[str, np.ndarray[Any, Any] | None]


@dataclass(frozen=True)
class WeightChunk:
    """Some weights: names, arrays, and the dtypes they stand for (NumPy knows no bfloat16)."""

    names: tuple[str, ...]
    arrays: tuple[np.ndarray[Any, Any], ...]
    dtypes: tuple[torch.dtype, ...]

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        for name, array, dtype in zip(self.names, self.arrays, self.dtypes, strict=True):
            yield name, copied(array).view(dtype)


def pack_record(record: Any) -> PackedRecord:
    """Any record whose fields are tensors or None, for the journey."""
    named = vars(record).items()
    return PackedRecord(type(record), {k: None if v is None else v.detach().cpu().numpy() for k, v in named})


def unpack_record(packed: PackedRecord) -> Any:
    """The record that :func:`pack_record` was given, in memory of its own."""
    return packed.kind(**{k: None if v is None else copied(v) for k, v in packed.fields.items()})


def copied(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor with a copy of the array: what comes out of Ray's memory must not be written to."""
    return torch.from_numpy(array.copy())


def chunked(weights: Iterable[tuple[str, Tensor]], size: int = CHUNK_BYTES) -> Iterator[WeightChunk]:
    """Named weights in groups of about ``size`` bytes; a larger weight goes alone."""
    group: list[tuple[str, Tensor]] = []
    held = 0
    for name, tensor in weights:
        if group and held + tensor.nbytes > size:
            yield _chunk(group)
            group, held = [], 0
        group.append((name, tensor.detach().cpu().contiguous()))
        held += tensor.nbytes
    if group:
        yield _chunk(group)


def _chunk(group: list[tuple[str, Tensor]]) -> WeightChunk:
    names = tuple(name for name, _ in group)
    plain = (t.view(torch.int16) if t.dtype == torch.bfloat16 else t for _, t in group)
    return WeightChunk(names, tuple(t.numpy() for t in plain), tuple(t.dtype for _, t in group))
