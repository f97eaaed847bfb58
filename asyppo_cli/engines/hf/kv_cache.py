"""A key/value cache that grows in place, for a sampling loop that drops finished rows."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values in a buffer with room to spare.

    The stock layer copies the whole cache for each token; this one writes the token and returns a view.
    ``keys`` and ``values`` are ``[rows, heads, length, head size]`` views of buffers ``[rows, heads, capacity, ...]``.
    """

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append the new positions and return all so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._buffers = (key_states, value_states)
            self._length = 0
        end = self._length + key_states.shape[-2]
        self._reserve(end)
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., self._length : end, :] = new
        self._length = end
        self._point()
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each row ``repeats`` times: the shared prompt of a group becomes its responses' own."""
        super().batch_repeat_interleave(repeats)
        self._buffers = (self.keys, self.values)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows ``indices``."""
        self._buffers = tuple(buffer.index_select(0, indices) for buffer in self._buffers)  # type: ignore[assignment]
        self._point()

    def _reserve(self, length: int) -> None:
        """Make room for ``length`` positions, by half as much again whenever room runs out."""
        rows, heads, capacity, _ = self._buffers[0].shape
        if self._length == 0 or length > capacity:
            grown = [
                buffer.new_empty(rows, heads, max(length + 32, capacity * 3 // 2), buffer.shape[-1])
                for buffer in self._buffers
            ]
            for new, old in zip(grown, self._buffers, strict=True):
                new[..., : self._length, :] = old[..., : self._length, :]
            self._buffers = (grown[0], grown[1])

    def _point(self) -> None:
        self.keys, self.values = (buffer[..., : self._length, :] for buffer in self._buffers)


def growing_cache(config: Any) -> DynamicCache:
    """A cache for a model: growing layers where every layer attends to everything, the stock layers otherwise."""
    cache = DynamicCache(config=config)
    if all(type(layer) is DynamicLayer for layer in cache.layers):
        cache.layers = [GrowingLayer() for _ in cache.layers]
    return cache
