"""Rewards, returns and advantages of responses.

Legend: ``B`` responses, ``T`` tokens. ``mask`` is True at response tokens, which come first in each row; padding is
never read and holds 0 in every result. Nothing here carries gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from asyppo_cli.algorithm.rows import blocks, clean_rows, fresh_like, last_tokens, response_lengths, zero_padding
from asyppo_cli.algorithm.scan import Scan


@dataclass(frozen=True)
class LambdaReturns:
    """:func:`td_lambda` prepared for a batch, to be applied to some rows at a time."""

    gamma: float
    lambd: float | Tensor
    scan: Scan

    @staticmethod
    def of(gamma: float, lambd: float | Tensor, values: Tensor) -> LambdaReturns:
        """For rows of ``values [B, T]``; ``lambd`` is one number or ``[B]``."""
        decay = gamma * torch.as_tensor(lambd, dtype=torch.float64, device=values.device)
        return LambdaReturns(gamma, lambd, Scan.of(decay, values.shape[1], values.dtype))

    def __call__(self, rows: slice, rewards: Tensor, values: Tensor) -> Tensor:
        """The rows' returns. Rewards (which are overwritten) and values of these rows are 0 at padding."""
        if isinstance(self.lambd, Tensor):
            rewards[:, :-1].addcmul_(values[:, 1:], self.gamma * (1.0 - self.lambd[rows, None]))
        elif self.lambd != 1.0:
            rewards[:, :-1].add_(values[:, 1:], alpha=self.gamma * (1.0 - self.lambd))
        return self.scan.rows(rows)(rewards)


def outcome_rewards(rewards: Float[Tensor, " B"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """Rewards per token: each response's outcome on its last token, 0 elsewhere."""
    per_token = torch.zeros(mask.shape, dtype=rewards.dtype, device=rewards.device)
    last = last_tokens(mask)[:, None]
    return per_token.scatter_(1, last, (rewards[:, None]).where(mask.gather(1, last), 0.0))


def td_lambda(
    rewards: Float[Tensor, "B T"],
    values: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    gamma: float,
    lambd: float | Float[Tensor, " B"],
) -> Float[Tensor, "B T"]:
    """Lambda-returns ``G_t = r_t + gamma ((1 - lambda) V_{t+1} + lambda G_{t+1})``, 0 after the last token.

    Sutton & Barto (2018), eq. 12.18. At lambda = 1 the values do not enter, so at gamma = lambda = 1 every token's
    return is the outcome, to the bit. ``lambd`` is one number, or one per response. ValueError where response tokens
    do not come first in each row.
    """
    estimate = LambdaReturns.of(gamma, lambd, values)
    result = fresh_like(values)
    for rows in blocks(values):
        clean, reward = clean_rows(rows, mask, values, rewards)
        result[rows] = estimate(rows, reward, clean)
    return result


def gae(
    rewards: Float[Tensor, "B T"],
    values: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    gamma: float,
    lambd: float | Float[Tensor, " B"],
) -> Float[Tensor, "B T"]:
    """Generalised advantage estimates ``A_t = sum_l (gamma lambda)^l delta_{t+l}``.

    ``delta_t = r_t + gamma V_{t+1} - V_t`` with ``V = 0`` after the last token (Schulman et al. 2016, arXiv 1506.02438,
    eq. 16), computed as the lambda-return minus the value, so that at gamma = lambda = 1 ``A_t = R - V_t`` to the bit.
    ``lambd`` is one number, or one per response. ValueError where response tokens do not come first in each row.
    """
    estimate = LambdaReturns.of(gamma, lambd, values)
    result = fresh_like(values)
    for rows in blocks(values):
        clean, reward = clean_rows(rows, mask, values, rewards)
        torch.sub(estimate(rows, reward, clean), clean, out=result[rows])
    return result


def lambda_returns(
    advantages: Float[Tensor, "B T"], values: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"]
) -> Float[Tensor, "B T"]:
    """Value targets ``A_t + V_t``: TD(lambda) returns if the advantages are GAE's at that lambda."""
    return zero_padding(advantages, mask) + zero_padding(values, mask)


def length_adaptive_lambda(lengths: Int[Tensor, " B"], alpha: float) -> Float[Tensor, " B"]:
    """``lambda = 1 - 1/(alpha l)`` for a response of ``l`` tokens, within [0, 1] (VAPO, arXiv 2504.05118, section 4.2).

    ValueError unless ``alpha`` is positive.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be positive, but is {alpha}")
    return (1.0 - 1.0 / (alpha * lengths.clamp(min=1).float())).clamp(0.0, 1.0)


def whiten(x: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"], eps: float = 1e-8) -> Float[Tensor, "B T"]:
    """``(x - mean) / sqrt(var + eps)`` over all valid tokens, with their population variance; no tokens: all 0."""
    clean = zero_padding(x, mask)
    count = response_lengths(mask).sum().clamp(min=1)
    centred = zero_padding(clean - clean.sum() / count, mask)
    variance = centred.square().sum() / count
    return centred * torch.rsqrt(variance + eps)
