"""Several critics as one: which responses each learns from, what they say together, and how far they differ.

Legend: ``M`` critics, ``B`` responses, ``T`` tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Split = Literal["by_response", "shared", "by_prompt"]
Aggregation = Literal["mean", "min", "max", "median"]
# A function in place of a name: of prompt_index [B] and M, to bool [M, B]; of values [M, B, T] and mask, to [B, T].
SplitFunction = Callable[[Tensor, int], Tensor]
AggregationFunction = Callable[[Tensor, Tensor], Tensor]


def assign(prompt_index: Int[Tensor, " B"], critics: int, split: Split | SplitFunction) -> Bool[Tensor, "M B"]:
    """True where a critic learns from a response.

    ``by_response`` (AsyPPO, arXiv 2510.01656): each prompt's responses are dealt out, response j of prompt number p (in
    order of appearance; prompts numbered by rising index) to critic (j + p) mod M, so that the subsets are disjoint,
    differ by at most one response of a prompt, and no critic is always the one with more. ``by_prompt``: prompt p goes
    to critic p mod M. ``shared``: everything to all. ValueError if ``critics`` is below 1.
    """
    if critics < 1:
        raise ValueError(f"critics must be at least 1, but is {critics}")
    if callable(split):
        return split(prompt_index, critics)
    if split == "shared":
        return torch.ones(critics, len(prompt_index), dtype=torch.bool, device=prompt_index.device)
    _, prompt, sizes = torch.unique(prompt_index, return_inverse=True, return_counts=True)
    owner = prompt if split == "by_prompt" else prompt + _number_within(prompt, sizes)
    return torch.arange(critics, device=owner.device)[:, None].eq(owner % critics)


def _number_within(group: Tensor, sizes: Tensor) -> Tensor:
    """0, 1, 2, ... within each group, in order of appearance."""
    order = group.argsort(stable=True)
    first = sizes.cumsum(0) - sizes
    number = torch.arange(len(group), device=group.device) - first[group[order]]
    return torch.empty_like(number).scatter_(0, order, number)


def aggregate(values: Float[Tensor, "M B T"], how: Aggregation) -> Float[Tensor, "B T"]:
    """The critics' values as one; the median of an even number is the mean of the middle two."""
    match how:
        case "mean":
            return values.mean(0) if len(values) != 2 else (values[0] + values[1]).mul_(0.5)
        case "min":
            return values.amin(0)
        case "max":
            return values.amax(0)
        case "median":
            ordered = values.sort(0).values
            return (ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2


def disagreement(values: Float[Tensor, "M B T"]) -> Float[Tensor, "B T"]:
    """Population standard deviation over the critics, sigma_t; ``|a - b| / 2`` for two, 0 for one."""
    if len(values) == 1:
        return torch.zeros_like(values[0])
    if len(values) == 2:
        return torch.sub(values[0], values[1]).abs_().mul_(0.5)
    # Measured from the first critic, so that critics that agree differ by exactly 0.
    apart = values - values[0]
    return (apart - apart.mean(0)).square_().mean(0).sqrt_()
