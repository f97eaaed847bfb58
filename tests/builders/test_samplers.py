"""Which tokens end a response."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from asyppo_cli.builders.samplers import end_tokens, saved_end_tokens
from asyppo_cli.engines.hf.tokenizer import load_tokenizer
from asyppo_cli.engines.torch.sampler import TransformersSampler
from asyppo_cli.types import SamplingParams


def test_every_end_token_of_the_generation_settings_ends_a_response(
    tmp_path: Path, make_model: Callable[..., Any]
) -> None:
    tokenizer, model = load_tokenizer("embedded:policy", None, "policy.model"), make_model("qwen3")
    model.generation_config = GenerationConfig(eos_token_id=[3, 7])
    model.save_pretrained(tmp_path)
    ends = sorted({3, 7, tokenizer.eos_token_id})
    assert end_tokens(model, tokenizer) == saved_end_tokens(str(tmp_path), None, "policy.model", tokenizer) == ends
    sampler = TransformersSampler(model, eos_token_ids=ends, batch_size=64, device=torch.device("cpu"))
    params = SamplingParams(max_tokens=24, temperature=1.0, top_p=1.0, top_k=0, seed=0)
    drawn = [response for group in sampler.sample([[5, 9, 4]] * 16, 4, params) for response in group]
    assert {response.tokens[-1] for response in drawn if not response.truncated} >= {3, 7}
    assert all(set(response.tokens[:-1]).isdisjoint(ends) for response in drawn)
