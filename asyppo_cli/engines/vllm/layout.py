"""Where a weight of a Hugging Face model lives in vLLM's model of it, all of it or the part that one worker holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from asyppo_cli.engines.weight_sync.checksums import Shard
from asyppo_cli.engines.weight_sync.shared_memory import Shapes


@dataclass(frozen=True)
class TensorParallelRank:
    """Worker ``rank`` of ``ranks`` that share a model."""

    rank: int
    ranks: int


@dataclass(frozen=True)
class WeightLocation:
    """Where a weight lives in vLLM's model: rows ``first`` and on of a module's parameter; ``shard``: part of it."""

    module: nn.Module
    parameter: str
    first: int
    shard: Shard | None


class WeightLayout:
    """A model's modules by name and by the tensors that they hold, found once for all its weights.

    It tells of the model as it was when this was made: loading weights may exchange its tensors.
    """

    def __init__(self, model: nn.Module, tp_rank: TensorParallelRank) -> None:
        self._tp_rank = tp_rank
        self._modules = dict(model.named_modules())
        self._packed: dict[str, list[str]] = getattr(model, "packed_modules_mapping", {})
        self._holders: dict[tuple[str, int], list[nn.Module]] = defaultdict(list)
        for module in self._modules.values():
            # Their own only: what is inside of them has a turn of its own.
            for name, tensor in module._parameters.items():  # noqa: SLF001
                if tensor is not None and tensor.numel():
                    self._holders[name, id(tensor)].append(module)

    def locations(self, name: str, shapes: Shapes) -> Iterator[WeightLocation]:
        """Every module that holds a weight: its own or a fused one, and those tied to it; none if vLLM renamed it."""
        path, _, parameter = name.rpartition(".")
        found = self._own(path, parameter)
        module, before = (found, []) if found is not None else self._fused(path, parameter)
        if module is None:
            return
        shard = local_shard(module, len(before), shapes[name], self._tp_rank)
        first = sum(local_rows(module, number, shapes[part], self._tp_rank) for number, part in enumerate(before))
        yield WeightLocation(module, parameter, first, shard)
        for other in self._holders.get((parameter, id(module._parameters[parameter])), ()):  # noqa: SLF001
            if other is not module:
                yield WeightLocation(other, parameter, first, shard)

    def _own(self, path: str, parameter: str) -> nn.Module | None:
        """The module of the same name."""
        module = self._modules.get(path)
        return None if module is None or module._parameters.get(parameter) is None else module  # noqa: SLF001

    def _fused(self, path: str, parameter: str) -> tuple[nn.Module | None, list[str]]:
        """The module into which vLLM has joined this one with its neighbours, one below the other; those above this."""
        parent, _, last = path.rpartition(".")
        for fused, parts in self._packed.items():
            module = self._own(f"{parent}.{fused}", parameter) if last in parts else None
            if module is not None:
                return module, [f"{parent}.{part}.{parameter}" for part in parts[: parts.index(last)]]
        return None, []


def local_shard(module: Any, number: int, shape: tuple[int, ...], tp_rank: TensorParallelRank) -> Shard | None:
    """Which part of a weight a module of a worker holds, as its ``number``-th; None: all of it.

    vLLM gives a worker rows of the vocabulary, of projections into heads and into the feed-forward layer, and columns
    of those out of them; a key or value head belongs to several workers where there are more of these than heads.
    """
    vocabulary, columns = getattr(module, "shard_indices", None), getattr(module, "input_size_per_partition", None)
    rows = getattr(module, "output_partition_sizes", [shape[0]] * (number + 1))[number]
    if tp_rank.ranks == 1:
        return None
    if vocabulary is not None:
        return Shard(0, vocabulary.org_vocab_start_index, vocabulary.org_vocab_end_index)
    if len(shape) == 2 and columns not in (None, shape[1]):
        return Shard(1, tp_rank.rank * columns, (tp_rank.rank + 1) * columns)
    if rows == shape[0]:
        return None
    start = tp_rank.rank * (shape[0] // rows) // tp_rank.ranks * rows
    return Shard(0, start, start + rows)


def local_rows(module: nn.Module, number: int, shape: tuple[int, ...], tp_rank: TensorParallelRank) -> int:
    """Rows of a module's parameter that belong to its ``number``-th weight."""
    shard = local_shard(module, number, shape, tp_rank)
    return shape[0] if shard is None or shard.axis != 0 else shard.stop - shard.start
