"""A model that is read once for all ranks: rank 0 loads it, and the others get its weights one after another.

Otherwise every rank would hold all of it in the host's memory before it is shared out: eight ranks of a 14b model
450 GB. Rank 0's copy shrinks while it is given away; at stage 3 no rank but rank 0 ever holds more than its part and
one weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from asyppo_cli.engines.deepspeed.engine import init_distributed, load_deepspeed
from asyppo_cli.engines.hf.models import (
    ModelCapabilities,
    PolicyModel,
    ValueModel,
    keep_first_layers,
    read_model_config,
)
from asyppo_cli.engines.torch.checkpoint_files import inner_model

ModelBuilder = Callable[[], Any]


@dataclass(frozen=True)
class ModelFactory:
    """How to make a policy or critic: ``load`` it with its weights, or its ``wrap`` with room for them alone.

    An outline is made of a ``builder``, something that makes a Hugging Face model without weights and has imported
    all that this takes, and of the facts that only a loaded model can tell.
    """

    load: Callable[[], PolicyModel | ValueModel]
    builder: Callable[[], ModelBuilder]
    wrap: Callable[[Any, ModelCapabilities], PolicyModel | ValueModel]


def load_once(
    factory: ModelFactory, stage: int, settings: dict[str, Any], device: torch.device, dtype: torch.dtype
) -> PolicyModel | ValueModel:
    """The module on this rank, at stage 3 its part of it. Collective: every rank of the world calls it.

    ``settings`` are DeepSpeed's; ``dtype`` is that of the weights which compute.
    """
    deepspeed = load_deepspeed(device)
    init_distributed(deepspeed, device)
    loaded = factory.load() if dist.get_rank() == 0 else None
    capabilities: ModelCapabilities = broadcast_object(None if loaded is None else loaded.capabilities)
    # Within what follows torch makes tensors in another way, which a module that is just being imported may not bear.
    builder = factory.builder()
    if stage == 3:
        # Its argument for the precision is misread where the device knows no float16; the settings are not.
        with deepspeed.zero.Init(config_dict_or_path=settings):
            module = factory.wrap(builder(), capabilities)
        scatter_weights(deepspeed, module, loaded)
    else:
        # From stage 1 on DeepSpeed's float32 masters are made from the weights that compute.
        wrap = partial(build_meta_model, factory, builder, capabilities)
        module = on_device(loaded, wrap, device, dtype if stage else torch.float32)
        for parameter in module.parameters():
            dist.broadcast(parameter.data, 0)
    copy_buffers_and_config(module, loaded)
    return module


def build_meta_model(
    factory: ModelFactory, builder: ModelBuilder, capabilities: ModelCapabilities
) -> PolicyModel | ValueModel:
    """The outline without any memory."""
    with torch.device("meta"):
        return factory.wrap(builder(), capabilities)


def on_device(
    loaded: PolicyModel | ValueModel | None,
    build_empty: Callable[[], PolicyModel | ValueModel],
    device: torch.device,
    dtype: torch.dtype,
) -> PolicyModel | ValueModel:
    """The whole module where it computes: with its weights on rank 0, with room for them on the others."""
    if loaded is None:
        wrap = build_empty().to(dtype).to_empty(device=device)
        # What was one weight by two names has become two.
        inner_model(wrap)[1].tie_weights()
        return wrap
    for tensor in loaded.buffers():
        tensor.data = tensor.data.to(device)
    for parameter in loaded.parameters():
        parameter.data = parameter.data.to(device, dtype)
    return loaded


def scatter_weights(deepspeed: Any, module: nn.Module, loaded: nn.Module | None) -> None:
    """Gather one weight after the other, let rank 0 write it, and share it out again; ``loaded`` is emptied."""
    source = {} if loaded is None else dict(loaded.named_parameters())
    for name, parameter in module.named_parameters():
        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0), torch.no_grad():
            if loaded is not None:
                parameter.copy_(source[name])
                source[name].data = torch.empty(0)


def copy_buffers_and_config(module: nn.Module, loaded: nn.Module | None) -> None:
    """Buffers, which are small, and the settings that a model is saved with."""
    own = None if loaded is None else {name: value.cpu() for name, value in loaded.named_buffers()}
    buffers: dict[str, Tensor] = broadcast_object(own)
    for name, buffer in module.named_buffers():
        # In their own precision: DeepSpeed makes them in that of the weights.
        buffer.data = buffers[name].to(buffer.device)
    if loaded is not None and loaded is not module:
        _, inner = inner_model(module)
        _, original = inner_model(loaded)
        inner.config = original.config
        if getattr(original, "generation_config", None) is not None:
            inner.generation_config = original.generation_config


def broadcast_object(value: Any) -> Any:
    """What rank 0 has, on every rank."""
    held = [value]
    dist.broadcast_object_list(held, 0)
    return held[0]


def builder_of(auto: Any, config: Any) -> ModelBuilder:
    """Makes models of that configuration whose weights nobody has drawn; their class is imported here and now."""
    auto._model_mapping[type(config)]  # noqa: SLF001 - the only thing that tells it
    from transformers.initialization import no_init_weights

    def builder() -> Any:
        with no_init_weights():
            model = auto.from_config(config, attn_implementation="sdpa", dtype=torch.float32)
        model.tie_weights()
        return model.eval()

    return builder


def policy_builder(model: str, revision: str | None) -> ModelBuilder:
    """As :func:`~asyppo_cli.engines.hf.models.load_policy`, without weights."""
    from transformers import AutoModelForCausalLM

    return builder_of(AutoModelForCausalLM, read_model_config(model, revision, "policy.model"))


def backbone_builder(model: str, revision: str | None, depth: float, key: str) -> ModelBuilder:
    """As :func:`~asyppo_cli.engines.hf.models.load_backbone`, without weights."""
    from transformers import AutoModel

    config = read_model_config(model, revision, key)
    keep_first_layers(config, depth)
    return builder_of(AutoModel, config)
