"""What functions of the user's are given of a batch, and what is checked of what they return.

Legend: ``M`` critics, ``B`` responses, ``T`` tokens of the longest response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from asyppo_cli.algorithm import critics
from asyppo_cli.extensions.function import Extension

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class BatchView:
    """A batch as an estimator or a signal of the user's sees it; all at padding is 0 or False.

    ``rewards`` float ``[B]``; ``token_rewards`` ``[B, T]``, the same at each response's last token, with the KL term
    where that is in the reward; ``prompt_index`` int ``[B]``, which prompt a response answers; ``mask`` bool
    ``[B, T]``, True at response tokens; ``values`` ``[M, B, T]``, None without critics; ``entropy`` and ``logprobs``
    ``[B, T]`` of the policy before it learns; ``gamma`` and ``lambd`` (a number, or ``[B]``) as configured.
    """

    rewards: Tensor
    token_rewards: Tensor
    prompt_index: Tensor
    mask: Tensor
    values: Tensor | None
    entropy: Tensor
    logprobs: Tensor
    gamma: float
    lambd: float | Tensor

    @property
    def disagreement(self) -> Tensor:
        """Standard deviation of the values over the critics, ``[B, T]``; 0 with fewer than two."""
        return torch.zeros(self.mask.shape) if self.values is None else critics.disagreement(self.values)


def advantages(extension: Extension, batch: BatchView) -> Tensor:
    """What an estimator of the user's makes of a batch: finite float32 ``[B]`` or ``[B, T]``."""
    rows, tokens = batch.mask.shape
    return _floats(extension, extension(batch), {"[B]": (rows,), "[B, T]": (rows, tokens)}, batch.mask)


def signal(extension: Extension, batch: BatchView) -> Tensor:
    """What a signal of the user's makes of a batch: finite float32 ``[B, T]``."""
    return _floats(extension, extension(batch), {"[B, T]": tuple(batch.mask.shape)}, batch.mask)


def aggregation(extension: Extension) -> Callable[[Tensor, Tensor], Tensor]:
    """An aggregation of the user's whose result is checked: finite float32 ``[B, T]``."""

    def checked(values: Tensor, mask: Tensor) -> Tensor:
        return _floats(extension, extension(values, mask), {"[B, T]": tuple(mask.shape)}, mask)

    return checked


def split(extension: Extension) -> Callable[[Tensor, int], Tensor]:
    """A split of the user's whose result is checked: bool ``[M, B]``, at least one response for each critic."""

    def checked(prompt_index: Tensor, count: int) -> Tensor:
        shares = extension(prompt_index, count)
        _check_tensor(extension, shares, {"[M, B]": (count, len(prompt_index))})
        if shares.dtype != torch.bool:
            raise extension.fault(f"returned {_name(shares.dtype)}, but must return bool [M, B]")
        if not bool(shares.any(1).all()):
            raise extension.fault(
                f"gives critic {int((~shares.any(1)).nonzero()[0])} no response of {len(prompt_index)}"
            )
        checked_shares: Tensor = shares
        return checked_shares

    return checked


def per_token_loss(extension: Extension, result: object, mask: Tensor) -> Tensor:
    """A loss of the user's, checked: floats ``[B, T]`` that a gradient flows through."""
    loss = _check_tensor(extension, result, {"[B, T]": tuple(mask.shape)})
    if not loss.requires_grad:
        raise extension.fault("returned a loss without a gradient: compute it from outputs.logprobs, without detach()")
    return loss.float()


def _floats(extension: Extension, result: object, shapes: Shapes, mask: Tensor) -> Tensor:
    tensor = _check_tensor(extension, result, shapes)
    if not tensor.dtype.is_floating_point:
        raise extension.fault(f"returned {_name(tensor.dtype)}, but must return floats {' or '.join(shapes)}")
    tensor = tensor.detach().to(mask.device, torch.float32)
    used = tensor[mask] if tensor.shape == mask.shape else tensor
    if bad := int((~used.isfinite()).sum()):
        raise extension.fault(f"returned {bad:,} of {used.numel():,} numbers that are NaN or infinite")
    return tensor


def _check_tensor(extension: Extension, result: object, shapes: Shapes) -> Tensor:
    wanted = " or ".join(f"{name} = {list(shape)}" for name, shape in shapes.items())
    if not isinstance(result, Tensor):
        raise extension.fault(f"returned a {type(result).__name__}, but must return a tensor {wanted}")
    if tuple(result.shape) not in shapes.values():
        raise extension.fault(f"returned a tensor {list(result.shape)}, but must return {wanted}")
    return result


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
