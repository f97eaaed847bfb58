"""From rewards and the critics' values to advantages, returns and gates, as configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from asyppo_cli.algorithm import baselines, losses, returns, targets
from asyppo_cli.algorithm.rows import zero_padding
from asyppo_cli.algorithm.targets import Targets
from asyppo_cli.config.method import AdvantageConfig, CriticsConfig, GatesConfig, PolicyLossConfig
from asyppo_cli.extensions.function import Extension
from asyppo_cli.training import user_functions
from asyppo_cli.training.user_functions import BatchView
from asyppo_cli.types import PolicyOutputs

# Advantages [B] from rewards [B] and prompt_index [B].
CRITIC_FREE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "grpo": baselines.grpo,
    "dr_grpo": baselines.dr_grpo,
    "rloo": baselines.rloo,
    "reinforce_pp": lambda rewards, _: baselines.reinforce_pp(rewards),
    "reinforce_pp_baseline": baselines.reinforce_pp_baseline,
    "lite_ppo": baselines.lite_ppo,
}
ESTIMATOR, AGGREGATION = "advantage.estimator", "critics.aggregation"
SIGNALS = ("gates.mask_signal", "gates.entropy_filter_signal")


@dataclass(frozen=True)
class Estimator:
    """Holds the settings of the method, and the user's functions by key."""

    advantage: AdvantageConfig
    critics: CriticsConfig
    gates: GatesConfig
    policy_loss: PolicyLossConfig
    extensions: Mapping[str, Extension] = field(default_factory=dict)

    @property
    def needs_old_outputs(self) -> bool:
        """Whether the policy's outputs are needed before its update (for entropies or reference divergences)."""
        signals = {self.gates.mask_signal, self.gates.entropy_filter_signal}
        in_reward = self.policy_loss.kl_coef > 0 and self.policy_loss.kl_in == "reward"
        return "entropy" in signals or in_reward or not self.extensions.keys().isdisjoint((ESTIMATOR, *SIGNALS))

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
        rewards = returns.outcome_rewards(outcomes, mask)
        if old is not None and reference is not None and self.policy_loss.kl_in == "reward":
            divergence = losses.kl_estimate(old.logprobs, reference, self.policy_loss.kl_form)
            rewards = rewards - self.policy_loss.kl_coef * divergence * mask
        own, signals = self._own(outcomes, rewards, prompt_index, mask, values, old)
        gating: dict[str, Any] = {
            **self.gates.model_dump(exclude={"scope"}),
            **signals,
            "entropy": None if old is None else old.entropy,
            "scope_of_row": self._scope(len(mask), mini_batches),
            "seed": seed,
            "whiten": self.advantage.whiten,
        }
        if values is None:
            if own is None:
                own = CRITIC_FREE[self.advantage.estimator](outcomes, prompt_index)
            return targets.critic_free_targets(own, mask, **gating)
        aggregation: Any = self.critics.aggregation
        if AGGREGATION in self.extensions:
            aggregation = user_functions.aggregation(self.extensions[AGGREGATION])
        return targets.asymmetric_targets(
            values,
            rewards,
            mask,
            gamma=self.advantage.gamma,
            lambd=self._lambda(mask),
            critic_lambd=self.advantage.critic_lambd,
            aggregation=aggregation,
            advantages=own,
            **gating,
        )

    def _own(
        self,
        outcomes: Tensor,
        rewards: Tensor,
        prompt_index: Tensor,
        mask: Tensor,
        values: Tensor | None,
        old: PolicyOutputs | None,
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """What the user's functions make of a batch: advantages, and signals by the name of their gate."""
        found = {key: self.extensions[key] for key in (ESTIMATOR, *SIGNALS) if key in self.extensions}
        if not found:
            return None, {}
        assert old is not None
        view = BatchView(
            rewards=outcomes,
            token_rewards=rewards,
            prompt_index=prompt_index,
            mask=mask,
            values=None if values is None else zero_padding(values, mask),
            entropy=zero_padding(old.entropy, mask),
            logprobs=zero_padding(old.logprobs, mask),
            gamma=self.advantage.gamma,
            lambd=self._lambda(mask),
        )
        signals: dict[str, Tensor] = {}
        for key in (key for key in SIGNALS if key in found):
            # One function behind both gates is called once, and its ties are ordered once.
            same = next((other for other in signals if found[f"gates.{other}"].reference == found[key].reference), None)
            name = key.removeprefix("gates.")
            signals[name] = user_functions.signal(found[key], view) if same is None else signals[same]
        own = found.get(ESTIMATOR)
        return None if own is None else user_functions.advantages(own, view), signals

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
