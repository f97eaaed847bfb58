"""Bytes of a model in training, worked by hand for 1,000 weights, and ZeRO against its own arithmetic."""

from __future__ import annotations

from typing import Any

import pytest

from asyppo_cli.planning.states import BUCKET, Sharing, frozen, states


def sharing(**changes: Any) -> Sharing:
    return Sharing(**{"engine": "deepspeed", "stage": 0, "ranks": 1, "offload": "none", "half": False, **changes})


def test_torch_holds_weights_and_two_moments_and_the_gradient_while_it_learns() -> None:
    own = states(1000, 100, sharing(engine="torch"))
    assert own.device == {"weights": 4000, "optimizer": 8000}
    assert own.learning == {"gradients": 4400}
    assert own.saving == {"buffers": 8000}


@pytest.mark.parametrize(
    ("stage", "weights"), [(1, 2000.0), (2, 2000.0), (3, 500.0)], ids=["optimizer", "gradients", "weights"]
)
def test_zero_shares_out_more_at_every_stage(stage: int, weights: float) -> None:
    own = states(1000, 100, sharing(stage=stage, ranks=4, half=True))
    assert own.device["weights"] == weights
    # float32 masters and two moments, and the gradient's own part, of a quarter.
    assert own.device["optimizer"] == 3000 and own.device["gradients"] == 1000


def test_a_rank_more_never_needs_more_and_offload_moves_and_loses_nothing() -> None:
    for stage in (1, 2, 3):
        needs = [sum(states(10**9, 10**6, sharing(stage=stage, ranks=n)).device.values()) for n in (1, 2, 4, 8)]
        assert needs == sorted(needs, reverse=True)
    here = states(10**9, 10**6, sharing(stage=3, ranks=4))
    for offload in ("optimizer", "all"):
        away = states(10**9, 10**6, sharing(stage=3, ranks=4, offload=offload))
        assert sum(away.device.values()) + sum(away.host.values()) == sum(here.device.values())
        assert away.device.get("optimizer", 0) == 0 and away.host["optimizer"] == here.device["optimizer"]


def test_buckets_are_bounded() -> None:
    assert states(10**10, 1, sharing(stage=2, ranks=8, half=True)).device["buffers"] == 2 * BUCKET


def test_a_reference_has_no_moments() -> None:
    assert frozen(1000, sharing(engine="torch")).held == {"weights": 4000}
    assert frozen(1000, sharing(stage=2, half=True)).held["optimizer"] == 4000
