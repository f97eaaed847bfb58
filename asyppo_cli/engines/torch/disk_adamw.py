"""AdamW whose two moments lie in a file: 8 of the 16 bytes that a weight costs in training, and the same steps."""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from asyppo_cli.engines.torch.checkpoint_files import MOMENTS

# Elements that are in memory at a time.
SLICE = 2**20
BYTES = 4
MOUNTS = Path("/proc/self/mountinfo")


def check_moments_dir(directory: Path) -> None:
    """ValueError if no file can be made there, or if it would lie in memory after all."""
    if not directory.is_dir():
        raise ValueError(f"learner.moments_dir={directory} is no folder: create it, or name another")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ValueError(f"learner.moments_dir={directory} cannot be written to: name another")
    device = directory.stat().st_dev
    for mount in MOUNTS.read_text().splitlines() if MOUNTS.is_file() else []:
        place, _, kind = mount.partition(" - ")
        if place.split()[2] == f"{os.major(device)}:{os.minor(device)}" and kind.split()[0] in ("tmpfs", "ramfs"):
            raise ValueError(f"learner.moments_dir={directory} lies in memory ({kind.split()[0]}): name one on a disk")


class MomentFile:
    """float32 zeros in a file without a name, which is gone with the process however that ends."""

    def __init__(self, directory: Path, elements: int) -> None:
        check_moments_dir(directory)
        size = BYTES * elements
        try:
            with tempfile.TemporaryFile(dir=directory) as file:
                # Now, not hours into a run, is when a disk should turn out to be full.
                os.posix_fallocate(file.fileno(), 0, size)
                self._file = os.dup(file.fileno())
        except OSError as error:
            raise ValueError(
                f"learner.moments_dir={directory} cannot take {size / 2**30:.2f} GiB of moments: {error.strerror}"
            ) from None
        weakref.finalize(self, os.close, self._file)
        self._elements = elements

    def read(self, start: int, target: Tensor) -> None:
        """Fill a flat float32 tensor on the CPU with the elements from ``start`` on."""
        self._whole(os.preadv(self._file, [target.numpy().data], BYTES * start), target)

    def write(self, start: int, source: Tensor) -> None:
        """Put a flat float32 tensor on the CPU where the elements from ``start`` on are."""
        self._whole(os.pwritev(self._file, [source.numpy().data], BYTES * start), source)

    def mapped(self) -> Tensor:
        """All elements, read when they are looked at; what is written into them is written nowhere."""
        view = mmap.mmap(self._file, BYTES * self._elements, access=mmap.ACCESS_COPY)
        return torch.frombuffer(view, dtype=torch.float32)

    @staticmethod
    def _whole(done: int, tensor: Tensor) -> None:
        if done != tensor.nbytes:
            raise OSError(f"{done} of {tensor.nbytes} bytes of moments went between memory and disk")


class DiskAdamW(torch.optim.Optimizer):
    """Torch's fused AdamW on float32 weights; a step brings its moments to memory slice by slice, and back.

    Raises:
        ValueError: ``directory`` is not there, not to be written to, or its disk too small.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        directory: Path,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": 1e-8})
        self._starts: dict[nn.Parameter, int] = {}
        end = largest = 0
        for parameter in self._parameters():
            self._starts[parameter] = end
            end += len(MOMENTS) * parameter.numel()
            largest = max(largest, parameter.numel())
        self._file = MomentFile(directory, end)
        self._buffers = torch.empty(len(MOMENTS), min(SLICE, largest))

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One step of every weight that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group)

    def state_dict(self) -> dict[str, Any]:
        """As every AdamW's, with moments that are read from the file when they are looked at."""
        packed = super().state_dict()
        moments, state = self._file.mapped(), {}
        for index, parameter in enumerate(self._parameters()):
            if index in packed["state"]:
                places = zip(MOMENTS, self._places(parameter), strict=True)
                state[index] = packed["state"][index] | {
                    name: moments[start : start + parameter.numel()].view_as(parameter) for name, start in places
                }
        return {**packed, "state": state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As every optimizer does; moments go to the file."""
        steps = {}
        for index, parameter in enumerate(self._parameters()):
            entry = state_dict["state"].get(index)
            if entry is None:
                continue
            for name, start in zip(MOMENTS, self._places(parameter), strict=True):
                self._file.write(start, entry[name].to("cpu", torch.float32).reshape(-1))
            steps[index] = {"step": entry["step"]}
        super().load_state_dict({**state_dict, "state": steps})

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _places(self, parameter: nn.Parameter) -> tuple[int, int]:
        """Where each of a weight's moments begins in the file."""
        return self._starts[parameter], self._starts[parameter] + parameter.numel()

    def _step(self, parameter: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        first = not state
        if first:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        beta1, beta2 = group["betas"]
        places, passed = self._places(parameter), 0
        slices = zip(torch.split(parameter.view(-1), SLICE), torch.split(gradient.reshape(-1), SLICE), strict=True)
        for weights, gradients in slices:
            buffers = [buffer[: len(weights)] for buffer in self._buffers]
            for buffer, place in zip(buffers, places, strict=True):
                # The file may hold moments of before a checkpoint without any was read.
                buffer.zero_() if first else self._file.read(place + passed, buffer)
            moments = [buffer.to(weights.device) for buffer in buffers]
            adamw(
                *([weights], [gradients], [moments[0]], [moments[1]], [], [state["step"].clone()]),
                fused=True,
                amsgrad=False,
                maximize=False,
                beta1=beta1,
                beta2=beta2,
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
            )
            for moment, place in zip(moments, places, strict=True):
                self._file.write(place + passed, moment.cpu())
            passed += len(weights)
        state["step"] += 1
