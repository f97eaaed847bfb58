"""What a distribution over a vocabulary says of one token, without ever holding the distribution of many tokens.

A plain output head makes tokens x vocabulary logits, and autograd keeps several such tables in float32: with 150
thousand words that is most of a learner's memory. Here the vocabulary is gone through in blocks, each only as wide as
fits a tile; sums over it are carried along (a softmax needs its largest logit and a sum only), and the backward pass
makes each block's logits once more. Blocks of the vocabulary, not of tokens: each is read once a pass, and its gradient
is written once instead of being added up.
Shapes: ``N`` tokens, ``D`` hidden size, ``V`` words of the vocabulary, ``v`` words of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

# Logits of one block, as many as stay near the processor; measured, see docs/real_model.md.
BLOCK_LOGITS = {"cpu": 2**21, "cuda": 2**24}
# Narrower blocks would leave matrix products nothing to do.
MIN_BLOCK = 256
# Below every logit, and finite: differences to it have to be numbers.
MIN_LOGIT = -1e30


def token_statistics(head: nn.Linear, hidden: Tensor, chosen: Tensor, temperature: float) -> tuple[Tensor, ...]:
    """Log-probability and entropy of ``chosen`` ``[N]`` under ``hidden`` ``[N, D]``, and the squared mass elsewhere.

    float32 ``[N]`` each, the last without gradient. Logits are divided by ``temperature``, and computed in the
    precision of autocast where that is on, else of the weights.
    """
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else head.weight.dtype

    def forward(hidden: Tensor) -> Tensor:
        table: Tensor = _TokenStatistics.apply(hidden, head.weight, head.bias, chosen, temperature, dtype)  # type: ignore[no-untyped-call]
        return table

    logprobs, entropy, elsewhere = call_with_forward(head, forward, hidden).unbind()
    return logprobs, entropy, elsewhere.detach()


def statistics_of_logits(logits: Tensor, chosen: Tensor, temperature: float) -> tuple[Tensor, ...]:
    """The same from logits ``[N, V]``, for heads that do more than multiply: plain autograd, which holds them all."""
    log_pi = (logits.float() / temperature).log_softmax(-1)
    pi = log_pi.exp()
    elsewhere = pi.detach().square().scatter(-1, chosen[:, None], 0.0).sum(-1)
    return log_pi.gather(-1, chosen[:, None])[:, 0], -(pi * log_pi).sum(-1), elsewhere


def call_with_forward(module: nn.Module, forward: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
    """Call ``module`` with another ``forward``, for this once: hooks take notice of nothing else than the call.

    DeepSpeed's hooks bring a weight that is shared out over ranks (stage 3) before the call and before its backward
    pass; they expect one tensor in and one out.
    """
    module.forward = forward
    try:
        result: Tensor = module(given)
    finally:
        del module.forward
    return result


class _TokenStatistics(torch.autograd.Function):
    """``[3, N]``: log-probabilities, entropies, squared mass elsewhere; the gradient takes no notice of the last."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, chosen: Tensor, temperature: float, dtype: Any
    ) -> Tensor:
        cast = hidden.to(dtype)
        sums = OnlineSoftmax(chosen)
        for first, logits in blocks(cast, weight, bias, temperature):
            sums.add(first, logits)
        normalizer, table = sums.normalizer(), sums.table()
        ctx.save_for_backward(hidden, weight, bias, chosen, normalizer, table[1])
        ctx.temperature, ctx.dtype = temperature, dtype
        return table

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, chosen, normalizer, entropy = ctx.saved_tensors
        cast = hidden.to(ctx.dtype)
        slope = partial(logit_gradient, upstream[0], chosen, normalizer, entropy)
        to_hidden = torch.zeros_like(hidden, dtype=torch.float32)
        to_weight = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        to_bias = torch.empty_like(bias) if bias is not None else None
        for first, logits in blocks(cast, weight, bias, ctx.temperature):
            part = slice(first, first + logits.shape[1])
            gradient = slope(first, logits).div_(ctx.temperature)
            if to_bias is not None:
                to_bias[part] = gradient.sum(0)
            gradient = gradient.to(ctx.dtype)
            to_hidden += gradient @ weight[part].to(ctx.dtype)
            if to_weight is not None:
                to_weight[part] = gradient.t() @ cast
        return to_hidden.to(hidden.dtype), to_weight, to_bias, None, None, None


def blocks(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float) -> Iterator[tuple[int, Tensor]]:
    """First word and float32 logits ``[N, v]`` of every block of the vocabulary; the caller may change them."""
    width = max(MIN_BLOCK, BLOCK_LOGITS[hidden.device.type] // max(1, len(hidden)))
    for first in range(0, len(weight), width):
        part = slice(first, first + width)
        offset = None if bias is None else bias[part].to(hidden.dtype)
        logits = nn.functional.linear(hidden, weight[part].to(hidden.dtype), offset).float()
        yield first, logits if temperature == 1.0 else logits.div_(temperature)


class OnlineSoftmax:
    """What is carried from block to block, ``[N]`` each, relative to the largest logit so far."""

    def __init__(self, chosen: Tensor) -> None:
        zeros = torch.zeros(len(chosen), device=chosen.device)
        self._chosen = chosen
        self._top = torch.full_like(zeros, MIN_LOGIT)
        self._own = self._mass = self._moment = self._squares = zeros

    def add(self, first: int, logits: Tensor) -> None:
        """Count a block in, that begins with the word ``first``; its logits are used up."""
        place, inside = block_column(self._chosen, first, logits.shape[1])
        self._own = torch.where(inside, logits.gather(1, place)[:, 0], self._own)
        top = torch.maximum(self._top, logits.amax(1))
        lowered = self._top - top
        shrink, self._top = lowered.exp(), top
        logits -= top[:, None]
        mass = logits.exp()
        self._moment = (self._moment + lowered * self._mass) * shrink + logits.mul_(mass).sum(1)
        self._mass = self._mass * shrink + mass.sum(1)
        # Taken out before squares are summed: what one subtracts from 1 afterwards is rounding.
        mass.scatter_(1, place, mass.gather(1, place).masked_fill(inside[:, None], 0.0))
        self._squares = self._squares * shrink.square() + torch.linalg.vector_norm(mass, dim=1).square()

    def normalizer(self) -> Tensor:
        """Logarithm of the sum of all exponentials."""
        return self._top + self._mass.log()

    def table(self) -> Tensor:
        """Log-probability, entropy and squared mass elsewhere, ``[3, N]``."""
        log_mass = self._mass.log()
        return torch.stack(
            [
                self._own - self._top - log_mass,
                log_mass - self._moment / self._mass,
                self._squares / self._mass.square(),
            ]
        )


def logit_gradient(
    upstream: Tensor, chosen: Tensor, normalizer: Tensor, entropy: Tensor, first: int, logits: Tensor
) -> Tensor:
    """Gradient ``[N, v]`` with respect to a block's logits, which are used up.

    With ``g`` and ``h`` the gradients that come from log-probability and entropy: ``g (1 - pi)`` at the chosen word and
    ``-g pi`` at all others, and ``-h pi (log pi + H)``.
    """
    own, entropy_slope, _ = upstream[:, :, None]
    logits -= normalizer[:, None]
    mass = logits.exp()
    gradient = logits.mul_(-entropy_slope).sub_(own + entropy_slope * entropy[:, None]).mul_(mass)
    place, inside = block_column(chosen, first, logits.shape[1])
    return gradient.scatter_add_(1, place, own.masked_fill(~inside[:, None], 0.0))


def block_column(chosen: Tensor, first: int, width: int) -> tuple[Tensor, Tensor]:
    """Column of each chosen word in a block, ``[N, 1]``, and whether it lies there at all, ``[N]``."""
    place = chosen - first
    return place.clamp(0, width - 1)[:, None], (place >= 0) & (place < width)
