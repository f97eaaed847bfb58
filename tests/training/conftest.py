from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import Tensor

from asyppo_cli.algorithm.returns import outcome_rewards
from asyppo_cli.algorithm.targets import Targets, asymmetric_targets


@pytest.fixture
def papers_targets() -> Callable[[Tensor, Tensor, Tensor], Targets]:
    """From values ``[M, B, T]``, outcomes ``[B]`` and the mask ``[B, T]``: the paper's targets."""

    def make(values: Tensor, outcomes: Tensor, mask: Tensor) -> Targets:
        return asymmetric_targets(
            values,
            outcome_rewards(outcomes, mask),
            mask,
            gamma=1.0,
            lambd=1.0,
            critic_lambd=None,
            aggregation="mean",
            whiten=False,
            mask_pct=0.2,
            entropy_filter_pct=0.2,
            mask_signal="value_std",
            entropy_filter_signal="value_std",
            entropy=None,
            scope_of_row=None,
            seed=0,
        )

    return make
