"""AdamW that keeps its two moments in bfloat16: 4 bytes a weight instead of 8."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from asyppo_cli.engines.learner_files import MOMENTS

# Elements that are float32 at a time: what a step reads and writes again stays in a core's cache.
SLICE = 2**18


class HalfMomentAdamW(torch.optim.Optimizer):
    """Torch's fused AdamW on float32 weights, with moments that are bfloat16 between steps.

    A step computes in float32, slice by slice, and rounds the moments to the nearest bfloat16. That has float32's range
    and 8 significant bits, so a moment follows its mean as long as a step changes it by 1/256: decays of at most 0.98.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": 1e-8})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One step of every weight that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As every optimizer does, which gives moments the weights' precision; then in this one's."""
        super().load_state_dict(state_dict)
        for entry in self.state.values():
            for name in MOMENTS:
                entry[name] = entry[name].to(torch.bfloat16)

    def _step(self, parameter: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            for name in MOMENTS:
                state[name] = torch.zeros_like(parameter, dtype=torch.bfloat16)
        beta1, beta2 = group["betas"]
        flat = (parameter.view(-1), gradient.reshape(-1), *(state[name].view(-1) for name in MOMENTS))
        for weights, gradients, *halves in zip(*(tensor.split(SLICE) for tensor in flat), strict=True):
            moments = [half.float() for half in halves]
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
            for half, moment in zip(halves, moments, strict=True):
                half.copy_(moment)
        state["step"] += 1
