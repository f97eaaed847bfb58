"""Cutting a batch into micro-batches of similar length."""

from __future__ import annotations

from torch import Tensor


def plan_micro_batches(lengths: Tensor, token_budget: int) -> list[Tensor]:
    """Rows of each micro-batch, longest first, so that ``rows x longest`` stays within the budget.

    Sorting by length keeps padding small; a row that is longer than the budget goes alone. ``lengths`` int64 ``[B]``.
    """
    order = lengths.argsort(descending=True, stable=True)
    longest = lengths[order].tolist()
    parts, start = [], 0
    while start < len(longest):
        size = max(1, token_budget // longest[start])
        parts.append(order[start : start + size])
        start += size
    return parts
