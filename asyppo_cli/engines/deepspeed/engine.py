"""Starting DeepSpeed: the version this project was written against, its settings, and one engine around a module."""

from __future__ import annotations

import logging
import os
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import torch
from torch import Tensor, nn

from asyppo_cli.engines.hf.quiet import deepspeed_accelerator
from asyppo_cli.requirements import engines_extra, install_command
from asyppo_cli.types import Sequences

DEEPSPEED_VERSION = "0.19.8"
# DeepSpeed's own size of a reduction; it allocates that much however small the model is.
LARGEST_BUCKET = 500_000_000

Offload = Literal["none", "optimizer", "all"]


def check_deepspeed() -> None:
    """ValueError if DeepSpeed is missing or of another version than the one whose internals were read and tested."""
    try:
        found = version("deepspeed")
    except PackageNotFoundError:
        found = "none"
    if found != DEEPSPEED_VERSION:
        raise ValueError(
            f"learner.engine=deepspeed needs deepspeed {DEEPSPEED_VERSION}, installed is {found}: "
            f"{install_command(engines_extra())}, or set learner=torch"
        )


def load_deepspeed(device: torch.device) -> Any:
    """The module ``deepspeed``, quiet, computing on ``device``."""
    check_deepspeed()
    with deepspeed_accelerator(device):
        import deepspeed
        from deepspeed.accelerator import get_accelerator

        chosen = str(get_accelerator().device_name())
    if not chosen.startswith(device.type):
        raise ValueError(
            f"learner.device={device.type}: DeepSpeed computes on {chosen} in this process: give both one device"
        )
    silence_deepspeed(deepspeed)
    return deepspeed


def silence_deepspeed(deepspeed: Any) -> None:
    """Leave DeepSpeed's warnings to this process's logging, and the terminal to others."""
    from deepspeed.runtime import bf16_optimizer

    logger = logging.getLogger("DeepSpeed")
    logger.setLevel(logging.WARNING)
    logger.handlers.clear()
    logger.propagate = True
    # It prints the memory in use, four times a model.
    bf16_optimizer.see_memory_usage = lambda *_, **__: None
    # What could be compiled here: nothing. It would try every operator, then compile for a minute a reduction in shared
    # memory that only inference uses.
    vars(deepspeed.ops).setdefault("__compatible_ops__", {})
    # It calls collectives by names that newer torch versions have others for, in every micro-batch.
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)


def engine_settings(
    stage: int, offload: Offload, dtype: torch.dtype, max_grad_norm: float, weights: int
) -> dict[str, Any]:
    """DeepSpeed's configuration. ``weights`` is their number in the model, which bounds the size of buffers."""
    bucket = min(LARGEST_BUCKET, max(2, weights + weights % 2))
    zero: dict[str, Any] = {"stage": stage, "reduce_bucket_size": bucket, "allgather_bucket_size": bucket}
    if offload != "none":
        zero["offload_optimizer"] = {"device": "cpu"}
    if offload == "all":
        zero["offload_param"] = {"device": "cpu"}
    low_precision = stage > 0 and dtype == torch.bfloat16
    return {
        # Micro-batches differ in size and number: this code normalises the loss and says when a batch is complete.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        # Stage 0 clips as the torch learner does: DeepSpeed would not tell the norm.
        "gradient_clipping": max_grad_norm if stage else 0.0,
        "zero_optimization": zero,
        "bf16": {"enabled": low_precision, "check_grad_overflow": low_precision},
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": None,
    }


class EngineModule(nn.Module):
    """A policy or critic with tensors in and a mapping of tensors out: the forms that DeepSpeed's hooks look into."""

    def __init__(self, module: nn.Module, autocast: bool) -> None:
        super().__init__()
        self.module = module
        self.autocast = autocast
        self.record: type[Any] | None = None

    def forward(
        self, tokens: Tensor, prompt_lengths: Tensor, response_lengths: Tensor, sizes: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The module's outputs by name; their record's type is left in ``record``."""
        with torch.autocast(tokens.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            # Not through the call: no weight lies between here and the model, and a record would puzzle its hooks.
            outputs = self.module.forward(Sequences(tokens, prompt_lengths, response_lengths), sizes)
        self.record = type(outputs)
        return dict(vars(outputs))


def start_engine(
    deepspeed: Any, module: nn.Module, optimizer: torch.optim.Optimizer, settings: dict[str, Any], device: torch.device
) -> Any:
    """A DeepSpeed engine around ``module`` and ``optimizer``, in the process group that there is."""
    init_distributed(deepspeed, device)
    engine, *_ = deepspeed.initialize(model=module, optimizer=optimizer, config=settings, dist_init_required=False)
    return engine


def init_distributed(deepspeed: Any, device: torch.device) -> None:
    """Let DeepSpeed use the process group that there is."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    # It takes the number of its GPU from the environment alone, at stage 3 in every forward pass.
    os.environ["LOCAL_RANK"] = str(device.index or 0)
    deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False)
