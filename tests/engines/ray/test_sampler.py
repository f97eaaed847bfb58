"""Several samplers draw what one draws, and weights reach them without a detour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from asyppo_cli.engines.hf.models import PolicyModel
from asyppo_cli.engines.torch.learner import AdamW, TorchLearner
from asyppo_cli.engines.torch.sampler import TransformersSampler
from asyppo_cli.types import SamplingParams

pytest.importorskip("ray", reason="Ray is not installed (extra: cpu-engines)")

PARAMS = SamplingParams(max_tokens=12, temperature=1.0, top_p=1.0, top_k=0, seed=5)
PROMPTS = [[3, 4, 5], [6, 7], [8, 9, 10, 11, 12], [13], [14, 15], [16]]


def sampler_of(model: Any) -> TransformersSampler:
    return TransformersSampler(model, eos_token_ids=[1], batch_size=4, device=torch.device("cpu"))


def learner_of(model: Any) -> TorchLearner[Any]:
    return TorchLearner(
        PolicyModel(model, 1.0),
        AdamW(1e-2, 0.0, (0.9, 0.95), 1.0, 0, "constant", 10),
        device=torch.device("cpu"),
        dtype=torch.float32,
        micro_batch_tokens=100,
        gradient_checkpointing=False,
        share_prompts=True,
    )


def test_the_number_of_samplers_changes_no_response(ray_desk: Any, make_model: Callable[..., Any]) -> None:
    cpu_ranks = sampler_of(make_model("qwen3")).sample(PROMPTS, 2, PARAMS)
    shared = ray_desk.samplers_of(__name__, sampler_of, lambda _prompts, n: 4 // n)(make_model("qwen3"))
    assert shared.sample(PROMPTS, 2, PARAMS) == cpu_ranks
    assert len({tuple(group) for group in cpu_ranks}) == len(PROMPTS)


def test_weights_go_from_learner_to_samplers(ray_desk: Any, make_model: Callable[..., Any]) -> None:
    learner = ray_desk.learners_of(__name__, 1, learner_of)(make_model("qwen3", seed=1))
    shared = ray_desk.samplers_of(__name__, sampler_of, lambda _prompts, n: 4 // n)(make_model("qwen3", seed=0))
    shared.load_weights(learner.weights())
    assert shared.sample(PROMPTS, 2, PARAMS) == sampler_of(make_model("qwen3", seed=1)).sample(PROMPTS, 2, PARAMS)
    weights = dict(learner.weights())
    for name, weight in make_model("qwen3", seed=1).named_parameters():
        assert torch.equal(weights[name], weight), name
