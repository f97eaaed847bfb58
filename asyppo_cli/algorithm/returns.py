"""Rewards, returns and advantages of responses.

Legend: ``B`` responses, ``T`` tokens. ``mask`` is True at response tokens, which come first in each row; padding is
never read and holds 0 in every result. Nothing here carries gradients.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from asyppo_cli.algorithm.rows import blocks, clean_rows, fresh_like, last_tokens, response_lengths, zero_padding
from asyppo_cli.algorithm.scan import Scan


def outcome_rewards(rewards: Float[Tensor, " B"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """Rewards per token: each response's outcome on its last token, 0 elsewhere."""
    per_token = torch.zeros(mask.shape, dtype=rewards.dtype, device=rewards.device)
    last = last_tokens(mask)[:, None]
    return per_token.scatter_(1, last, (rewards[:, None]).where(mask.gather(1, last), 0.0))


class Estimates(NamedTuple):
    """Advantages and lambda-returns, both ``[B, T]``."""

    advantages: Tensor
    returns: Tensor


def gae(
    rewards: Float[Tensor, "B T"],
    values: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    gamma: float,
    lambd: float | Float[Tensor, " B"],
) -> Estimates:
    """Generalised advantage estimates ``A_t = sum_l (gamma lambda)^l delta_{t+l}``, and the returns ``A_t + V_t``.

    ``delta_t = r_t + gamma V_{t+1} - V_t`` with ``V = 0`` after the last token (Schulman et al. 2016, arXiv 1506.02438,
    eq. 16). Computed as ``A_t = G_t - V_t`` from the lambda-returns ``G_t = r_t + gamma ((1 - lambda) V_{t+1} + lambda
    G_{t+1})`` (Sutton & Barto 2018, eq. 12.18), so that at gamma = lambda = 1 ``G_t = R`` and ``A_t = R - V_t`` to the
    bit. ``lambd`` is one number, or one per response. ValueError where response tokens do not come first in each row.
    """
    decay = gamma * torch.as_tensor(lambd, dtype=torch.float64, device=values.device)
    scan = Scan.of(decay, values.shape[1], values.dtype)
    advantages, returns = fresh_like(values), fresh_like(values)
    for rows in blocks(values):
        value, reward = clean_rows(rows, mask, values, rewards)
        if isinstance(lambd, Tensor):
            reward[:, :-1].addcmul_(value[:, 1:], gamma * (1.0 - lambd[rows, None]))
        elif lambd != 1.0:
            reward[:, :-1].add_(value[:, 1:], alpha=gamma * (1.0 - lambd))
        returns[rows] = scan.rows(rows)(reward)
        torch.sub(returns[rows], value, out=advantages[rows])
    return Estimates(advantages, returns)


def length_adaptive_lambda(lengths: Int[Tensor, " B"], alpha: float) -> Float[Tensor, " B"]:
    """``lambda = 1 - 1/(alpha l)`` for a response of ``l`` tokens, within [0, 1] (VAPO, arXiv 2504.05118, section 4.2).

    ValueError unless ``alpha`` is positive.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be positive, but is {alpha}")
    return (1.0 - 1.0 / (alpha * lengths.clamp(min=1).float())).clamp(0.0, 1.0)


def whitened(x: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """``(x - mean) / sqrt(var + 1e-8)`` over all valid tokens, with their population variance; no tokens: all 0."""
    clean = zero_padding(x, mask)
    count = response_lengths(mask).sum().clamp(min=1)
    centred = zero_padding(clean - clean.sum() / count, mask)
    variance = centred.square().sum() / count
    return centred * torch.rsqrt(variance + 1e-8)
