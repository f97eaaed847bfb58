"""Verdicts become rewards: outcomes, the penalty on length, and which responses the policy learns from."""

from __future__ import annotations

from typing import Any

import pytest

from asyppo_cli.config.load import load
from asyppo_cli.config.method import RewardsConfig
from asyppo_cli.training.rewards import reward
from asyppo_cli.training.rollouts.rollout import Rollout
from asyppo_cli.types import Problem, Prompt, Response, Verdict

LIMIT = 10


def config(**changes: Any) -> RewardsConfig:
    return load([f"rewards.{key}={value}" for key, value in changes.items()]).config.rewards


@pytest.fixture
def rollout() -> Rollout:
    """A right response of 4 tokens, a right one of 8, and a wrong one that the limit of 10 cuts."""
    responses = [Response(range(n), [0.0] * n, truncated=n == LIMIT) for n in (4, 8, LIMIT)]
    verdicts = [Verdict("right", 1.0, "1"), Verdict("right", 1.0, "1"), Verdict("wrong", 0.0, "2")]
    return Rollout([Prompt(Problem("p", "?", "1"), (7, 8))], responses, ["", "", ""], verdicts)


def test_outcomes_are_those_graded_and_all_count(rollout: Rollout) -> None:
    found = reward(rollout, config(), LIMIT)
    assert found.outcomes.tolist() == [1.0, 1.0, 0.0]
    assert found.counted.tolist() == [True, True, True]


def test_cut_responses_are_left_out_where_they_are_masked(rollout: Rollout) -> None:
    found = reward(rollout, config(truncated="mask"), LIMIT)
    assert found.counted.tolist() == [True, True, False]
    assert found.outcomes.tolist() == [1.0, 1.0, 0.0]


def test_the_length_penalty_changes_rewards_and_not_what_is_correct(rollout: Rollout) -> None:
    # DAPO: min(-(length - (limit - cache)) / cache, 0) with a cache of 4.
    found = reward(rollout, config(overlong_cache=4), LIMIT)
    assert found.outcomes.tolist() == [1.0, 0.5, -1.0]
    assert found.correct.tolist() == [True, True, False]
