"""What only a probe may import: torch, transformers, and whatever these drag in."""

from __future__ import annotations

import importlib
from importlib import util
from typing import Any

# Of a model: transformers imports most of itself only when it is asked for one.
MODEL = "transformers.models.qwen3.modeling_qwen3"


def what_is_there() -> dict[str, Any]:
    """Versions and GPUs. Raises whatever these libraries raise where they do not fit together."""
    import torch

    # Nothing here uses it, but transformers does where it is installed.
    if util.find_spec("torchvision") is not None:
        importlib.import_module("torchvision")
    transformers = importlib.import_module("transformers")
    importlib.import_module(MODEL)
    number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = [gpu(index) for index in range(number)]
    return {"torch": torch.__version__, "transformers": transformers.__version__, "gpus": gpus}


def gpu(index: int) -> dict[str, Any]:
    """Name, memory in bytes, and whether it computes in bfloat16."""
    import torch

    free, whole = torch.cuda.mem_get_info(index)
    half = torch.cuda.is_bf16_supported()
    return {"name": torch.cuda.get_device_name(index), "free": free, "whole": whole, "bf16": half}
