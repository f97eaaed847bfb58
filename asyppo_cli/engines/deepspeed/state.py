"""Weights, float32 masters and moments of a DeepSpeed engine as whole tensors, whatever ranks hold of them.

All methods are collective: every rank calls them for the same weights in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch import distributed as dist

from asyppo_cli.engines.torch.checkpoint_files import MOMENTS, full_shape, whole


class EngineState:
    """What an engine around ``module`` and ``optimizer`` holds at ZeRO ``stage``."""

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer, stage: int) -> None:
        self._module = module
        self._optimizer = optimizer
        self._stage = stage

    @property
    def ready(self) -> bool:
        """Whether the optimizer has its moments: from the first step on."""
        return len(self._optimizer.state) > 0

    def weight(self, parameter: nn.Parameter) -> Tensor:
        """A weight in the precision that the model computes in; a copy where it had to be gathered."""
        if self._stage < 3:
            return parameter.detach()
        from deepspeed.runtime.zero import GatheredParameters

        with GatheredParameters([parameter]):
            return parameter.detach().clone()

    def masters(self) -> dict[str, Tensor]:
        """Weights and saved buffers of the inner model in float32 on the CPU, by the module's names; rank 0 only."""
        found: dict[str, Tensor] = {}
        seen: dict[int, Tensor] = {}
        for name, tensor in self._module.state_dict(keep_vars=True).items():
            # A tied weight has two names and is one tensor.
            if id(tensor) not in seen:
                value = self.master(tensor) if isinstance(tensor, nn.Parameter) else tensor
                seen[id(tensor)] = whole(value) if dist.get_rank() == 0 else value.new_empty(0)
            found[name] = seen[id(tensor)]
        return found

    def moments(self) -> Iterator[tuple[str, Tensor]]:
        """AdamW's state as ``INDEX.NAME`` and tensor, in the module's order; nothing before the first step."""
        if not self.ready:
            return
        for index, parameter in enumerate(self._module.parameters()):
            # One tensor for all: a file takes each only once.
            yield f"{index}.step", next(iter(self._optimizer.state.values()))["step"].clone()
            for name in MOMENTS:
                yield f"{index}.{name}", self._moment(parameter, name)

    @torch.no_grad()
    def restore(self, weights: Mapping[str, Tensor], moments: Mapping[str, Tensor], steps: int) -> None:
        """Take over weights by the module's names and moments as :meth:`moments` gave them; none at all are zero."""
        for name, buffer in self._module.named_buffers():
            if name in weights:
                buffer.copy_(weights[name])
        for index, (name, parameter) in enumerate(self._module.named_parameters()):
            self._set_weight(parameter, weights[name])
            for key in MOMENTS:
                none = torch.zeros(full_shape(parameter))
                self._set_moment(parameter, key, moments[f"{index}.{key}"] if moments else none)
        for entry in self._optimizer.state.values():
            entry["step"].fill_(steps)

    def master(self, parameter: nn.Parameter) -> Tensor:
        """The float32 weight that the optimizer steps, whole."""
        if self._stage == 0:
            return parameter
        from deepspeed.utils import safe_get_full_fp32_param

        value: Tensor = safe_get_full_fp32_param(parameter)
        return value

    def _moment(self, parameter: nn.Parameter, name: str) -> Tensor:
        if self._stage == 0:
            own: Tensor = self._optimizer.state[parameter][name]
            return own
        from deepspeed.utils import safe_get_full_optimizer_state

        value: Tensor = safe_get_full_optimizer_state(parameter, name)
        return value

    def _set_weight(self, parameter: nn.Parameter, value: Tensor) -> None:
        """Master and weight."""
        if self._stage == 0:
            parameter.copy_(value)
            return
        from deepspeed.runtime.zero import GatheredParameters
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_local_fp32_param

        with GatheredParameters([parameter], modifier_rank=0, enabled=self._stage == 3):
            parameter.copy_(value)
        if self._stage == 3:
            safe_set_local_fp32_param(parameter, local_partition(parameter, value))
        else:
            safe_set_full_fp32_param(parameter, value)

    def _set_moment(self, parameter: nn.Parameter, name: str, value: Tensor) -> None:
        if self._stage == 0:
            self._optimizer.state[parameter][name].copy_(value)
            return
        from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

        if self._stage == 3:
            safe_set_local_optimizer_state(parameter, local_partition(parameter, value), name)
        else:
            safe_set_full_optimizer_state(parameter, value, name)


def local_partition(parameter: nn.Parameter, value: Tensor) -> Tensor:
    """What this rank holds at stage 3 of a whole tensor: an equal part of it, the last filled up with zeros.

    DeepSpeed's own setters of whole tensors fail where the parts do not come out even.
    """
    size, rank = parameter.partition_numel(), dist.get_rank()  # type: ignore[attr-defined]
    padded = nn.functional.pad(value.flatten(), (0, size * dist.get_world_size() - value.numel()))
    return padded[rank * size : (rank + 1) * size]
