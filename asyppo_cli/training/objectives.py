"""Losses as the learners take them: pure, picklable, configured once.

Each turns a model's outputs and its targets into one sum, out of the functions of :mod:`asyppo_cli.algorithm.losses`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from asyppo_cli.algorithm import losses
from asyppo_cli.extensions.function import Extension
from asyppo_cli.training import user_functions
from asyppo_cli.types import LossTerms, PolicyOutputs, PolicyTargets, ValueOutputs, ValueTargets

CLIPPED = "clipped"
KL = "kl"
REFERENCE_KL = "reference_kl"
ENTROPY = "entropy"


@dataclass(frozen=True)
class PolicyObjective:
    """The negative of AsyPPO's objective (the paper's J), and of every baseline's.

    ``J = sum_t w_t [ I^A_t min(rho_t A_t, clip(rho_t) A_t) + beta I^H_t H_t - kl_coef KL_t ] + nll sum_t u_t log pi_t``
    with token weights ``w`` (1/(B |o|) for the paper's mean) and ``u`` over the tokens of correct responses. With an
    ``importance_cap`` the first term is weighed by ``min(pi_old / pi_sampler, cap)``. A ``surrogate`` of the user's
    stands in place of ``-min(...)``.
    """

    clip_low: float
    clip_high: float
    dual_clip: float | None
    ratio: Literal["token", "sequence"]
    entropy_coef: float
    kl_coef: float
    kl_form: Literal["k1", "k2", "k3"]
    nll_coef: float
    importance_cap: float | None
    surrogate: Extension | None = None

    def __call__(self, outputs: PolicyOutputs, targets: PolicyTargets) -> LossTerms:
        """Sum over the tokens of a (micro-)batch, and sums of clipped tokens, entropy and KL to report."""
        # On-policy, this very pass is the old policy: the ratio is 1 and its gradient that of log pi.
        old = outputs.logprobs.detach() if targets.old_logprobs is None else targets.old_logprobs
        surrogate, clipped = self._surrogate(outputs, replace(targets, old_logprobs=old), old)
        per_token = surrogate * targets.advantage_kept
        if self.importance_cap is not None and targets.sampler_logprobs is not None:
            per_token = per_token * losses.truncated_importance(old, targets.sampler_logprobs, self.importance_cap)
        if self.entropy_coef:
            per_token = per_token - self.entropy_coef * outputs.entropy * targets.entropy_kept
        sums = {
            CLIPPED: (clipped & targets.mask).sum(),
            ENTROPY: (outputs.entropy.detach() * targets.mask).sum(),
            KL: (losses.kl_estimate(old, outputs.logprobs.detach(), "k1") * targets.mask).sum(),
        }
        if targets.reference_logprobs is not None:
            divergence = losses.kl_estimate(outputs.logprobs, targets.reference_logprobs, self.kl_form)
            per_token = per_token + self.kl_coef * divergence
            sums[REFERENCE_KL] = (divergence.detach() * targets.mask).sum()
        loss = (per_token * targets.weights).sum()
        if targets.nll_weights is not None:
            loss = loss - self.nll_coef * (outputs.logprobs * targets.nll_weights).sum()
        return LossTerms(loss, sums)

    def _surrogate(self, outputs: PolicyOutputs, targets: PolicyTargets, old: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each token ``[B, T]``, and where it is clipped: of the user's function, nowhere."""
        if self.surrogate is not None:
            loss = user_functions.per_token_loss(self.surrogate, self.surrogate(outputs, targets), targets.mask)
            return loss, torch.zeros_like(targets.mask)
        ratio = losses.importance_ratio(outputs.logprobs, old, targets.mask, self.ratio)
        return losses.clipped_policy_loss(ratio, targets.advantages, self.clip_low, self.clip_high, self.dual_clip)


@dataclass(frozen=True)
class ValueObjective:
    """Squared error of the values towards the returns (the paper's critic loss), optionally clipped around the old."""

    clip: float | None

    def __call__(self, outputs: ValueOutputs, targets: ValueTargets) -> LossTerms:
        """Weighted sum over the tokens of a (micro-)batch."""
        error = losses.value_loss(outputs.values, targets.returns, targets.old_values, self.clip)
        return LossTerms((error * targets.weights).sum(), {})


@dataclass(frozen=True)
class LikelihoodObjective:
    """Negative log-likelihood of given responses, for supervised training."""

    def __call__(self, outputs: PolicyOutputs, targets: PolicyTargets) -> LossTerms:
        """Weighted sum over the tokens of a (micro-)batch."""
        return LossTerms(-(outputs.logprobs * targets.weights).sum(), {})
