"""A language model as numbers: its sizes, from which all else follows; and those of a published family.

Letters as in the functions that use them: ``h`` hidden size, ``q`` width of all query heads together, ``kv`` of all key
heads, ``m`` width of the feed-forward block, ``V`` vocabulary, ``L`` layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Architecture:
    """Sizes of a decoder. ``parameters`` counts tied weights once; ``embedding`` is one vocabulary matrix.

    ``intermediate`` is the width that one token meets (of all its experts), ``gated`` whether that block multiplies two
    branches, ``normed_heads`` whether queries and keys are normalised (Qwen3), ``largest`` is the largest weight,
    ``block`` the weights of one layer, ``source`` where the numbers are from.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocabulary: int
    parameters: int
    embedding: int
    largest: int
    block: int
    tied: bool
    gated: bool
    normed_heads: bool
    source: str

    @property
    def q(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_size

    @property
    def kv(self) -> int:
        """Width of all key heads, which is that of all value heads."""
        return self.kv_heads * self.head_size

    @property
    def in_layers(self) -> int:
        """Weights of all layers: what every token is multiplied with."""
        return self.block * self.layers

    def as_critic(self, depth: float) -> Architecture:
        """Its backbone of the first ``depth`` share of layers, with a scalar head in place of the vocabulary's."""
        kept = max(1, math.floor(depth * self.layers + 0.5))
        dropped = self.block * (self.layers - kept)
        output = 0 if self.tied else self.embedding
        weights = self.parameters - dropped - output + self.hidden + 1
        return replace(self, layers=kept, parameters=weights, tied=True)


# Hidden size, layers, heads, key heads, width of the feed-forward block, tied embeddings: what Qwen3's technical report
# and every implementation of the family agree on. Their parameters come out as published: 0.60, 1.72, 4.02, 8.19 and
# 14.77 billion.
QWEN3 = {
    "0.6B": (1024, 28, 16, 8, 3072, True),
    "1.7B": (2048, 28, 16, 8, 6144, True),
    "4B": (2560, 36, 32, 8, 9728, True),
    "8B": (4096, 36, 32, 8, 12288, False),
    "14B": (5120, 40, 40, 8, 17408, False),
}
QWEN3_VOCABULARY = 151_936
QWEN3_HEAD_SIZE = 128


def published(model: str) -> Architecture | None:
    """The published sizes of a Qwen3 model by its hub id, base or not; None for any other."""
    owner, _, name = model.partition("/")
    size = name.removeprefix("Qwen3-").removesuffix("-Base")
    if owner != "Qwen" or not name.startswith("Qwen3-") or size not in QWEN3:
        return None
    hidden, layers, heads, kv_heads, intermediate, tied = QWEN3[size]
    q, kv = heads * QWEN3_HEAD_SIZE, kv_heads * QWEN3_HEAD_SIZE
    norms = 2 * hidden + 2 * QWEN3_HEAD_SIZE
    block = 2 * hidden * q + 2 * hidden * kv + 3 * hidden * intermediate + norms
    embedding = QWEN3_VOCABULARY * hidden
    return Architecture(
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_size=QWEN3_HEAD_SIZE,
        intermediate=intermediate,
        vocabulary=QWEN3_VOCABULARY,
        parameters=block * layers + embedding * (1 if tied else 2) + hidden,
        embedding=embedding,
        largest=embedding,
        block=block,
        tied=tied,
        gated=True,
        normed_heads=True,
        source="published sizes",
    )
