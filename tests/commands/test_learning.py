"""The toy task is learned: the promise of the README, on each of the seeds it names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_embedded_default_gains_35_points(
    asyppo: Callable[..., CompletedProcess[str]], tmp_path: Path, seed: int
) -> None:
    done = asyppo(["train", "--name", "default", f"seed={seed}"], tmp_path, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in (tmp_path / "runs/default/metrics.jsonl").read_text().splitlines()]
    accuracy = [row["eval/accuracy"] for row in rows if "eval/accuracy" in row]
    assert accuracy[-1] - accuracy[0] >= 0.35
