"""Learners as configured, the policy's and the critics': the one place that picks a training engine by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from asyppo_cli.builders.device import pick_device
from asyppo_cli.config.engines import LearnerConfig, OptimizerConfig
from asyppo_cli.config.schema import Config
from asyppo_cli.engines.deepspeed.engine import check_deepspeed, engine_settings
from asyppo_cli.engines.deepspeed.learner import DeepSpeedLearner
from asyppo_cli.engines.deepspeed.loading import ModelFactory, backbone_builder, load_once, policy_builder
from asyppo_cli.engines.hf.models import PolicyModel, ValueModel, load_backbone, load_policy
from asyppo_cli.engines.torch.learner import AdamW, TorchLearner
from asyppo_cli.ports import Learner
from asyppo_cli.types import PolicyOutputs, ValueOutputs


def build_policy_learner(config: Config) -> Learner[PolicyOutputs]:
    """The policy behind the learner protocol."""
    steps = config.max_steps * config.training.utd * config.training.mini_batches
    name, revision, temperature = config.policy.model, config.policy.revision, config.sampler.temperature
    factory = ModelFactory(
        load=lambda: PolicyModel(load_policy(name, revision), temperature),
        builder=lambda: policy_builder(name, revision),
        wrap=lambda model, capabilities: PolicyModel(model, temperature, capabilities),
    )
    return build_learner(make_module(factory, config.learner), config.learner, config.learner.policy, steps)


def build_reference(config: Config) -> Learner[PolicyOutputs] | None:
    """The initial policy, which never learns, if there is a KL term."""
    if config.policy_loss.kl_coef == 0:
        return None
    # It never has moments, so no disk need be kept for them.
    learner = config.learner.model_copy(update={"moments_dir": None})
    return build_policy_learner(config.model_copy(update={"learner": learner}))


def build_critic_learner(config: Config) -> Learner[ValueOutputs]:
    """One critic, a model and an optimizer of its own, from a checkpoint or the policy's first layers."""
    own = config.critics.model is None
    backbone = (
        config.policy.model if config.critics.model is None else config.critics.model,
        config.policy.revision if own else None,
        config.critics.depth,
        "policy.model" if own else "critics.model",
    )
    factory = ModelFactory(
        load=lambda: ValueModel(load_backbone(*backbone)),
        builder=lambda: backbone_builder(*backbone),
        wrap=ValueModel,
    )
    steps = config.max_steps * config.critics.epochs * config.critics.mini_batches
    return build_learner(make_module(factory, config.learner), config.learner, config.learner.critics, steps)


def make_module(factory: ModelFactory, config: LearnerConfig) -> PolicyModel | ValueModel:
    """A policy or critic, loaded here, or once for all ranks where there are several."""
    if config.engine == "torch" or not dist.is_initialized() or dist.get_world_size() == 1:
        return factory.load()
    deepspeed, dtype = config.deepspeed, learner_settings(config)["dtype"]
    # The size of buffers does not matter for loading.
    settings = engine_settings(deepspeed.stage, deepspeed.offload, dtype, 0.0, 0)
    return load_once(factory, deepspeed.stage, settings, pick_device(config), dtype)


def check_engine(config: LearnerConfig) -> None:
    """ValueError if the training engine is not there, or of a wrong version."""
    if config.engine == "deepspeed":
        check_deepspeed()


def build_learner(
    module: PolicyModel | ValueModel, config: LearnerConfig, optimizer: OptimizerConfig, total_steps: int
) -> Learner[Any]:
    """The training engine, around a module: on every rank of the process group that there is, or alone."""
    match config.engine:
        case "torch":
            return build_torch_learner(module, config, optimizer, total_steps)
        case "deepspeed":
            settings = learner_settings(config)
            stage, offload = config.deepspeed.stage, config.deepspeed.offload
            adamw = build_optimizer(config, optimizer, total_steps)
            return DeepSpeedLearner(module, adamw, stage=stage, offload=offload, **settings)


def build_torch_learner(
    module: PolicyModel | ValueModel, config: LearnerConfig, optimizer: OptimizerConfig, total_steps: int
) -> TorchLearner[Any]:
    """Plain torch around a module."""
    return TorchLearner(module, build_optimizer(config, optimizer, total_steps), **learner_settings(config))


def build_optimizer(config: LearnerConfig, own: OptimizerConfig, total_steps: int) -> AdamW:
    """The optimizer and its schedule."""
    return AdamW(
        lr=own.lr,
        weight_decay=own.weight_decay,
        betas=(own.beta1, own.beta2),
        max_grad_norm=own.max_grad_norm,
        warmup_steps=own.warmup_steps,
        schedule=own.schedule,
        total_steps=total_steps,
        moments_dir=None if config.moments_dir is None else Path(config.moments_dir).expanduser(),
    )


def learner_settings(config: LearnerConfig) -> dict[str, Any]:
    """Arguments that every training engine takes."""
    return {
        "device": pick_device(config),
        "dtype": torch.bfloat16 if config.dtype == "bfloat16" else torch.float32,
        "micro_batch_tokens": config.micro_batch_tokens,
        "gradient_checkpointing": config.gradient_checkpointing,
        "share_prompts": config.share_prompts,
    }
