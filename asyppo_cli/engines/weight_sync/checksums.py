"""What a set of weights is, in a few numbers: names, shapes and checksums that sender and receiver both compute.

The sender describes the weights as it sends them, in the receiver's precision. The receiver describes what it holds
afterwards, read from the tensors or kernels that it computes with. Only equal descriptions count as a sync.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

# Columns of a matrix that are compared where a kernel has packed it, so that only its products can be read.
SAMPLED_COLUMNS = 16
# Bytes of a word, and of a row of 1,024 words.
_WORD, _ROW = 8, 8192


@dataclass(frozen=True)
class WeightChecksum:
    """One weight. ``checksum`` is of all elements, ``sample`` of the sampled columns (None for a vector)."""

    shape: tuple[int, ...]
    dtype: str
    checksum: int
    sample: int | None


@dataclass(frozen=True)
class Shard:
    """Rows (``axis`` 0) or columns (1) ``start`` to ``stop`` of a weight: what one of several receivers holds of it."""

    axis: int
    start: int
    stop: int

    def of(self, tensor: Tensor) -> Tensor:
        """That part of a whole tensor."""
        return tensor.narrow(self.axis, self.start, self.stop - self.start)


Shards = Mapping[str, Collection[Shard]]


@dataclass(frozen=True)
class Manifest:
    """All weights of version ``version``, by their Hugging Face names, and parts of those that are held in parts."""

    version: int
    entries: Mapping[str, WeightChecksum]
    parts: Mapping[str, Mapping[Shard, WeightChecksum]] = field(default_factory=dict)

    def joined(self, other: Manifest) -> Manifest:
        """This one's weights and another's."""
        return Manifest(self.version, {**self.entries, **other.entries}, {**self.parts, **other.parts})

    def expected(self, name: str, shard: Shard | None) -> WeightChecksum:
        """What a receiver should hold of a weight, all of it or a part."""
        return self.entries[name] if shard is None else self.parts[name][shard]


@dataclass(frozen=True)
class ReceivedWeight:
    """What a receiver holds of one weight, or of a part of it: either checksum may be out of its reach."""

    shape: tuple[int, ...]
    checksum: int | None
    sample: int | None
    shard: Shard | None = None


class ManifestBuilder:
    """Makes the manifest of weights that pass one by one; ``shards`` are the parts that receivers hold."""

    def __init__(self, version: int, shards: Shards) -> None:
        self._version, self._shards = version, shards
        self._entries: dict[str, WeightChecksum] = {}
        self._chunks: dict[str, dict[Shard, WeightChecksum]] = {}

    def add(self, name: str, tensor: Tensor) -> None:
        """One weight, as it is sent."""
        self._entries[name] = checksums_of(tensor, self._version)
        if name in self._shards:
            self._chunks[name] = {shard: checksums_of(shard.of(tensor), self._version) for shard in self._shards[name]}

    @property
    def manifest(self) -> Manifest:
        """That of all weights so far."""
        return Manifest(self._version, self._entries, self._chunks)


def build_manifest(weights: Iterable[tuple[str, Tensor]], version: int, shards: Shards | None = None) -> Manifest:
    """The manifest of weights as they are given."""
    describer = ManifestBuilder(version, shards or {})
    for name, tensor in weights:
        describer.add(name, tensor)
    return describer.manifest


def collect_shards(
    claims: Iterable[Mapping[str, Shard]], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, set[Shard]]:
    """Every part that some receiver holds; a claim names the parts of one receiver, which holds all else whole.

    Raises:
        RuntimeError: the parts of a weight leave something of it to nobody.
    """
    everyone = list(claims)
    found: dict[str, set[Shard]] = {}
    for name in {name for own in everyone for name in own}:
        found[name] = {own[name] for own in everyone if name in own}
        if all(name in own for own in everyone) and not covers(found[name], shapes[name]):
            parts = sorted((shard.start, shard.stop) for shard in found[name])
            raise RuntimeError(f"no worker of the sampler holds all of {name}, {list(shapes[name])}: only {parts}")
    return found


def covers(shards: Collection[Shard], shape: tuple[int, ...]) -> bool:
    """Whether parts along one axis make up the whole."""
    reached = 0
    for shard in sorted(shards, key=lambda shard: shard.start):
        if shard.start > reached:
            return False
        reached = max(reached, shard.stop)
    return len({shard.axis for shard in shards}) == 1 and reached == shape[next(iter(shards)).axis]


def checksums_of(tensor: Tensor, version: int) -> WeightChecksum:
    """The description of one weight."""
    sample = checksum(tensor[:, sampled_columns(tensor.shape[1], version)]) if tensor.ndim == 2 else None
    return WeightChecksum(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), checksum(tensor), sample)


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


def differences(manifest: Manifest, read: Mapping[str, ReceivedWeight]) -> list[str]:
    """What tells the receiver's weights from the sender's, one phrase a weight, in the manifest's order."""
    found = []
    for name in manifest.entries:
        held = read.get(name)
        if held is None:
            found.append(f"{name} is missing")
            continue
        sent = manifest.expected(name, held.shard)
        if held.shape != sent.shape:
            found.append(f"{name} has shape {list(held.shape)} instead of {list(sent.shape)}")
        elif (held.checksum is not None and held.checksum != sent.checksum) or (
            held.sample is not None and held.sample != sent.sample
        ):
            found.append(f"{name} has other values")
    return found


def check_arrival(manifest: Manifest, read: Mapping[str, ReceivedWeight], where: str) -> None:
    """RuntimeError that names the first weights which did not arrive."""
    found = differences(manifest, read)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise RuntimeError(
            f"the sampler does not hold the new weights (version {manifest.version}): {where}, {'; '.join(found[:3])}"
            f"{more}; no batch was sampled from them: go on with --resume, and if it happens again set "
            "sampler.engine=transformers"
        )
