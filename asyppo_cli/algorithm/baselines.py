"""Advantages without a critic, from comparing responses with each other.

Legend: ``B`` responses. ``rewards`` are outcomes; ``prompt_index`` says which prompt each response answers, in any
order, and groups may differ in size. Standard deviations are those of a sample (divided by G - 1, as in the usual
implementations, which the published numbers come from); a group of one has standard deviation 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def grpo(rewards: Float[Tensor, " B"], prompt_index: Int[Tensor, " B"], eps: float = 1e-6) -> Float[Tensor, " B"]:
    """``A = (R - mean_G) / (std_G + eps)``, sample std (Shao et al. 2024, DeepSeekMath, arXiv 2402.03300, 4.1.2)."""
    group, sizes = _groups(prompt_index)
    centred = _centred(rewards, group, sizes)
    squares = _sum_by(centred.square(), group, len(sizes))
    std = (squares / (sizes - 1).clamp(min=1)).sqrt()
    return centred / (std[group] + eps)


def dr_grpo(rewards: Float[Tensor, " B"], prompt_index: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
    """``A = R - mean_G`` (Liu et al. 2025, arXiv 2503.20783, section 3.2)."""
    return _centred(rewards, *_groups(prompt_index))


def rloo(rewards: Float[Tensor, " B"], prompt_index: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
    """``A = G/(G-1) (R - mean_G)``: the reward less the mean of the group's others (Ahmadian et al. 2024, 2402.14740).

    ValueError if a group has a single response: it has no others.
    """
    group, sizes = _groups(prompt_index)
    if bool((sizes == 1).any()):
        alone = int(prompt_index[sizes[group] == 1][0])
        raise ValueError(f"rloo compares a prompt's responses, but prompt {alone} has only one: sample at least 2")
    return _centred(rewards, group, sizes) * (sizes / (sizes - 1))[group].to(rewards.dtype)


def reinforce_pp(rewards: Float[Tensor, " B"], eps: float = 1e-6) -> Float[Tensor, " B"]:
    """``A = (R - mean) / (std + eps)`` over the batch, sample std (Hu et al. 2025, REINFORCE++, arXiv 2501.03262).

    Every response counts once; implementations that whiten tokens let long responses count more.
    """
    centred = _centred_over_batch(rewards)
    return centred / (_std(centred) + eps)


def reinforce_pp_baseline(
    rewards: Float[Tensor, " B"], prompt_index: Int[Tensor, " B"], eps: float = 1e-6
) -> Float[Tensor, " B"]:
    """:func:`reinforce_pp` of ``R - mean_G``: the baseline variant of the same paper."""
    return reinforce_pp(dr_grpo(rewards, prompt_index), eps)


def lite_ppo(rewards: Float[Tensor, " B"], prompt_index: Int[Tensor, " B"], eps: float = 1e-6) -> Float[Tensor, " B"]:
    """``A = (R - mean_G) / (std_batch + eps)``: sample std of all rewards (Liu et al. 2025, arXiv 2508.08221)."""
    return dr_grpo(rewards, prompt_index) / (_std(_centred_over_batch(rewards)) + eps)


def overlong_penalty(lengths: Int[Tensor, " B"], max_length: int, cache: int) -> Float[Tensor, " B"]:
    """Penalty of long responses: 0 up to ``max_length - cache`` tokens, then linearly down to -1 at ``max_length``.

    DAPO (Yu et al. 2025, arXiv 2503.14476), eq. 13. ValueError unless ``0 < cache < max_length``.
    """
    if not 0 < cache < max_length:
        raise ValueError(f"cache must lie between 0 and max_length={max_length}, but is {cache}")
    excess = (lengths - (max_length - cache)).float() / cache
    return -excess.clamp(0.0, 1.0)


def uniform_groups(rewards: Float[Tensor, " B"], prompt_index: Int[Tensor, " B"]) -> Bool[Tensor, " B"]:
    """True for the responses of prompts whose rewards are all equal: nothing can be learnt by comparing them."""
    group, sizes = _groups(prompt_index)
    low = rewards.new_zeros(len(sizes)).scatter_reduce_(0, group, rewards, "amin", include_self=False)
    high = rewards.new_zeros(len(sizes)).scatter_reduce_(0, group, rewards, "amax", include_self=False)
    return (low == high)[group]


def _groups(prompt_index: Tensor) -> tuple[Tensor, Tensor]:
    """Group number of each response ``[B]``, and size of each group."""
    _, group, sizes = torch.unique(prompt_index, return_inverse=True, return_counts=True)
    return group, sizes


def _sum_by(x: Tensor, group: Tensor, groups: int) -> Tensor:
    return x.new_zeros(groups).scatter_add_(0, group, x)


def _centred(rewards: Tensor, group: Tensor, sizes: Tensor) -> Tensor:
    # Measured from the group's lowest reward, so that equal rewards give exactly 0 whatever their sum rounds to.
    low = rewards.new_zeros(len(sizes)).scatter_reduce_(0, group, rewards, "amin", include_self=False)
    above = rewards - low[group]
    return above - (_sum_by(above, group, len(sizes)) / sizes)[group]


def _centred_over_batch(rewards: Tensor) -> Tensor:
    above = rewards - rewards.min()
    return above - above.mean()


def _std(centred: Tensor) -> Tensor:
    return (centred.square().sum() / max(len(centred) - 1, 1)).sqrt()
