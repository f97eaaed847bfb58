"""The advantage mask I^A and the entropy filter I^H: which tokens lose which part of the objective.

Legend: ``B`` responses, ``T`` tokens, ``N`` valid tokens of a scope. Counts are exact, ``floor(share N)`` per scope;
among equal signals a hash of seed, response and position decides; where all signals of a scope are equal, nothing in it
is taken. AsyPPO (arXiv 2510.01656) masks the advantage where the critics agree most and filters the
entropy bonus where they differ most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from asyppo_cli.algorithm.rows import blocks
from asyppo_cli.algorithm.selection import Tail, choose_tails, require_finite, tie_keys

# Far above the rounding of a product of two doubles, far below a token: 0.29 * 100 counts as 29.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Gates:
    """True where a token keeps its advantage, and its entropy bonus; False at padding; bool ``[B, T]``.

    ``tied_share``: see :func:`tied_share`, of the advantage mask.
    """

    advantage_kept: Tensor
    entropy_kept: Tensor
    tied_share: float


def lowest(
    signal: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    share: float,
    scope_of_row: Int[Tensor, " B"] | None,
    seed: int = 0,
) -> Bool[Tensor, "B T"]:
    """True at the ``share`` of valid tokens with the lowest signal; ``seed`` orders ties.

    The share is counted in every scope: ``scope_of_row`` gives each row's (any integers), None is one scope for all.
    ValueError for a share outside [0, 1], or a signal that is not finite at a valid token.
    """
    return lowest_and_highest(signal, mask, share, 0.0, scope_of_row, seed)[0]


def highest(
    signal: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    share: float,
    scope_of_row: Int[Tensor, " B"] | None,
    seed: int = 0,
) -> Bool[Tensor, "B T"]:
    """True at the ``share`` of valid tokens with the highest signal; otherwise as :func:`lowest`."""
    return lowest_and_highest(signal, mask, 0.0, share, scope_of_row, seed)[1]


def lowest_and_highest(
    signal: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    low_share: float,
    high_share: float,
    scope_of_row: Int[Tensor, " B"] | None,
    seed: int = 0,
) -> tuple[Bool[Tensor, "B T"], Bool[Tensor, "B T"]]:
    """:func:`lowest` and :func:`highest` of one signal, in one pass over it."""
    for share in (low_share, high_share):
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"the share of tokens to take must lie in [0, 1], but is {share}")
    if scope_of_row is None:
        return _of_batch(signal, mask, low_share, high_share, seed)
    require_finite(signal, mask)
    return _of_scopes(signal, mask, low_share, high_share, scope_of_row, seed)


def random_signal(mask: Bool[Tensor, "B T"], seed: int) -> Float[Tensor, "B T"]:
    """Uniform noise in [0, 1) at valid tokens, the same whatever the padding and the device; 0 at padding."""
    count = int(torch.count_nonzero(mask))
    noise = torch.rand(count, generator=torch.Generator().manual_seed(seed))
    result = torch.zeros(mask.shape, device=mask.device)
    result[mask] = noise.to(mask.device)
    return result


def build_gates(
    mask: Bool[Tensor, "B T"],
    mask_signal: Float[Tensor, "B T"] | None,
    mask_pct: float,
    filter_signal: Float[Tensor, "B T"] | None,
    filter_pct: float,
    scope_of_row: Int[Tensor, " B"] | None,
    seed: int = 0,
) -> Gates:
    """Both gates: the advantage is masked where its signal is lowest, the entropy bonus where its own is highest.

    Without a signal a gate is off: every valid token is kept.
    """
    if mask_signal is not None and mask_signal is filter_signal:
        low, high = lowest_and_highest(mask_signal, mask, mask_pct, filter_pct, scope_of_row, seed)
        kept, bonus = low.bitwise_xor_(mask), high.bitwise_xor_(mask)
    else:
        kept = mask.clone() if mask_signal is None else lowest(mask_signal, mask, mask_pct, scope_of_row, seed) ^ mask
        bonus = mask.clone()
        if filter_signal is not None:
            bonus ^= highest(filter_signal, mask, filter_pct, scope_of_row, seed)
    tied = 0.0 if mask_signal is None else tied_share(mask_signal, kept, mask, scope_of_row)
    return Gates(kept, bonus, tied)


def tied_share(signal: Tensor, kept: Tensor, mask: Tensor, scope_of_row: Tensor | None) -> float:
    """Share of valid tokens whose signal equals the highest that is masked, while not all of these are masked.

    For such tokens the tie rule decides and not the signal. ``[B, T]`` each; counted in every scope.
    """
    masked = mask ^ kept
    scope = torch.zeros(len(mask), dtype=torch.long, device=mask.device)
    if scope_of_row is not None:
        scope = torch.unique(scope_of_row, return_inverse=True)[1].to(mask.device)
    highest_masked = signal.new_full((len(mask),), -torch.inf)
    for rows in blocks(mask):
        highest_masked[rows] = signal[rows].masked_fill(~masked[rows], -torch.inf).amax(1)
    threshold = torch.full_like(highest_masked, -torch.inf).scatter_reduce(0, scope, highest_masked, "amax")[scope]
    equal, equal_kept = torch.zeros_like(scope), torch.zeros_like(scope)
    for rows in blocks(mask):
        ties = (signal[rows] == threshold[rows, None]) & mask[rows]
        equal[rows], equal_kept[rows] = ties.sum(1), (ties & kept[rows]).sum(1)
    undecided = torch.zeros_like(scope).scatter_add(0, scope, equal_kept)[scope] > 0
    return int(equal[undecided].sum()) / max(1, int(torch.count_nonzero(mask)))


def _of_batch(signal: Tensor, mask: Tensor, low_share: float, high_share: float, seed: int) -> tuple[Tensor, Tensor]:
    total = int(torch.count_nonzero(mask))
    counts = (_count(low_share, total), _count(high_share, total))
    if not any(counts) or _all_equal(signal, mask):
        require_finite(signal, mask)
        return torch.zeros_like(mask), torch.zeros_like(mask)
    tails = [Tail(count, largest) for count, largest in zip(counts, (False, True), strict=True) if count]
    chosen = choose_tails(signal, mask, total, tails, seed)
    low = chosen[0] if counts[0] else torch.zeros_like(mask)
    high = chosen[-1] if counts[1] else torch.zeros_like(mask)
    return low, high


def _count(share: float, total: int) -> int:
    return min(total, math.floor(share * total * (1.0 + _ROUNDING)))


def _all_equal(signal: Tensor, mask: Tensor) -> bool:
    """Whether all valid signals are the same; the first rows usually tell."""
    first = None
    for rows in [slice(0, 1), *blocks(signal)]:
        valid = signal[rows][mask[rows]]
        if not len(valid):
            continue
        first = valid[0] if first is None else first
        if bool((valid != first).any()):
            return False
    return True


def _of_scopes(
    signal: Tensor, mask: Tensor, low_share: float, high_share: float, scope_of_row: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """All scopes at once: tokens sorted by scope, signal and the key of ties."""
    valid, row = mask.flatten().nonzero()[:, 0], mask.nonzero()[:, 0]
    _, scope, sizes = torch.unique(scope_of_row[row], return_inverse=True, return_counts=True)
    x = signal.flatten()[valid]
    order = tie_keys(valid, mask.shape[1], seed).argsort(stable=True)
    order = order[x[order].argsort(stable=True)]
    order = order[scope[order].argsort(stable=True)]
    x, scope, valid = x[order], scope[order], valid[order]
    first = sizes.cumsum(0) - sizes
    rank = torch.arange(len(x), device=x.device) - first[scope]
    varied = x[first] < x[first + sizes - 1]
    low = rank < (_counts(low_share, sizes) * varied)[scope]
    high = _top(x, scope, rank, sizes, _counts(high_share, sizes) * varied)
    return _scatter(low, valid, mask), _scatter(high, valid, mask)


def _counts(share: float, sizes: Tensor) -> Tensor:
    return (share * sizes.double() * (1.0 + _ROUNDING)).floor().long().minimum(sizes)


def _top(x: Tensor, scope: Tensor, rank: Tensor, sizes: Tensor, counts: Tensor) -> Tensor:
    """The ``counts`` highest of each scope of tokens sorted in rising order, the first of ties before the others."""
    first = sizes.cumsum(0) - sizes
    threshold = x[(first + sizes - counts).clamp(max=len(x) - 1)][scope]
    above, tied = x > threshold, x == threshold
    zeros = torch.zeros_like(sizes)
    number_above = zeros.scatter_add(0, scope, above.long())
    number_tied = zeros.scatter_add(0, scope, tied.long())
    first_tied = sizes - number_above - number_tied
    from_ties = tied & (rank - first_tied[scope] < (counts - number_above)[scope])
    return (above | from_ties) & (counts > 0)[scope]


def _scatter(flags: Tensor, index: Tensor, mask: Tensor) -> Tensor:
    result = torch.zeros(mask.numel(), dtype=torch.bool, device=mask.device)
    result[index] = flags
    return result.view(mask.shape)
