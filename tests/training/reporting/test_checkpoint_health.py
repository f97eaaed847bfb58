"""Checkpoints of a run that diverges are told from good ones."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from asyppo_cli.runs import metrics as names
from asyppo_cli.training.reporting.checkpoint_health import CheckpointHealth, find_tensor_fault

ROW = {names.STEP: 7.0, names.POLICY_LOSS: 0.1, names.POLICY_GRAD_NORM: 1.0, names.critic(0, "grad_norm"): 2.0}


def followed(steps: int) -> CheckpointHealth:
    health = CheckpointHealth()
    for step in range(steps):
        health.follow({**ROW, names.POLICY_GRAD_NORM: 0.5 + 0.1 * (step % 10)})
    return health


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, None),
        ({names.POLICY_LOSS: math.nan}, names.POLICY_LOSS),
        ({names.POLICY_GRAD_NORM: math.inf}, names.POLICY_GRAD_NORM),
        ({names.POLICY_GRAD_NORM: 20.0}, None),
        ({names.POLICY_GRAD_NORM: 2000.0}, names.POLICY_GRAD_NORM),
        ({names.critic(0, "grad_norm"): 1e4}, names.critic(0, "grad_norm")),
    ],
)
def test_losses_are_finite_and_norms_in_line(tmp_path: Path, changes: dict[str, float], named: str | None) -> None:
    fault = followed(30).fault(tmp_path, {**ROW, **changes})
    assert fault is None if named is None else fault is not None and fault.startswith(named)


def test_a_few_steps_say_nothing_of_what_is_usual(tmp_path: Path) -> None:
    assert followed(3).fault(tmp_path, {**ROW, names.POLICY_GRAD_NORM: 2000.0}) is None


@pytest.mark.parametrize(
    ("file", "value", "bad"),
    [
        ("model", 500.0, False),
        ("model", 1e30, True),
        ("model", math.nan, True),
        ("optimizer", 1e30, False),
        ("optimizer", -math.inf, True),
        ("value_head", math.nan, True),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_and_moments_are_finite(tmp_path: Path, file: str, value: float, bad: bool, dtype: torch.dtype) -> None:
    (tmp_path / "policy").mkdir()
    tensors = {
        "a": torch.zeros(3, dtype=dtype),
        "b": torch.tensor([1.0, value], dtype=dtype),
        "n": torch.ones(2).long(),
    }
    save_file(tensors, tmp_path / "policy" / f"{file}.safetensors")
    fault = find_tensor_fault(tmp_path)
    assert (fault is not None) == bad
    assert fault is None or fault.startswith(f"policy/{file}.safetensors: b ")
