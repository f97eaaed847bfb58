"""Losses per token ``[B, T]``, before weighting, and the weights that make a loss of them.

Legend: ``B`` responses, ``T`` tokens. ``mask`` is True at response tokens. Differentiable in the first argument.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from asyppo_cli.algorithm.rows import response_lengths, select

Ratio = Literal["token", "sequence"]
KLForm = Literal["k1", "k2", "k3"]
TokenAggregation = Literal["response_mean", "token_mean", "constant"]


class ClippedLoss(NamedTuple):
    """``loss [B, T]``, and ``clipped [B, T]``: tokens whose gradient the clip sets to 0."""

    loss: Tensor
    clipped: Tensor


def token_weights(
    mask: Bool[Tensor, "B T"],
    aggregation: TokenAggregation,
    max_length: int,
    rows: Bool[Tensor, " B"] | None = None,
) -> Float[Tensor, "B T"]:
    """Weights under which the sum over tokens is the loss; 0 at padding.

    ``response_mean`` 1/(B |o|): mean over each response, then over responses (PPO, GRPO, AsyPPO). ``token_mean`` 1/N
    over all N tokens (DAPO). ``constant`` 1/(B max_length) (Dr. GRPO). Lengths are full lengths: a token that a gate
    masks stays in the denominator. ``rows`` names the responses that count at all; B and N are counted over those, and
    over responses that have a token.
    """
    lengths = response_lengths(mask)
    counts = lengths > 0 if rows is None else (lengths > 0) & rows
    responses = counts.sum().clamp(min=1)
    match aggregation:
        case "response_mean":
            per_row = 1.0 / (responses * lengths.clamp(min=1))
        case "token_mean":
            per_row = (1.0 / (lengths * counts).sum().clamp(min=1)).expand(len(lengths))
        case "constant":
            per_row = (1.0 / (responses * max_length)).expand(len(lengths))
    return (per_row * counts).float()[:, None] * mask


def importance_ratio(
    logprobs: Float[Tensor, "B T"], old_logprobs: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"], kind: Ratio
) -> Float[Tensor, "B T"]:
    """``rho_t = pi(o_t) / pi_old(o_t)``, exactly 1 where both are equal and 0 at padding.

    ``token``: each token's own (Schulman et al. 2017). ``sequence``: every token gets its response's
    ``exp(mean_t log rho_t)``, gradient included (GSPO, Zheng et al. 2025, arXiv 2507.18071, eq. 7).
    """
    log_ratio = select(logprobs - old_logprobs, mask)
    if kind == "sequence":
        lengths = response_lengths(mask).clamp(min=1)
        log_ratio = (log_ratio.sum(1) / lengths)[:, None].expand_as(log_ratio)
    return select(log_ratio.exp(), mask)


def clipped_policy_loss(
    ratio: Float[Tensor, "B T"],
    advantages: Float[Tensor, "B T"],
    clip_low: float,
    clip_high: float,
    dual_clip: float | None,
) -> ClippedLoss:
    """``-min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A)`` (Schulman et al. 2017, arXiv 1707.06347, eq. 7).

    ``dual_clip`` c > 1 bounds it at ``c |A|`` where A < 0 (Ye et al. 2020, arXiv 1912.09729, eq. 5).
    """
    bounded = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    loss = -torch.minimum(ratio * advantages, bounded * advantages)
    positive, negative = advantages > 0, advantages < 0
    clipped = (positive & (ratio > 1.0 + clip_high)) | (negative & (ratio < 1.0 - clip_low))
    if dual_clip is not None:
        beyond = negative & (ratio > dual_clip)
        loss = torch.where(beyond, -dual_clip * advantages, loss)
        clipped = clipped | beyond
    return ClippedLoss(loss, clipped)


def truncated_importance(
    old_logprobs: Float[Tensor, "B T"], sampler_logprobs: Float[Tensor, "B T"], cap: float
) -> Float[Tensor, "B T"]:
    """``min(pi_old(o_t) / pi_sampler(o_t), cap)``: truncated importance weights (Ionides 2008).

    They account for a sampler whose probabilities differ from the trainer's (other kernels, other precision, older
    weights); the cap bounds their variance. No gradient flows through them. 1 at padding.
    """
    return (old_logprobs - sampler_logprobs).exp().clamp(max=cap).detach()


def kl_estimate(
    logprobs: Float[Tensor, "B T"], reference_logprobs: Float[Tensor, "B T"], form: KLForm
) -> Float[Tensor, "B T"]:
    """Estimates of KL(pi || reference) from tokens drawn from pi (Schulman 2020, joschu.net/blog/kl-approx.html).

    With ``d = log pi - log reference``: ``k1 = d`` (unbiased), ``k2 = d^2 / 2``, ``k3 = exp(-d) - 1 + d`` (unbiased and
    never negative).
    """
    difference = logprobs - reference_logprobs
    match form:
        case "k1":
            return difference
        case "k2":
            return difference.square() / 2
        case "k3":
            return torch.expm1(-difference) + difference


def value_loss(
    values: Float[Tensor, "B T"],
    returns: Float[Tensor, "B T"],
    old_values: Float[Tensor, "B T"] | None,
    clip: float | None,
) -> Float[Tensor, "B T"]:
    """Squared error ``(V - R)^2`` (arXiv 2510.01656), without a factor 1/2.

    With ``clip``: the larger of that and the error of ``V_old + clamp(V - V_old, -clip, clip)``. ValueError if there is
    a clip but no old values.
    """
    error = (values - returns).square()
    if clip is None:
        return error
    if old_values is None:
        raise ValueError("a clipped value loss needs old_values: give them, or leave the clip out")
    near = old_values + (values - old_values).clamp(-clip, clip)
    return torch.maximum(error, (near - returns).square())
