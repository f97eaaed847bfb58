"""Discounted sums over tokens, ``y_t = sum_{j >= t} c^(j - t) x_j``, without a loop over tokens.

Legend: ``B`` rows, ``T`` tokens, ``K`` tokens in a block, ``N`` blocks in a row. Rows are cut into blocks. The sum at a
block's head, as far as the block itself goes, is a dot product; the heads then form the same problem with decay c^K on
N values, solved by recursion. What comes from behind a block enters through its last token, and one product with the
triangular matrix ``D[j, i] = c^(j - i)`` gives every token of every block at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

# Wider blocks cost arithmetic, narrower ones more levels of recursion.
BLOCK = 16


@dataclass(frozen=True)
class Level:
    """Powers of one level's decay c: ``heads`` c^1 .. c^K ``[1, K]``, ``triangle`` ``[K, K]``; or both per row."""

    heads: Tensor
    triangle: Tensor

    def rows(self, rows: slice) -> Level:
        """The same for some of the rows."""
        return Level(self.heads[rows], self.triangle[rows]) if self.triangle.ndim == 3 else self


@dataclass(frozen=True)
class Scan:
    """Discounted sums with one decay, or one per row, prepared for rows of a certain length."""

    levels: tuple[Level, ...]

    @staticmethod
    def of(decay: Tensor, width: int, dtype: torch.dtype) -> Scan:
        """For rows of ``width`` tokens; ``decay`` within [0, 1] is ``[]`` or ``[B]``.

        Powers are taken in float64, so that no rounding builds up with distance.
        """
        decay, levels = decay.double(), []
        while True:
            levels.append(_level(decay, dtype))
            if width <= BLOCK:
                return Scan(tuple(levels))
            decay, width = decay**BLOCK, -(-width // BLOCK) - 1

    def rows(self, rows: slice) -> Scan:
        """The same for some of the rows."""
        return Scan(tuple(level.rows(rows) for level in self.levels))

    def __call__(self, x: Tensor) -> Tensor:
        """The sums of ``x [B, T]``, which may be overwritten."""
        return _sums(x, self.levels)


def _level(decay: Tensor, dtype: torch.dtype) -> Level:
    powers = decay[..., None] ** torch.arange(BLOCK + 1, device=decay.device)
    # Row j of the triangle reads c^j .. c^0 and then zeros: a window that slides over the powers in falling order.
    falling = pad(powers[..., :BLOCK].flip(-1), (0, BLOCK - 1)).to(dtype)
    triangle = falling.unfold(-1, BLOCK, 1).flip(-2)
    return Level(powers[..., None, 1:].to(dtype), triangle)


def _sums(x: Tensor, levels: tuple[Level, ...]) -> Tensor:
    width, level = x.shape[1], levels[0]
    if len(levels) == 1:
        triangle = level.triangle[..., :width, :width]
        return x @ triangle if triangle.ndim == 2 else (x[:, None] @ triangle)[:, 0]
    count = -(-width // BLOCK)
    if width % BLOCK:
        x = pad(x, (0, count * BLOCK - width))
    blocks = x.view(len(x), count, BLOCK)
    heads = blocks @ level.heads[0] if level.heads.ndim == 2 else (level.heads @ blocks.mT)[:, 0]
    blocks[:, :-1, -1].add_(_sums(heads[:, 1:], levels[1:]))
    return (blocks @ level.triangle).view_as(x)[:, :width]
