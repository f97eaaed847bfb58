"""Cutting a batch into parts of similar cost, for micro-batches and for ranks, and putting outputs together again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from asyppo_cli.types import Sequences, TensorRecord

Outputs = TypeVar("Outputs", bound=TensorRecord)


def plan_micro_batches(lengths: Tensor, token_budget: int) -> list[Tensor]:
    """Rows of each micro-batch, longest first, so that ``rows x longest`` stays within the budget.

    Sorting by length keeps padding small; a row that is longer than the budget goes alone. ``lengths`` int64 ``[B]``;
    no rows make no micro-batch.
    """
    order = lengths.argsort(descending=True, stable=True)
    longest = lengths[order].tolist()
    parts, start = [], 0
    while start < len(longest):
        size = max(1, token_budget // longest[start])
        parts.append(order[start : start + size])
        start += size
    return parts


def merge(outputs: Sequence[Outputs], parts: Sequence[Tensor], batch: Sequences) -> Outputs:
    """Outputs of parts of a batch as one record in the batch's order and width, on the CPU.

    ``parts`` hold the rows of the batch that each record speaks of, as :func:`plan_micro_batches` or
    :func:`~asyppo_cli.engines.distributed.shard_rows` gave them; a part without rows adds nothing.
    """
    shape = (len(batch), max(batch.response_lengths.tolist(), default=0))
    gathered = {}
    for name in vars(outputs[0]):
        whole = torch.zeros(shape)
        for rows, output in zip(parts, outputs, strict=True):
            value = getattr(output, name).detach().cpu()
            whole[rows, : value.shape[1]] = value
        gathered[name] = whole
    return type(outputs[0])(**gathered)
