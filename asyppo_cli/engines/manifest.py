"""What a set of weights is, in a few numbers: names, shapes and checksums that sender and receiver both compute.

The sender describes the weights as it sends them, in the receiver's precision. The receiver describes what it holds
afterwards, read from the tensors or kernels that it computes with. Only equal descriptions count as a sync.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# Columns of a matrix that are compared where a kernel has packed it, so that only its products can be read.
SAMPLED_COLUMNS = 16
# Bytes of a word, and of a row of 1,024 words.
_WORD, _ROW = 8, 8192


@dataclass(frozen=True)
class Entry:
    """One weight. ``checksum`` is of all elements, ``sample`` of the sampled columns (None for a vector)."""

    shape: tuple[int, ...]
    dtype: str
    checksum: int
    sample: int | None


@dataclass(frozen=True)
class Manifest:
    """All weights of version ``version``, by their Hugging Face names."""

    version: int
    entries: Mapping[str, Entry]


@dataclass(frozen=True)
class Reading:
    """What a receiver holds of one weight: either checksum may be out of its reach."""

    shape: tuple[int, ...]
    checksum: int | None
    sample: int | None


def describe(weights: Iterable[tuple[str, Tensor]], version: int) -> Manifest:
    """The manifest of weights as they are given."""
    return Manifest(version, {name: entry(tensor, version) for name, tensor in weights})


def entry(tensor: Tensor, version: int) -> Entry:
    """The description of one weight."""
    sample = checksum(tensor[:, sampled_columns(tensor.shape[1], version)]) if tensor.ndim == 2 else None
    return Entry(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), checksum(tensor), sample)


def checksum(tensor: Tensor) -> int:
    """A 32-bit number that any changed element changes, and any exchanged ones but for one case in four billion.

    The CRC of the row and column sums (modulo 2^64) of the tensor's bytes, laid out as a matrix of 64-bit words with
    1,024 columns: two fast reductions on any device, and order counts, which a plain sum would not see.
    """
    data = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    if data.storage_offset() % _WORD:
        data = data.clone()
    # Whole rows are summed in place; only the rest is copied.
    whole = data.numel() // _ROW * _ROW
    rest = torch.nn.functional.pad(data[whole:], (0, whole + _ROW - data.numel()))
    matrices = [part.view(torch.int64).view(-1, _ROW // _WORD) for part in (data[:whole], rest)]
    rows = torch.cat([matrix.sum(1) for matrix in matrices])
    columns = torch.stack([matrix.sum(0) for matrix in matrices]).sum(0)
    return zlib.crc32(torch.cat([rows, columns]).cpu().numpy().tobytes(), data.numel() & 0xFFFFFFFF)


def sampled_columns(width: int, version: int) -> Tensor:
    """Which of ``width`` columns are compared at this version: evenly spread, another set each time, int64."""
    count = min(width, SAMPLED_COLUMNS)
    return (torch.arange(count) * width // count + version) % width


def differences(manifest: Manifest, read: Mapping[str, Reading]) -> list[str]:
    """What tells the receiver's weights from the sender's, one phrase a weight, in the manifest's order."""
    found = []
    for name, sent in manifest.entries.items():
        held = read.get(name)
        if held is None:
            found.append(f"{name} is missing")
        elif held.shape != sent.shape:
            found.append(f"{name} has shape {list(held.shape)} instead of {list(sent.shape)}")
        elif (held.checksum is not None and held.checksum != sent.checksum) or (
            held.sample is not None and held.sample != sent.sample
        ):
            found.append(f"{name} has other values")
    return found


def check_arrival(manifest: Manifest, read: Mapping[str, Reading], where: str) -> None:
    """RuntimeError that names the first weights which did not arrive."""
    found = differences(manifest, read)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise RuntimeError(
            f"the sampler does not hold the new weights (version {manifest.version}): {where}, {'; '.join(found[:3])}"
            f"{more}; no batch was sampled from them: go on with --resume, and if it happens again set "
            "sampler.engine=transformers"
        )
