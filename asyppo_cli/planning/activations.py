"""What one pass over a micro-batch holds on to: the numbers of activations and of the vocabulary, and nothing else.

Counted in the modules of transformers 5 with PyTorch's fused attention, tensor by tensor, as autograd keeps them; the
tests count again. ``h``, ``q``, ``kv``, ``m`` and ``V`` as in :mod:`~asyppo_cli.planning.architecture`. All bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from asyppo_cli.planning.architecture import Architecture

# float32: everything in four bytes. autocast: float32 weights, matrix products in bfloat16. bfloat16: the weights too.
Precision = Literal["float32", "autocast", "bfloat16"]

FULL, HALF = 4, 2
# Bytes of one token's view of another, in the mask that all layers share.
MASK = 1
# The vocabulary is gone through in blocks of TILE float32 logits, at least NARROWEST words wide, and of a block these
# many copies live at once (engines/hf/logprobs.py): logits, their exponentials, a gradient and its bfloat16 form.
BLOCK_LOGITS = {"cpu": 2**21, "cuda": 2**24}
MIN_BLOCK = 256
BLOCK_COPIES = 4
# Sampling holds whole rows: logits, those over the temperature, log pi, the clocks and their logarithms.
DRAWN_ROWS = 5


@dataclass(frozen=True)
class BatchShape:
    """A micro-batch: ``tokens`` with padding, of which ``responses`` meet the vocabulary, in rows of ``longest`` tokens
    at most; ``masked`` where responses to one prompt share a row.
    """

    tokens: int
    responses: int
    longest: int
    masked: bool = False


def packed_responses_per_row(arch: Architecture, prompt: int, response: int, group: int, budget: int) -> int:
    """Responses of one ``group`` that share a row, as :mod:`asyppo_cli.engines.hf.prompt_packing` fills it."""
    reach = arch.in_layers / (2 * arch.layers * arch.q)
    alone = prompt + response
    by_itself = alone + alone**2 / (2 * reach)
    taken, cost = 1, by_itself
    while taken < group:
        longer = alone + taken * response
        packed_responses = longer + longer**2 / reach
        if longer > budget or packed_responses > cost + by_itself:
            break
        taken, cost = taken + 1, packed_responses
    return taken


def saved_per_layer(arch: Architecture, precision: Precision, masked: int = 0) -> float:
    """Bytes that one layer keeps of one token for the backward pass.

    With a mask over rows of ``masked`` tokens keys and values are repeated for all heads, and each layer keeps the mask
    in numbers of its own.
    """
    h, q, m, n, g = arch.hidden, arch.q, arch.intermediate, arch.heads, arch.kv_heads
    branches = 4 * m if arch.gated else 2 * m
    kv, seen = arch.kv, arch.q if masked else arch.kv
    if precision == "float32":
        plain = FULL * (6 * h + 2 + 2 * q + 2 * seen + n + branches)
        return FULL * masked + plain + (FULL * (2 * q + 2 * kv + n + g) if arch.normed_heads else 0)
    # Normalisation computes in float32; under autocast each product keeps a copy of its input, in bfloat16 they share.
    norms, inputs = (4 * h, 5 * h) if precision == "autocast" else (2 * h, 4 * h)
    plain = FULL * (norms + 2 + n) + HALF * (inputs + 2 * q + 2 * seen + branches)
    return HALF * masked + plain + (FULL * (q + n + kv + g) + HALF * (q + kv) if arch.normed_heads else 0)


def unfused_attention_bytes(arch: Architecture, longest: int) -> float:
    """Bytes that a layer keeps of one token beside :func:`saved_per_layer` where no fused attention is to be had: a GPU
    has none for grouped heads in float32. Keys and values are repeated, and every pair's weight is kept.
    """
    return float(FULL * (2 * (arch.q - arch.kv) + arch.heads * longest))


def transient_per_layer(arch: Architecture, precision: Precision) -> float:
    """Bytes of one token inside one layer while no gradient is asked for: the residual and the widest block."""
    size = FULL if precision == "float32" else HALF
    return FULL * 2 * arch.hidden + size * ((3 if arch.gated else 2) * arch.intermediate + arch.hidden)


def training_activations(
    arch: Architecture, shape: BatchShape, precision: Precision, checkpointing: bool, gpu: bool
) -> float:
    """Activations of a forward pass whose backward pass is to come."""
    layer = saved_per_layer(arch, precision, shape.longest if shape.masked else 0)
    if gpu and precision == "float32" and arch.kv < arch.q and not shape.masked:
        layer += unfused_attention_bytes(arch, shape.longest)
    stream = arch.hidden * (HALF if precision == "bfloat16" else FULL)
    mask = shape.tokens * shape.longest * MASK if shape.masked else 0.0
    if checkpointing:
        # The input of every layer, and everything of the layer that is computed anew.
        return mask + shape.tokens * (arch.layers * stream + layer + 2 * stream)
    return mask + shape.tokens * (arch.layers * layer + 2 * stream)


def inference_activations(arch: Architecture, shape: BatchShape, precision: Precision) -> float:
    """Activations of a forward pass without gradient."""
    return shape.tokens * transient_per_layer(arch, precision)


def cast_weights(arch: Architecture, precision: Precision) -> float:
    """Autocast's bfloat16 copies of the weights in products, which a pass keeps to its end."""
    return HALF * arch.in_layers if precision == "autocast" else 0.0


def vocabulary(arch: Architecture, shape: BatchShape, gpu: bool) -> float:
    """Blocks of the vocabulary at response tokens, and their hidden states in float32 with a gradient."""
    block = min(
        max(BLOCK_LOGITS["cuda" if gpu else "cpu"], MIN_BLOCK * shape.responses), arch.vocabulary * shape.responses
    )
    return float(FULL * (BLOCK_COPIES * block + 2 * shape.responses * arch.hidden))


def sampling_logits(arch: Architecture, rows: int) -> float:
    """Whole distributions from which tokens are drawn, one a row."""
    return float(DRAWN_ROWS * FULL * rows * arch.vocabulary)


def kv_cache(arch: Architecture, tokens: int, bytes_each: int) -> float:
    """Bytes of the keys and values of these tokens."""
    return float(2 * arch.layers * arch.kv * tokens * bytes_each)
