"""The models of benchmarks/gpu.py: Qwen3's sizes with random weights, and what a pass through them costs."""

from __future__ import annotations

from typing import Any

import torch

from asyppo_cli.types import Sequences

# Qwen3's own sizes: hidden, intermediate, layers, heads, key/value heads, size of a head, vocabulary.
SIZES = {
    "0.6b": (1024, 3072, 28, 16, 8, 128, 151_936),
    "1.7b": (2048, 6144, 28, 16, 8, 128, 151_936),
    "4b": (2560, 9728, 36, 32, 8, 128, 151_936),
    "small": (128, 256, 4, 4, 2, 32, 1000),
    "tiny": (64, 128, 2, 2, 1, 32, 512),
}


def new_model(device: str, size: str, seed: int) -> Any:
    """A Qwen3 of random weights, made where it is to be."""
    from transformers import AutoModelForCausalLM, Qwen3Config

    hidden, intermediate, layers, heads, kv_heads, head, vocabulary = SIZES[size]
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head,
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    # Weights of small models come from a CPU's generator, so that all devices have the same.
    place = device if vocabulary > 100_000 else "cpu"
    with torch.device(place):
        return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").float().eval().to(device)


def work(size: str, batch: Sequences, kind: str) -> float:
    """Floating-point operations of one forward pass: matrices, causal attention, the vocabulary where it is met."""
    hidden, intermediate, layers, heads, kv_heads, head, vocabulary = SIZES[size]
    matrices = layers * (hidden * head * (2 * heads + 2 * kv_heads) + 3 * hidden * intermediate)
    lengths = batch.lengths.double()
    attention = 2 * layers * heads * head * float(lengths.square().sum())
    output = 2 * hidden * vocabulary * int(batch.response_lengths.sum()) if kind == "policy" else 0
    return 2 * matrices * float(lengths.sum()) + attention + output
