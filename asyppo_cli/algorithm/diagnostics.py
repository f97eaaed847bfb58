"""Numbers that say how critics and policy are doing; none enters a loss.

Legend: ``M`` critics, ``B`` responses, ``T`` tokens. ``mask`` is True at response tokens.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def explained_variance(values: Float[Tensor, "B T"], returns: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"]) -> float:
    """``1 - Var(R - V) / Var(R)`` over valid tokens: 1 is perfect, 0 no better than a constant.

    0.0 where the returns do not vary, so that a batch of equal outcomes neither praises nor blames a critic.
    """
    target, error = returns[mask], (returns - values)[mask]
    spread = _sum_of_squares(target)
    return 1.0 - _sum_of_squares(error) / spread if spread > 0.0 else 0.0


def correlation(values: Float[Tensor, "M B T"], mask: Bool[Tensor, "B T"]) -> float:
    """Mean Pearson correlation over all pairs of critics; 0.0 for one critic, and for a pair with a constant critic."""
    critics = len(values)
    if critics < 2 or not bool(mask.any()):
        return 0.0
    centred = _centred(values[:, mask])
    products = centred @ centred.T
    norms = products.diagonal().sqrt()
    scale = norms[:, None] * norms
    pearson = torch.where(scale > 0, products / scale, torch.zeros_like(scale))
    return float(pearson.triu(1).sum()) / (critics * (critics - 1) / 2)


def policy_gradient_norm(
    ratio: Float[Tensor, "B T"],
    advantages: Float[Tensor, "B T"],
    clipped: Bool[Tensor, "B T"],
    logprobs: Float[Tensor, "B T"],
    others_squared: Float[Tensor, "B T"],
    temperature: float = 1.0,
) -> Float[Tensor, "B T"]:
    """Norm of each token's policy-loss gradient with respect to its logits, 0 where clipped.

    ``|A| rho |onehot(o_t) - pi|_2 / temperature``, where ``|onehot - pi|^2 = (1 - p)^2 + sum_{v != o_t} pi_v^2`` with p
    the token's probability and ``others_squared`` that sum (so written, nothing cancels where p is nearly 1). ``pi`` is
    the softmax of the logits divided by ``temperature``.
    """
    distance = (torch.expm1(logprobs).square() + others_squared).sqrt()
    norm = advantages.abs() * ratio * distance / temperature
    return norm.masked_fill(clipped, 0.0)


def _centred(x: Tensor) -> Tensor:
    # Measured from the first entry, so that a constant has deviations of exactly 0.
    above = x - x[..., :1]
    return above - above.mean(-1, keepdim=True)


def _sum_of_squares(x: Tensor) -> float:
    return float(_centred(x).square().sum()) if len(x) else 0.0
