"""Samplers as configured: the one place that picks a sampling engine by name."""

from __future__ import annotations

from typing import Any, Literal

import torch

from asyppo_cli.build.machine import pick_device
from asyppo_cli.config.engines import SamplerConfig
from asyppo_cli.config.method import RolloutConfig
from asyppo_cli.config.schema import Config
from asyppo_cli.engines.models import load_policy, read_model_config
from asyppo_cli.engines.tokenizer import HuggingFaceTokenizer
from asyppo_cli.engines.transformers_sampler import TransformersSampler
from asyppo_cli.ports import Sampler
from asyppo_cli.types import SamplingParams


def check_context(model: str, revision: str | None, key: str, rollout: RolloutConfig) -> None:
    """A prompt and its response must fit into what the model can attend to."""
    context = getattr(read_model_config(model, revision, key).get_text_config(), "max_position_embeddings", None)
    needed = rollout.prompt_length + rollout.response_length
    if context is not None and needed > context:
        raise ValueError(
            f"{key}={model} attends to {context} tokens, but rollout.prompt_length + rollout.response_length is "
            f"{rollout.prompt_length} + {rollout.response_length} = {needed}: shorten one of them"
        )


def build_sampler(config: Config, tokenizer: HuggingFaceTokenizer) -> Sampler:
    """The sampling engine, around the policy's initial weights."""
    match pick_engine(config.sampler.engine, config.policy.model):
        case "transformers":
            model = load_policy(config.policy.model, config.policy.revision)
            return transformers_sampler(config.sampler, model, tokenizer, pick_device(config.learner))
        case "vllm":
            raise ValueError("sampler.engine=vllm: not there yet")


def pick_engine(engine: Literal["auto", "transformers", "vllm"], model: str) -> Literal["transformers", "vllm"]:
    """The engine that ``auto`` stands for: vLLM where it is installed and a real language model is sampled."""
    if engine != "auto":
        return engine
    return "transformers"


def transformers_sampler(
    config: SamplerConfig, model: Any, tokenizer: HuggingFaceTokenizer, device: torch.device
) -> TransformersSampler:
    """Batched transformers around a model that is loaded."""
    return TransformersSampler(
        model, eos_token_ids=end_tokens(model, tokenizer), batch_size=config.batch_size, device=device
    )


def end_tokens(model: Any, tokenizer: HuggingFaceTokenizer) -> list[int]:
    """Every token that ends a response: the tokenizer's, and those the model's generation settings name."""
    named = getattr(model.generation_config, "eos_token_id", None)
    extra = named if isinstance(named, list) else [] if named is None else [named]
    return sorted({tokenizer.eos_token_id, *extra})


def sampling_params(config: SamplerConfig, max_tokens: int, temperature: float, seed: int) -> SamplingParams:
    """Sampling settings of training (the step fills in its seed) or evaluation."""
    return SamplingParams(max_tokens, temperature, config.top_p, config.top_k, seed)
