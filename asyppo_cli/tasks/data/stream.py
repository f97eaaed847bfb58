"""The order of training problems, as a pure function of the number drawn before."""

from __future__ import annotations

import random


class ProblemStream:
    """Endless epochs over ``size`` problems, each in a new order fixed by ``seed``; resuming needs the position."""

    def __init__(self, size: int, seed: int) -> None:
        """Raise ValueError without problems."""
        if size < 1:
            raise ValueError(f"a stream needs at least one problem, not {size}")
        self._size = size
        self._seed = seed
        self._orders: dict[int, list[int]] = {}

    def indices(self, position: int, n: int) -> list[int]:
        """The ``n`` indices in [0, size) drawn after ``position`` problems (counted over all epochs, from 0)."""
        if position < 0 or n < 0:
            raise ValueError(f"position and n must not be negative, not {position} and {n}")
        drawn: list[int] = []
        while len(drawn) < n:
            epoch, offset = divmod(position + len(drawn), self._size)
            drawn += self._order(epoch)[offset : offset + n - len(drawn)]
        return drawn

    def _order(self, epoch: int) -> list[int]:
        if epoch not in self._orders:
            order = list(range(self._size))
            # Seeded by text, which is portable and distinguishes (1, 12) from (11, 2).
            random.Random(f"{self._seed}/{epoch}").shuffle(order)
            kept = {e: o for e, o in self._orders.items() if e == epoch - 1}
            self._orders = kept | {epoch: order}
        return self._orders[epoch]
