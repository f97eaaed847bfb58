"""Engines as configured: samplers, learners, devices. The one place that picks an adapter by name."""

from __future__ import annotations

import os
import resource
import sys
from typing import Any

import torch

from asyppo_cli.config.schema import LearnerConfig, OptimizerConfig, RolloutConfig, SamplerConfig
from asyppo_cli.engines.models import read_model_config
from asyppo_cli.engines.tokenizer import HuggingFaceTokenizer
from asyppo_cli.engines.torch_learner import AdamW, TorchLearner
from asyppo_cli.engines.transformers_sampler import TransformersSampler
from asyppo_cli.ports import Sampler
from asyppo_cli.types import SamplingParams

MOST_THREADS = 1024


def check_context(model: str, revision: str | None, key: str, rollout: RolloutConfig) -> None:
    """A prompt and its response must fit into what the model can attend to."""
    context = getattr(read_model_config(model, revision, key).get_text_config(), "max_position_embeddings", None)
    needed = rollout.prompt_length + rollout.response_length
    if context is not None and needed > context:
        raise ValueError(
            f"{key}={model} attends to {context} tokens, but rollout.prompt_length + rollout.response_length is "
            f"{rollout.prompt_length} + {rollout.response_length} = {needed}: shorten one of them"
        )


def build_sampler(config: SamplerConfig, model: Any, tokenizer: HuggingFaceTokenizer, device: torch.device) -> Sampler:
    """The sampling engine, around a model of its own."""
    match config.engine:
        case "transformers":
            return TransformersSampler(
                model, eos_token_ids=end_tokens(model, tokenizer), batch_size=config.batch_size, device=device
            )


def end_tokens(model: Any, tokenizer: HuggingFaceTokenizer) -> list[int]:
    """Every token that ends a response: the tokenizer's, and those the model's generation settings name."""
    named = getattr(model.generation_config, "eos_token_id", None)
    extra = named if isinstance(named, list) else [] if named is None else [named]
    return sorted({tokenizer.eos_token_id, *extra})


def build_torch_learner(
    module: torch.nn.Module, config: LearnerConfig, optimizer: OptimizerConfig, total_steps: int
) -> TorchLearner[Any]:
    """The training engine, around a module."""
    return TorchLearner(
        module,
        AdamW(
            lr=optimizer.lr,
            weight_decay=optimizer.weight_decay,
            betas=(optimizer.beta1, optimizer.beta2),
            max_grad_norm=optimizer.max_grad_norm,
            warmup_steps=optimizer.warmup_steps,
            schedule=optimizer.schedule,
            total_steps=total_steps,
        ),
        device=pick_device(config),
        dtype=torch.bfloat16 if config.dtype == "bfloat16" else torch.float32,
        micro_batch_tokens=config.micro_batch_tokens,
        gradient_checkpointing=config.gradient_checkpointing,
    )


def sampling_params(config: SamplerConfig, max_tokens: int, temperature: float, seed: int) -> SamplingParams:
    """Sampling settings of training (the step fills in its seed) or evaluation."""
    return SamplingParams(max_tokens, temperature, config.top_p, config.top_k, seed)


def pick_device(config: LearnerConfig) -> torch.device:
    """The device to train on."""
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise ValueError("learner.device=cuda, but torch sees no GPU: set learner.device=auto, or check the driver")
    return torch.device("cuda" if config.device != "cpu" and available else "cpu")


def set_threads(config: LearnerConfig) -> None:
    """CPU threads of this process. ValueError beyond what any machine has: torch would crash."""
    if config.threads > MOST_THREADS:
        raise ValueError(f"learner.threads={config.threads} must be at most {MOST_THREADS}; 0: all cores")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(config.threads or usable)


def peak_memory() -> int:
    """Peak memory of the process in bytes, that of its GPU added."""
    # macOS counts bytes, Linux kibibytes.
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return host + (torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)
