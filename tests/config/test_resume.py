"""How a run computes may change when it is resumed; what it learns may not."""

from __future__ import annotations

from typing import Any

import pytest

from asyppo_cli.config.load import load
from asyppo_cli.config.resume import CHANGEABLE, check_changes, schedule_notes
from asyppo_cli.keys import flatten

KEYS = list(flatten(load([]).resolved))


def test_every_changeable_key_exists() -> None:
    assert [prefix for prefix in CHANGEABLE if not any(key.startswith(prefix) for key in KEYS)] == []


@pytest.mark.parametrize(
    "key",
    [
        "learner.policy.lr",
        "learner.micro_batch_tokens",
        "learner.engine",
        "learner.deepspeed.stage",
        "cluster.policy.ranks",
        "cluster.timeout",
        "sampler.vllm.sync",
        "rollout.prompt_length",
        "task.overlong",
        "max_steps",
    ],
)
def test_how_may_change(key: str) -> None:
    (note,) = check_changes("r", {key: (1, 2)})
    assert f"{key}=2" in note


@pytest.mark.parametrize(
    "key", ["seed", "gates.mask_pct", "learner.dtype", "rollout.response_length", "task.path", "policy.model"]
)
def test_what_may_not(key: str) -> None:
    changes: dict[str, tuple[Any, Any]] = {"max_steps": (1, 2), key: ("a", "b")}
    with pytest.raises(ValueError, match="new run") as caught:
        check_changes("r", changes)
    assert key in str(caught.value) and "max_steps" not in str(caught.value)


def test_a_longer_run_says_what_becomes_of_a_falling_rate() -> None:
    schedules = {"learner.policy": "linear", "learner.critics": "constant"}
    assert schedule_notes({"records.every": (1, 2)}, schedules) == []
    (note,) = schedule_notes({"max_steps": (10, 20)}, schedules)
    assert "learner.policy.schedule=linear" in note and "rises" in note
    (note,) = schedule_notes({"max_steps": (20, 10)}, schedules)
    assert "falls" in note
