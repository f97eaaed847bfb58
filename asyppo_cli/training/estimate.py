"""From rewards and the critics' values to advantages, returns and gates, as configured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from asyppo_cli.algorithm import baselines, losses, returns, targets
from asyppo_cli.algorithm.targets import Targets
from asyppo_cli.config.method import AdvantageConfig, CriticsConfig, GatesConfig, PolicyLossConfig
from asyppo_cli.types import PolicyOutputs


@dataclass(frozen=True)
class Estimator:
    """Holds the settings of the method."""

    advantage: AdvantageConfig
    critics: CriticsConfig
    gates: GatesConfig
    policy_loss: PolicyLossConfig

    @property
    def needs_old_outputs(self) -> bool:
        """Whether the policy's outputs are needed before its update (for entropies or reference divergences)."""
        signals = {self.gates.mask_signal, self.gates.entropy_filter_signal}
        return "entropy" in signals or (self.policy_loss.kl_coef > 0 and self.policy_loss.kl_in == "reward")

    def estimate(
        self,
        outcomes: Tensor,
        prompt_index: Tensor,
        mask: Tensor,
        values: Tensor | None,
        mini_batches: Sequence[Tensor],
        seed: int,
        old: PolicyOutputs | None,
        reference: Tensor | None,
    ) -> Targets:
        """Targets of a batch from its rewards ``outcomes [B]``.

        ``mask`` bool ``[B, T]``; ``values`` ``[M, B, T]``, None for critic-free methods; ``mini_batches`` the rows of
        each of the policy's; ``old`` and ``reference`` are given where :attr:`needs_old_outputs` says so.
        """
        gating: dict[str, Any] = {
            **self.gates.model_dump(exclude={"scope"}),
            "entropy": None if old is None else old.entropy,
            "scope_of_row": self._scope(len(mask), mini_batches),
            "seed": seed,
        }
        if values is None:
            return targets.critic_free_targets(
                self._critic_free(outcomes, prompt_index), mask, whiten=self.advantage.whiten, **gating
            )
        rewards = returns.outcome_rewards(outcomes, mask)
        if old is not None and reference is not None and self.policy_loss.kl_in == "reward":
            divergence = losses.kl_estimate(old.logprobs, reference, self.policy_loss.kl_form)
            rewards = rewards - self.policy_loss.kl_coef * divergence * mask
        return targets.asymmetric_targets(
            values,
            rewards,
            mask,
            gamma=self.advantage.gamma,
            lambd=self._lambda(mask),
            critic_lambd=self.advantage.critic_lambd,
            aggregation=self.critics.aggregation,
            whiten=self.advantage.whiten,
            **gating,
        )

    def _lambda(self, mask: Tensor) -> float | Tensor:
        alpha = self.advantage.length_adaptive_alpha
        return self.advantage.lambd if alpha is None else returns.length_adaptive_lambda(mask.sum(-1), alpha)

    def _scope(self, count: int, mini_batches: Sequence[Tensor]) -> Tensor | None:
        """Number of the scope that each row's shares are counted in, int64 ``[B]``; None: the whole batch."""
        match self.gates.scope:
            case "batch":
                return None
            case "mini_batch":
                numbers = torch.zeros(count, dtype=torch.long)
                for number, rows in enumerate(mini_batches):
                    numbers[rows] = number
                return numbers
            case "response":
                return torch.arange(count)

    def _critic_free(self, outcomes: Tensor, prompt_index: Tensor) -> Tensor:
        """One advantage per response, ``[B]``, by comparing responses with each other."""
        match self.advantage.estimator:
            case "grpo":
                return baselines.grpo(outcomes, prompt_index)
            case "dr_grpo":
                return baselines.dr_grpo(outcomes, prompt_index)
            case "rloo":
                return baselines.rloo(outcomes, prompt_index)
            case "reinforce_pp":
                return baselines.reinforce_pp(outcomes)
            case "reinforce_pp_baseline":
                return baselines.reinforce_pp_baseline(outcomes, prompt_index)
            case "lite_ppo":
                return baselines.lite_ppo(outcomes, prompt_index)
            case "gae":
                raise AssertionError("gae is estimated from values")
