"""A learner's checkpoint: the model in Hugging Face form, AdamW's moments as tensors and numbers. No pickle.

Every engine writes the same files, with float32 weights and whole tensors, so any engine on any number of ranks goes on
from what another has written. Names of weights are the module's own; a file holds them without the first part of it:
``model`` of a policy, ``backbone`` and ``head`` of a critic.
"""

from __future__ import annotations

import json
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asyppo_cli.engines.hf.models import VALUE_HEAD_FILE

PROGRESS_FILE = "optimizer.json"
# What torch's AdamW calls its moments, and with it the files.
MOMENTS = ("exp_avg", "exp_avg_sq")
# Bytes of moments that are held before they are written: a large model's need not fit into memory at once.
PART_BYTES = 4 * 2**30


class SavedTensors(Mapping[str, Tensor]):
    """Tensors of safetensors files under ``prefix`` + their names, each read when it is asked for."""

    def __init__(self, files: Sequence[Path], prefix: str = "") -> None:
        from safetensors import safe_open

        self._prefix = prefix
        self._files: dict[str, Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for file in files:
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118
                    self._files[prefix + name] = file
                    self.shapes[prefix + name] = tuple(opened.get_slice(name).get_shape())

    def __getitem__(self, name: str) -> Tensor:
        from safetensors import safe_open

        with safe_open(self._files[name], "pt") as opened:
            tensor: Tensor = opened.get_tensor(name.removeprefix(self._prefix))
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def inner_model(module: nn.Module) -> tuple[str, Any]:
    """Name and value of the Hugging Face model in a policy or a critic."""
    name = "model" if hasattr(module, "model") else "backbone"
    return name, module.get_submodule(name)


def full_shape(tensor: Tensor) -> tuple[int, ...]:
    """Shape of a weight, also of one that DeepSpeed has shared out over ranks."""
    return tuple(getattr(tensor, "ds_shape", tensor.shape))


def open_weights(module: nn.Module, directory: Path) -> Mapping[str, Tensor]:
    """The weights saved in ``directory`` by the module's names, read one by one.

    Raises:
        ValueError: one is missing, foreign, or of another shape.
    """
    name, inner = inner_model(module)
    body = SavedTensors(sorted(directory.glob("model*.safetensors")), f"{name}.")
    head = SavedTensors([file for file in [directory / VALUE_HEAD_FILE] if file.is_file()], "head.")
    saved = body.shapes | head.shapes
    own = module.state_dict(keep_vars=True)
    # A tied output matrix is not saved a second time.
    tied = {f"{name}.{key}" for key in getattr(inner, "all_tied_weights_keys", None) or {}}
    different = sorted((own.keys() - tied - saved.keys()) | (saved.keys() - own.keys()))
    if not different:
        different = [key for key in saved if saved[key] != full_shape(own[key])]
    if different:
        raise ValueError(f"{directory} is not a checkpoint of this model: weights {different[:3]} differ")
    return ChainMap(body, head)  # type: ignore[arg-type]


def write_moments(directory: Path, moments: Iterable[tuple[str, Tensor]], steps: int) -> None:
    """Write AdamW's state, ``INDEX.NAME`` of each weight's tensors in the module's order, and the steps done."""
    part: dict[str, Tensor] = {}
    number = held = 0
    for key, tensor in moments:
        # On the CPU as it lies: a copy of a model's moments would be the largest thing in memory.
        part[key] = tensor.detach().to("cpu").contiguous()
        held += tensor.nbytes
        if held >= PART_BYTES:
            _write_part(directory, number, part)
            part, number, held = {}, number + 1, 0
    if part or number == 0:
        _write_part(directory, number, part)
    (directory / PROGRESS_FILE).write_text(json.dumps({"steps": steps}))


def _write_part(directory: Path, number: int, part: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    save_file(part, directory / f"optimizer{f'-{number}' if number else ''}.safetensors")


def open_moments(directory: Path) -> tuple[Mapping[str, Tensor], int]:
    """AdamW's state as :func:`write_moments` got it, tensors read one by one, and the steps done."""
    steps: int = json.loads((directory / PROGRESS_FILE).read_text())["steps"]
    return SavedTensors(sorted(directory.glob("optimizer*.safetensors"))), steps


def whole(tensor: Tensor) -> Tensor:
    """A float32 copy on the CPU."""
    return tensor.detach().to("cpu", torch.float32, copy=True)
