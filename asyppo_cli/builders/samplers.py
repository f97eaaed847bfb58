"""Samplers as configured: the one place that picks a sampling engine by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from asyppo_cli.builders.device import pick_device
from asyppo_cli.config.engines import SamplerConfig, VllmConfig
from asyppo_cli.config.method import RolloutConfig
from asyppo_cli.config.schema import Config
from asyppo_cli.engines.hf.models import load_policy, read_model_config
from asyppo_cli.engines.hf.resolve import EMBEDDED, resolve_model
from asyppo_cli.engines.hf.tokenizer import HuggingFaceTokenizer
from asyppo_cli.engines.torch.sampler import TransformersSampler
from asyppo_cli.engines.vllm.install import (
    installed_version,
    why_not_installed,
    why_not_split,
    why_not_synced,
    why_not_this_model,
)
from asyppo_cli.engines.vllm.sampler import VllmSampler, check_sync, check_vllm, discard, pick_sync
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


def check_vocabulary(tokenizer: HuggingFaceTokenizer, model: str, revision: str | None, key: str) -> None:
    """ValueError if a text can become a token that the model has no embedding of.

    Control tokens that no prompt holds do not count: Gemma 3 has one for images beyond its text model's embedding.
    """
    rows = getattr(read_model_config(model, revision, key).get_text_config(), "vocab_size", None)
    largest = tokenizer.largest_id()
    if rows is not None and largest >= rows:
        raise ValueError(
            f"{key}={model}: its tokenizer has the token {tokenizer.token_text(largest)!r} with id {largest}, but the "
            f"model's embedding has only {rows} rows (vocab_size): save the model's own tokenizer beside it, or resize "
            "the embedding"
        )


def build_sampler(
    config: Config, tokenizer: HuggingFaceTokenizer, note: Callable[[str], None] = discard, log: Path | None = None
) -> Sampler:
    """The sampling engine, around the policy's initial weights; ``log`` is the file for vLLM's own lines."""
    policy = config.policy
    engine, reason = choose_engine(config.sampler.engine, policy.model, policy.revision)
    match engine:
        case "transformers":
            if reason is not None:
                note(f"sampler.engine=auto: transformers samples, vLLM cannot: {reason}")
            model = load_policy(policy.model, policy.revision)
            return transformers_sampler(config.sampler, model, tokenizer, pick_device(config.learner))
        case "vllm":
            return VllmSampler(
                policy.model,
                revision=policy.revision,
                eos_token_ids=saved_end_tokens(policy.model, policy.revision, "policy.model", tokenizer),
                max_model_len=config.rollout.prompt_length + config.rollout.response_length,
                config=with_trainers_precision(config),
                log=log,
                note=note,
            )


def with_trainers_precision(config: Config) -> VllmConfig:
    """VLLM's settings, whose dtype ``auto`` on a CPU becomes the trainer's: a small model sampled in bfloat16 and
    trained in float32 would differ from itself by 0.03 nats a token.
    """
    vllm = config.sampler.vllm
    on_cpu = vllm.dtype == "auto" and not torch.cuda.is_available()
    return vllm.model_copy(update={"dtype": config.learner.dtype}) if on_cpu else vllm


def pick_engine(
    engine: Literal["auto", "transformers", "vllm"], model: str, revision: str | None = None
) -> Literal["transformers", "vllm"]:
    """The engine that ``auto`` stands for: vLLM where it is installed and a real language model is sampled."""
    return choose_engine(engine, model, revision)[0]


def choose_engine(
    engine: Literal["auto", "transformers", "vllm"], model: str, revision: str | None
) -> tuple[Literal["transformers", "vllm"], str | None]:
    """The engine that ``auto`` stands for, and why it is not vLLM where vLLM is installed and a real model sampled."""
    if engine != "auto":
        return engine, None
    if model.startswith(EMBEDDED) or installed_version() is None:
        return "transformers", None
    cuda = torch.cuda.is_available()
    own = read_model_config(model, revision, "policy.model")
    reason = why_not_installed() or why_not_this_model(own, cuda) or why_not_synced(own)
    return ("vllm", None) if reason is None else ("transformers", reason)


def check_sampler(config: Config) -> None:
    """ValueError if vLLM is asked for and missing, of a wrong version, or known not to serve the policy."""
    policy = config.policy
    if pick_engine(config.sampler.engine, policy.model, policy.revision) == "vllm":
        model = read_model_config(policy.model, policy.revision, "policy.model")
        workers = config.sampler.vllm.tensor_parallel
        check_vllm(policy.model, "policy.model", model)
        check_sync(policy.model, "policy.model", model)
        if reason := why_not_split(model, workers):
            raise ValueError(f"sampler.vllm.tensor_parallel={workers}, policy.model={policy.model}: {reason}")
        if config.cluster.kind == "local":
            # Elsewhere it follows from where the roles sit.
            pick_sync(config.sampler.vllm, "cuda" if torch.cuda.is_available() else "cpu")


def transformers_sampler(
    config: SamplerConfig, model: Any, tokenizer: HuggingFaceTokenizer, device: torch.device
) -> TransformersSampler:
    """Batched transformers around a model that is loaded."""
    return TransformersSampler(
        model, eos_token_ids=end_tokens(model, tokenizer), batch_size=config.batch_size, device=device
    )


def end_tokens(model: Any, tokenizer: HuggingFaceTokenizer) -> list[int]:
    """Every token that ends a response: the tokenizer's, and those the model's generation settings name."""
    return all_end_tokens(model.generation_config, tokenizer)


def saved_end_tokens(model: str, revision: str | None, key: str, tokenizer: HuggingFaceTokenizer) -> list[int]:
    """As :func:`end_tokens`, of a model that is not loaded."""
    from transformers import GenerationConfig

    try:
        settings = GenerationConfig.from_pretrained(resolve_model(model, key), revision=revision)
    except OSError:
        # A folder without a file of its own for them: they follow from the model's configuration.
        settings = GenerationConfig.from_model_config(read_model_config(model, revision, key))
    return all_end_tokens(settings, tokenizer)


def all_end_tokens(settings: Any, tokenizer: HuggingFaceTokenizer) -> list[int]:
    """The tokenizer's end token and those of generation settings, sorted."""
    named = getattr(settings, "eos_token_id", None)
    extra = named if isinstance(named, list) else [] if named is None else [named]
    return sorted({tokenizer.eos_token_id, *extra})


def sampling_params(config: SamplerConfig, max_tokens: int, temperature: float, seed: int) -> SamplingParams:
    """Sampling settings of training (the step fills in its seed) or evaluation."""
    return greedy(SamplingParams(max_tokens, temperature, config.top_p, config.top_k, seed))


def greedy(params: SamplingParams) -> SamplingParams:
    """Temperature 0 as every engine knows it: the most probable token alone, at temperature 1."""
    return params if params.temperature else replace(params, temperature=1.0, top_k=1)
