"""Exact order statistics of a large batch, without sorting it.

Legend: ``B`` responses, ``T`` tokens, ``n`` valid tokens. A sample brackets the wanted value; one pass counts what lies
below the bracket and collects what lies in it, and the value is found among those few. The count proves the answer; a
bracket that missed is widened, in the end to everything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from asyppo_cli.algorithm.rows import BLOCK_ELEMENTS, blocks, fresh_like

_SAMPLE = 1 << 16
_WORD = 8
# Constants of splitmix64, as signed numbers: products of int64 tensors wrap around.
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64


@dataclass(frozen=True)
class Tail:
    """The ``count`` smallest of all valid tokens, or the largest; ties are ordered by :func:`tie_keys`."""

    count: int
    largest: bool


@dataclass
class _Bracket:
    """Where a tail's threshold is thought to lie, and what a pass over the tokens found there."""

    tail: Tail
    low: float
    high: float
    chosen: Tensor
    beyond: int = 0
    inside: Tensor | None = None

    def holds(self) -> bool:
        """Whether the threshold is among the tokens inside."""
        assert self.inside is not None
        return self.beyond < self.tail.count <= self.beyond + len(self.inside)


def choose_tails(signal: Tensor, mask: Tensor, total: int, tails: list[Tail], seed: int) -> list[Tensor]:
    """True at exactly the tokens of each tail, bool ``[B, T]``; counts lie in 1 .. n, and ``total`` is n.

    ValueError if the signal is not finite at a valid token.
    """
    flat, valid = signal.reshape(-1), mask.reshape(-1)
    sample = _sample(flat, valid, signal.shape[1])
    margin = 2.5 * math.sqrt(max(len(sample), 1))
    found = [_bracket(tail, sample, total, margin, fresh_like(valid)) for tail in tails]
    pending = found
    while pending:
        # A finite sum has finite terms; only where it is not, padding has to be separated from tokens.
        if not torch.isfinite(_count(flat, valid, pending)):
            require_finite(signal, mask)
        pending = [bracket for bracket in pending if not bracket.holds()]
        margin *= 16.0
        for bracket in pending:
            bracket.low, bracket.high = _range(bracket.tail, sample, total, margin)
    for bracket in found:
        _select(flat, bracket, signal.shape[1], seed)
    return [bracket.chosen.view_as(mask) for bracket in found]


def require_finite(signal: Tensor, mask: Tensor) -> None:
    """ValueError if the signal is NaN or infinite at a valid token."""
    for rows in blocks(signal):
        if not (torch.isfinite(signal[rows]) | ~mask[rows]).all():
            raise ValueError("the signal that ranks tokens is NaN or infinite at a response token: check the critics")


def _sample(flat: Tensor, valid: Tensor, width: int) -> Tensor:
    """Valid tokens at regular steps, sorted. The step shares no factor with the row length: it meets all positions."""
    step = max(1, len(flat) // _SAMPLE)
    while math.gcd(step, width) > 1:
        step += 1
    return flat[::step][valid[::step]].sort().values


def _bracket(tail: Tail, sample: Tensor, total: int, margin: float, chosen: Tensor) -> _Bracket:
    return _Bracket(tail, *_range(tail, sample, total, margin), chosen)


def _range(tail: Tail, sample: Tensor, total: int, margin: float) -> tuple[float, float]:
    """Values of the sample around the tail's threshold, ``margin`` entries to each side; infinite past its ends."""
    share = tail.count / total
    centre = (1.0 - share if tail.largest else share) * len(sample)
    spread = margin * math.sqrt(share * (1.0 - share)) + 4.0
    first, last = math.floor(centre - spread), math.ceil(centre + spread)
    low = float(sample[first]) if first >= 0 else -math.inf
    high = float(sample[last]) if last < len(sample) else math.inf
    return low, high


def _count(flat: Tensor, valid: Tensor, brackets: list[_Bracket]) -> Tensor:
    """One pass: mark what lies beyond each bracket, count it, and note the tokens inside; returns the signal's sum."""
    parts: list[list[Tensor]] = [[] for _ in brackets]
    checksum = flat.new_zeros(())
    beyond = [torch.zeros((), dtype=torch.long, device=flat.device) for _ in brackets]
    step = BLOCK_ELEMENTS if flat.device.type == "cpu" else len(flat)
    for start in range(0, len(flat), step):
        block = slice(start, start + step)
        x, ok = flat[block], valid[block]
        checksum += x.sum()
        for i, bracket in enumerate(brackets):
            chosen = bracket.chosen[block]
            within = _mark(x, ok, bracket, chosen)
            beyond[i] += _how_many(chosen)
            parts[i].append(_true_indices(within) + start)
    for i, bracket in enumerate(brackets):
        bracket.beyond, bracket.inside = int(beyond[i]), torch.cat(parts[i])
    return checksum


def _mark(x: Tensor, valid: Tensor, bracket: _Bracket, chosen: Tensor) -> Tensor:
    """Write what lies beyond the bracket into ``chosen``; returns what lies inside."""
    if bracket.tail.largest:
        torch.gt(x, bracket.high, out=chosen)
        reached = x >= bracket.low
    else:
        torch.lt(x, bracket.low, out=chosen)
        reached = x <= bracket.high
    chosen &= valid
    return reached.logical_and_(valid).bitwise_xor_(chosen)


def _select(flat: Tensor, bracket: _Bracket, width: int, seed: int) -> None:
    """Find the threshold among the tokens inside, and mark those up to it, ties in the order of their keys."""
    assert bracket.inside is not None
    wanted = bracket.tail.count - bracket.beyond
    inside = flat[bracket.inside]
    # Ranking the negative makes the largest the smallest; indices rise, so the order among ties is kept.
    ranked = -inside if bracket.tail.largest else inside
    threshold = ranked.kthvalue(wanted).values
    closer = ranked < threshold
    ties, missing = bracket.inside[ranked == threshold], wanted - int(torch.count_nonzero(closer))
    if missing < len(ties):
        ties = ties[tie_keys(ties, width, seed).argsort(stable=True)[:missing]]
    bracket.chosen[bracket.inside[closer]] = True
    bracket.chosen[ties] = True


def tie_keys(index: Tensor, width: int, seed: int) -> Tensor:
    """A pseudo-random int64 key of each token: a hash of ``seed``, its response and its position in it.

    ``index`` int64 ``[n]`` counts tokens of rows of ``width``; the same token has the same key under any padding. Ties
    broken by position would mask the beginnings of responses, wherever the critics' values are coarse. The mixing is
    that of splitmix64 (Steele, Lea and Flood, 2014).
    """
    row, position = index // width, index % width
    key = (row << 32) + position + seed * _GOLDEN % 2**62
    for shift, factor in ((30, _MIX_1), (27, _MIX_2)):
        key = (key ^ (key >> shift)) * factor
    return key ^ (key >> 31)


def _how_many(flags: Tensor) -> Tensor:
    """How many are True: eight at a time, as bytes of one number, of which 128 can be added before a byte overflows."""
    if len(flags) % (_WORD * 128):
        return torch.count_nonzero(flags)
    return flags.view(torch.int64).view(-1, 128).sum(1).view(torch.uint8).sum()


def _true_indices(flags: Tensor) -> Tensor:
    """Indices of True among few, rising: eight flags are read as one number first."""
    if len(flags) % _WORD:
        return flags.nonzero()[:, 0]
    words = flags.view(torch.int64).nonzero()[:, 0]
    inner = flags.view(-1, _WORD)[words].nonzero()
    return words[inner[:, 0]] * _WORD + inner[:, 1]
