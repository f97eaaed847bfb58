"""Run directories with token records made up for a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.records import write_records

MakeRun = Callable[..., RunDirectory]


def token_columns(step: int, lengths: Sequence[int], seed: int, critics: int, given: Mapping[str, Any]) -> Any:
    """Columns of responses of these lengths: random, but for those given; gates as the method has them."""
    random, size = np.random.default_rng(seed), sum(lengths)
    response = np.repeat(np.arange(len(lengths)), lengths)
    values = random.normal(0.5, 0.2, (max(critics, 1), size))
    reward = random.integers(2, size=len(lengths))[response].astype(float)
    columns: dict[str, Any] = {
        "step": np.full(size, step),
        "prompt_id": [f"p{r // 2}" for r in response],
        "response_id": response,
        "position": np.concatenate([np.arange(length) for length in lengths]),
        "token_id": random.integers(5, size=size),
        "value_mean": values.mean(0),
        "value_std": values.std(0),
        "advantage": reward - values.mean(0),
        "entropy": random.exponential(0.3, size),
        "logprob": -random.exponential(0.3, size),
        "gradient_norm": random.exponential(0.1, size),
        "reward": reward,
        **{f"value_{m}": values[m] for m in range(critics)},
    }
    columns |= given
    order = np.argsort(np.float32(columns["value_std"]), kind="stable")
    columns["advantage_kept"] = ~np.isin(np.arange(size), order[: size // 5])
    columns["entropy_kept"] = ~np.isin(np.arange(size), order[size - size // 5 :])
    columns["token"] = ["abcde"[number] for number in columns["token_id"]]
    return columns | given


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """``make_run(name, {step: lengths}, critics=2, **columns)`` writes a run directory with records."""

    def make(
        name: str = "run", steps: Mapping[int, Sequence[int]] | None = None, critics: int = 2, **given: Any
    ) -> RunDirectory:
        run = RunDirectory(tmp_path / "runs" / name)
        run.path.mkdir(parents=True)
        run.config.write_text(yaml.safe_dump({"seed": 1, "critics": {"count": critics}}))
        for step, lengths in (steps or {1: [3, 1, 4], 5: [2, 6], 9: [5]}).items():
            write_records(run.records(step), token_columns(step, lengths, step, critics, given))
        return run

    return make
