"""Models as numbers, from their configuration alone: no weight is read, and nothing is fetched but a config.json."""

from __future__ import annotations

import re
from typing import Any

from asyppo_cli.engines.hf.models import read_model_config
from asyppo_cli.engines.hf.resolve import EMBEDDED, resolve_model
from asyppo_cli.engines.vllm.sampler import parameter_shapes
from asyppo_cli.planning.architecture import Architecture, published

LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.0\.")


def read_architecture(model: str, revision: str | None, key: str) -> Architecture:
    """The sizes of a model: from its folder, the hub's cache, the published ones of its family, or the hub.

    Raises:
        ValueError: there is no such model, in one line.
    """
    if model.startswith(EMBEDDED) or resolve_model(model, key) != model or kv_cache(model, revision):
        return measured(read_model_config(model, revision, key))
    return published(model) or measured(read_model_config(model, revision, key))


def kv_cache(model: str, revision: str | None) -> bool:
    """Whether the hub's cache holds its configuration."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(model, "config.json", revision=revision), str)
    except HFValidationError:
        return False


def measured(config: Any) -> Architecture:
    """Sizes by shapes: transformers builds the model without memory for it, so every family is counted exactly."""
    shapes = parameter_shapes(config)
    text = config.get_text_config()
    count = {name: size(shape) for name, shape in shapes.items()}
    embedding = text.vocab_size * text.hidden_size
    heads = text.num_attention_heads
    layers = text.num_hidden_layers
    tied = sum(number == embedding for number in count.values()) < 2
    outside = embedding * (1 if tied else 2) + text.hidden_size
    return Architecture(
        hidden=text.hidden_size,
        layers=layers,
        heads=heads,
        kv_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_size=getattr(text, "head_dim", None) or text.hidden_size // heads,
        intermediate=width(text),
        vocabulary=text.vocab_size,
        parameters=sum(count.values()),
        embedding=embedding,
        largest=max(count.values()),
        block=sum(n for name, n in count.items() if LAYER.search(name)) or (sum(count.values()) - outside) // layers,
        tied=tied,
        gated=any("gate" in name for name in shapes),
        normed_heads=any("q_norm" in name for name in shapes),
        source="its configuration",
    )


def width(text: Any) -> int:
    """Width of the feed-forward block that one token meets, of all its experts."""
    experts = getattr(text, "num_experts_per_tok", None)
    if experts:
        return int(experts * (getattr(text, "moe_intermediate_size", None) or text.intermediate_size))
    inner = getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * text.hidden_size
    return int(inner)


def size(shape: tuple[int, ...]) -> int:
    """Numbers in a tensor of that shape."""
    product = 1
    for extent in shape:
        product *= extent
    return product
