"""Rows of token tensors: their lengths, their padding, and passes over them in blocks that stay in cache.

Legend: ``B`` responses, ``T`` tokens. At the paper's scale a ``[B, T]`` tensor is far larger than any cache and a fresh
one costs more in page faults than in arithmetic, so whatever needs temporaries works on a few rows at a time.
"""

from __future__ import annotations

import mmap

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

BLOCK_ELEMENTS = 1 << 19
# Two huge pages: below that there is little to gain.
_HUGE = 1 << 22
_BITS = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
}


def response_lengths(mask: Bool[Tensor, "B T"]) -> Int[Tensor, " B"]:
    """Response tokens in each row, int64."""
    lengths = torch.empty(len(mask), dtype=torch.int32, device=mask.device)
    for rows in blocks(mask):
        # Summing bytes into int32 is vectorised, summing bools is not; in blocks, for the bytes are widened first.
        torch.sum(mask[rows].view(torch.uint8), 1, dtype=torch.int32, out=lengths[rows])
    return lengths.long()


def last_tokens(mask: Bool[Tensor, "B T"]) -> Int[Tensor, " B"]:
    """Position of each response's last token; 0 for an empty row."""
    return (response_lengths(mask) - 1).clamp(min=0)


def zero_padding(x: Float[Tensor, "*M B T"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "*M B T"]:
    """``x`` where ``mask``, 0 elsewhere, whatever padding holds (NaN too); :func:`select` without a gradient."""
    return _and_bits(x, _all_ones(mask, x.dtype))


def clean_rows(rows: slice, mask: Bool[Tensor, "B T"], *tensors: Tensor) -> list[Tensor]:
    """Some rows of each tensor with 0 at padding. ValueError unless response tokens come first in each row."""
    some = mask[rows]
    if (some[:, 1:] > some[:, :-1]).view(torch.uint8).sum(dtype=torch.int32):
        raise ValueError("mask: response tokens must come first in each row, but one follows padding: pad on the right")
    ones = _all_ones(some, tensors[0].dtype)
    return [_and_bits(x[..., rows, :], ones) for x in tensors]


def _all_ones(mask: Tensor, dtype: torch.dtype) -> Tensor:
    # The bits of a float, and-ed with all ones or none: several times faster than where() with a bool mask.
    return mask.to(_BITS[dtype]).neg_()


def _and_bits(x: Tensor, ones: Tensor) -> Tensor:
    return (x.detach().view(_BITS[x.dtype]) & ones.to(_BITS[x.dtype])).view(x.dtype)


def select(x: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """:func:`zero_padding` with a gradient: exactly 0 at padding."""
    return torch.where(mask, x, torch.zeros((), dtype=x.dtype, device=x.device))


def blocks(x: Tensor) -> list[slice]:
    """Slices that cover the rows of ``x [B, T]``, each of about ``BLOCK_ELEMENTS`` tokens.

    A device with memory of its own gets everything in one block.
    """
    count, width = x.shape
    step = max(1, BLOCK_ELEMENTS // max(1, width)) if x.device.type == "cpu" else max(1, count)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def fresh_like(x: Tensor) -> Tensor:
    """An uninitialised contiguous tensor of the same shape, dtype and device, for a large result.

    On a CPU it lies on huge pages where the system has them: otherwise the first write to its memory, page by page,
    takes longer than computing what is written.
    """
    size = x.numel() * x.element_size()
    if x.device.type != "cpu" or size < _HUGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty_like(x, memory_format=torch.contiguous_format)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=x.dtype).view(x.shape)
