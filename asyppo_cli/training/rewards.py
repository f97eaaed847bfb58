"""Where verdicts become rewards: the place to add or change one.

A grader gives each response a verdict with the outcome as graded (:class:`~asyppo_cli.types.Verdict`), which a function
of the user's may replace (:mod:`~asyppo_cli.tasks.grading.reward_pool`). Here outcomes
become the rewards that advantages are computed from, and it is decided which responses count in the policy's loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from asyppo_cli.algorithm.baselines import overlong_penalty
from asyppo_cli.config.method import RewardsConfig
from asyppo_cli.training.rollouts.rollout import Rollout


@dataclass(frozen=True)
class Rewards:
    """Of each response, ``[B]``: ``outcomes`` float32, the reward at its last token; ``counted`` bool, whether it is in
    the policy's loss; ``correct`` bool, by the verifier: whether its likelihood is raised (``policy_loss.nll_coef``).
    """

    outcomes: Tensor
    counted: Tensor
    correct: Tensor


def reward(rollout: Rollout, config: RewardsConfig, response_length: int) -> Rewards:
    """Rewards of a graded batch; ``response_length`` is the length limit in tokens.

    A response that the limit cuts keeps the outcome as graded, and counts unless ``config.truncated`` masks it.
    ``config.overlong_cache`` adds a penalty that grows before the limit (DAPO).
    """
    outcomes, counted = rollout.rewards, torch.ones(len(rollout.responses), dtype=torch.bool)
    if config.overlong_cache:
        lengths = torch.tensor([len(response.tokens) for response in rollout.responses])
        outcomes = outcomes + overlong_penalty(lengths, response_length, config.overlong_cache)
    if config.truncated == "mask":
        counted = ~rollout.truncated
    correct = torch.tensor([verdict.kind == "right" for verdict in rollout.verdicts])
    return Rewards(outcomes, counted, correct)
