"""Critic-free advantages against loops over groups, and by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from asyppo_cli.algorithm import baselines

PROMPT_INDEX = torch.tensor([7, 3, 7, 3, 7, 11, 11])
REWARDS = torch.tensor([1.0, 0.5, 0.0, 0.25, 0.0, 1.0, 1.0])


def by_group(rewards: Tensor, prompt_index: Tensor, advantage: object) -> Tensor:
    result = torch.zeros_like(rewards)
    for prompt in prompt_index.unique():
        rows = prompt_index == prompt
        result[rows] = advantage(rewards[rows])  # type: ignore[operator]
    return result


def test_grpo_and_dr_grpo() -> None:
    expected = by_group(REWARDS, PROMPT_INDEX, lambda r: (r - r.mean()) / (r.std() + 1e-6))
    assert torch.allclose(baselines.grpo(REWARDS, PROMPT_INDEX), expected)
    expected = by_group(REWARDS, PROMPT_INDEX, lambda r: r - r.mean())
    assert torch.allclose(baselines.dr_grpo(REWARDS, PROMPT_INDEX), expected)


def test_rloo_is_the_reward_less_the_mean_of_the_others() -> None:
    def others(r: Tensor) -> Tensor:
        return torch.stack([r[i] - torch.cat([r[:i], r[i + 1 :]]).mean() for i in range(len(r))])

    assert torch.allclose(baselines.rloo(REWARDS, PROMPT_INDEX), by_group(REWARDS, PROMPT_INDEX, others), atol=1e-6)


def test_rloo_names_the_prompt_with_one_response() -> None:
    with pytest.raises(ValueError, match="prompt 9 has only one"):
        baselines.rloo(torch.tensor([1.0, 0.0, 1.0]), torch.tensor([4, 9, 4]))


def test_batch_whitened_baselines() -> None:
    assert torch.allclose(baselines.reinforce_pp(REWARDS), (REWARDS - REWARDS.mean()) / (REWARDS.std() + 1e-6))
    centred = by_group(REWARDS, PROMPT_INDEX, lambda r: r - r.mean())
    result = baselines.reinforce_pp_baseline(REWARDS, PROMPT_INDEX)
    assert torch.allclose(result, centred / (centred.std() + 1e-6), atol=1e-6)
    assert torch.allclose(baselines.lite_ppo(REWARDS, PROMPT_INDEX, 0.1), centred / (REWARDS.std() + 0.1), atol=1e-6)


@pytest.mark.parametrize("reward", [0.0, 0.1, 1.0])
def test_equal_rewards_give_exactly_zero(reward: float) -> None:
    # 0.1 + 0.1 + 0.1 divided by 3 is not 0.1: a naive mean divided by eps would not vanish.
    rewards, prompt_index = torch.full((7,), reward), torch.zeros(7, dtype=torch.long)
    for name in ("grpo", "dr_grpo", "rloo", "reinforce_pp_baseline", "lite_ppo"):
        assert torch.equal(getattr(baselines, name)(rewards, prompt_index), torch.zeros(7)), name
    assert torch.equal(baselines.reinforce_pp(rewards), torch.zeros(7))


def test_a_single_response_has_no_advantage() -> None:
    rewards, prompt_index = torch.tensor([0.7]), torch.tensor([0])
    assert baselines.grpo(rewards, prompt_index).tolist() == [0.0]
    assert baselines.reinforce_pp(rewards).tolist() == [0.0]


def test_order_of_responses_changes_nothing() -> None:
    order = torch.tensor([6, 2, 0, 5, 3, 1, 4])
    expected = baselines.grpo(REWARDS, PROMPT_INDEX)[order]
    assert torch.allclose(baselines.grpo(REWARDS[order], PROMPT_INDEX[order]), expected)


def test_overlong_penalty() -> None:
    lengths = torch.tensor([1, 80, 85, 90, 100, 130])
    expected = torch.tensor([0.0, 0.0, -0.25, -0.5, -1.0, -1.0])
    assert torch.equal(baselines.overlong_penalty(lengths, 100, 20), expected)
    with pytest.raises(ValueError, match="cache must lie between"):
        baselines.overlong_penalty(lengths, 100, 100)


def test_uniform_groups() -> None:
    expected = [False, False, False, False, False, True, True]
    assert baselines.uniform_groups(REWARDS, PROMPT_INDEX).tolist() == expected
    assert baselines.uniform_groups(torch.tensor([0.3]), torch.tensor([5])).tolist() == [True]
