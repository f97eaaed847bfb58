"""The bytes that a pass keeps, against those that autograd really keeps of real layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModel, LlamaConfig, Qwen3Config

from asyppo_cli.builders.architecture import measured
from asyppo_cli.planning.activations import Precision, packed_responses_per_row, saved_per_layer
from asyppo_cli.planning.architecture import published

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 50,
    "pad_token_id": 0,
}
CONFIGS: list[tuple[Any, dict[str, int]]] = [(Qwen3Config, {"head_dim": 24}), (LlamaConfig, {})]
# A number that divides no size of a weight.
ROWS, LENGTH = 7, 32


def kept(model: Any, precision: Precision, masked: bool) -> int:
    """Bytes of all tensors that autograd keeps of one pass, weights apart, each storage once."""
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    found: dict[int, int] = {}
    alive = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        # Autocast's copies of weights have no batch in them; they are counted apart.
        if storage.data_ptr() not in own and tensor.numel() % ROWS == 0:
            found[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    tokens = torch.arange(ROWS * LENGTH).view(ROWS, LENGTH) % 50
    mask = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril().expand(ROWS, 1, -1, -1) if masked else None
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "autocast")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), autocast:
        model(input_ids=tokens, attention_mask=mask, use_cache=False)
    return sum(found.values())


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("precision", ["float32", "autocast", "bfloat16"])
@pytest.mark.parametrize(("config", "more"), CONFIGS, ids=["qwen3", "llama"])
def test_a_layer_keeps_what_is_counted(config: Any, more: dict[str, int], precision: Precision, masked: bool) -> None:
    sizes = []
    for layers in (1, 2):
        model = AutoModel.from_config(config(num_hidden_layers=layers, **SIZES, **more), attn_implementation="sdpa")
        if precision == "bfloat16":
            model = model.to(torch.bfloat16)
        sizes.append(kept(model.eval(), precision, masked))
    arch = measured(config(num_hidden_layers=2, **SIZES, **more))
    counted = saved_per_layer(arch, precision, LENGTH if masked else 0)
    assert (sizes[1] - sizes[0]) / (ROWS * LENGTH) == pytest.approx(counted, rel=0.02)


def test_long_responses_do_not_share_a_row_and_short_ones_do() -> None:
    arch = published("Qwen/Qwen3-4B")
    assert arch is not None
    assert packed_responses_per_row(arch, 1024, 8000, 32, 18048) == 1
    assert packed_responses_per_row(arch, 1024, 100, 32, 18048) == 32
    assert packed_responses_per_row(arch, 1024, 100, 32, 1300) == 2
