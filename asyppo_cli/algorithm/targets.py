"""From critics' values and rewards to everything the losses need, fixed for the whole step.

Legend: ``M`` critics, ``B`` responses, ``T`` tokens. AsyPPO (arXiv 2510.01656): aggregate the critics first, then one
GAE; gates from the critics' disagreement, built once and frozen over the policy's epochs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from asyppo_cli.algorithm.critics import Aggregation, AggregationFunction, aggregate, disagreement
from asyppo_cli.algorithm.gating import build_gates, random_signal
from asyppo_cli.algorithm.returns import gae, whitened
from asyppo_cli.algorithm.rows import blocks, clean_rows, fresh_like, zero_padding

Signal = Literal["value_std", "entropy", "random", "none"]


@dataclass(frozen=True)
class Targets:
    """All ``[B, T]``, 0 or False at padding: aggregate values, sigma, advantages, the critics' returns, both gates.

    ``tied_share`` of tokens was masked or kept by the order of ties alone (:func:`gating.tied_share`).
    """

    values: Tensor
    disagreement: Tensor
    advantages: Tensor
    returns: Tensor
    advantage_kept: Tensor
    entropy_kept: Tensor
    tied_share: float


def asymmetric_targets(
    values: Float[Tensor, "M B T"],
    rewards: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    *,
    gamma: float,
    lambd: float | Float[Tensor, " B"],
    critic_lambd: float | None,
    aggregation: Aggregation | AggregationFunction,
    whiten: bool,
    mask_pct: float,
    entropy_filter_pct: float,
    mask_signal: Signal | Tensor,
    entropy_filter_signal: Signal | Tensor,
    entropy: Float[Tensor, "B T"] | None,
    scope_of_row: Int[Tensor, " B"] | None,
    seed: int,
    advantages: Float[Tensor, " B"] | Float[Tensor, "B T"] | None = None,
) -> Targets:
    """Targets of a batch from M critics, whose every value of every response is given.

    ``critic_lambd`` None: the critics' returns use ``lambd``. ``advantages`` ``[B]`` or ``[B, T]`` stand in place of
    those of GAE. ``whiten`` whitens the advantages, not the returns. Signals rank tokens for the gates (a tensor ``[B,
    T]``; ``random`` by ``seed``, which orders ties too; ``entropy`` needs the policy's); ``value_std`` of a single
    critic ranks nothing, and its gate is off. ``scope_of_row`` as in :func:`gating.lowest`. ValueError as in
    :mod:`returns` and :mod:`gating`, and for the entropy signal without an entropy.
    """
    mean, std = _combine(values, mask, aggregation)
    estimated, returns = gae(rewards, mean, mask, gamma, lambd)
    if critic_lambd is not None:
        returns = gae(rewards, mean, mask, gamma, critic_lambd).returns
    per_token = estimated if advantages is None else _per_token(advantages, mask)
    if whiten:
        per_token = whitened(per_token, mask)
    std_signal = std if len(values) > 1 else None
    low, high = _signals((mask_signal, entropy_filter_signal), std_signal, entropy, mask, seed)
    gates = build_gates(mask, low, mask_pct, high, entropy_filter_pct, scope_of_row, seed)
    return Targets(mean, std, per_token, returns, gates.advantage_kept, gates.entropy_kept, gates.tied_share)


def critic_free_targets(
    advantages: Float[Tensor, " B"] | Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    *,
    whiten: bool,
    mask_pct: float,
    entropy_filter_pct: float,
    mask_signal: Signal | Tensor,
    entropy_filter_signal: Signal | Tensor,
    entropy: Float[Tensor, "B T"] | None,
    scope_of_row: Int[Tensor, " B"] | None,
    seed: int,
) -> Targets:
    """Targets without critics: every token gets its response's advantage ``[B]``, or its own ``[B, T]``; values, sigma
    and returns are 0.

    Gates as in :func:`asymmetric_targets`; the ``value_std`` signal does not exist, and its gate is off.
    """
    per_token = _per_token(advantages, mask)
    if whiten:
        per_token = whitened(per_token, mask)
    low, high = _signals((mask_signal, entropy_filter_signal), None, entropy, mask, seed)
    gates = build_gates(mask, low, mask_pct, high, entropy_filter_pct, scope_of_row, seed)
    nothing = torch.zeros_like(per_token)
    return Targets(nothing, nothing, per_token, nothing, gates.advantage_kept, gates.entropy_kept, gates.tied_share)


def _per_token(advantages: Tensor, mask: Tensor) -> Tensor:
    """Advantages of responses or tokens as ``[B, T]``, 0 at padding."""
    return zero_padding(advantages if advantages.ndim == 2 else advantages[:, None].expand(mask.shape), mask)


def _combine(values: Tensor, mask: Tensor, aggregation: Aggregation | AggregationFunction) -> tuple[Tensor, Tensor]:
    """The critics' aggregate and their disagreement, a few rows at a time; a function is given the whole batch."""
    mean, std = fresh_like(values[0]), fresh_like(values[0])
    for rows in blocks(mask):
        (clean,) = clean_rows(rows, mask, values)
        std[rows] = disagreement(clean)
        if not callable(aggregation):
            mean[rows] = aggregate(clean, aggregation)
    return zero_padding(aggregation(zero_padding(values, mask), mask), mask) if callable(aggregation) else mean, std


def _signals(
    kinds: tuple[Signal | Tensor, Signal | Tensor],
    std: Tensor | None,
    entropy: Tensor | None,
    mask: Tensor,
    seed: int,
) -> tuple[Tensor | None, Tensor | None]:
    """The tensor behind each of two signals, the same one where they are of the same kind; None: a gate is off."""
    names = [kind for kind in kinds if isinstance(kind, str)]
    if "entropy" in names and entropy is None:
        raise ValueError("signal=entropy ranks tokens by the policy's entropy, but none was given: pass entropy")
    noise = random_signal(mask, seed) if "random" in names else None
    known = {"value_std": std, "entropy": entropy, "random": noise, "none": None}
    low, high = (known[kind] if isinstance(kind, str) else kind for kind in kinds)
    return low, high
