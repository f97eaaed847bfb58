"""Bytes of a model in training, worked by hand for 1,000 weights, and ZeRO against its own arithmetic."""

from __future__ import annotations

from typing import Any

import pytest

from asyppo_cli.planning.model_state import BUCKET, ShardingSettings, model_state, reference_state


def sharding(**changes: Any) -> ShardingSettings:
    return ShardingSettings(
        **{"engine": "deepspeed", "stage": 0, "ranks": 1, "offload": "none", "half": False, **changes}
    )


def test_torch_holds_weights_and_two_moments_and_the_gradient_while_it_learns() -> None:
    own = model_state(1000, 100, sharding(engine="torch"))
    assert own.device == {"weights": 4000, "optimizer": 8000}
    assert own.learning == {"gradients": 4400}
    assert own.saving == {"buffers": 8000}
    assert model_state(1000, 100, sharding(engine="torch", on_cores=True)).saving == {}
    away = model_state(1000, 100, sharding(engine="torch", moments_in_file=True))
    assert away.device == {"weights": 4000, "optimizer": 0} and away.saving == {"buffers": 0}


@pytest.mark.parametrize(
    ("stage", "weights", "held", "transient"), [(1, 2000, 4000, 0), (2, 2000, 0, 1000), (3, 500, 1000, 0)]
)
def test_zero_shares_out_more_at_every_stage(stage: int, weights: float, held: float, transient: float) -> None:
    own = model_state(1000, 100, sharding(stage=stage, ranks=4, half=True))
    # float32 masters and two moments of a quarter; the gradient whole at stage 1, a quarter from stage 2 on.
    assert own.device["weights"] == weights and own.device["optimizer"] == 3000
    assert own.device.get("gradients", 0) == held and own.learning.get("gradients", 0) == transient


def test_a_rank_more_never_needs_more_and_offload_moves_and_loses_nothing() -> None:
    for stage in (1, 2, 3):
        uses = [sum(model_state(10**9, 10**6, sharding(stage=stage, ranks=n)).device.values()) for n in (1, 2, 4, 8)]
        assert uses == sorted(uses, reverse=True)
    here = model_state(10**9, 10**6, sharding(stage=3, ranks=4))
    for offload in ("optimizer", "all"):
        away = model_state(10**9, 10**6, sharding(stage=3, ranks=4, offload=offload))
        assert "optimizer" not in away.device and away.host["optimizer"] == here.device["optimizer"]
        assert (away.host if offload == "all" else away.device)["weights"] == here.device["weights"]


def test_buckets_are_bounded() -> None:
    assert model_state(10**10, 1, sharding(stage=2, ranks=8, half=True)).learning["buffers"] == 2 * BUCKET


def test_a_reference_has_no_moments() -> None:
    assert reference_state(1000, sharding(engine="torch")).held == {"weights": 4000}
    assert reference_state(1000, sharding(stage=2, half=True)).held["optimizer"] == 4000
