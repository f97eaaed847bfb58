"""What the tests of commands read in a run's folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from subprocess import Popen
from typing import Any

from safetensors.numpy import load_file

# What a clock or the operating system decides may differ between two equal runs.
MEASURED = ("time/", "throughput/", "memory/")
PATIENCE_SECONDS = 240


def computed(row: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of a step that two equal runs have in common."""
    return {name: value for name, value in row.items() if not name.startswith(MEASURED)}


def rows(run: Path) -> list[dict[str, Any]]:
    """What was computed in each step."""
    return [computed(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]


def wait_for_step(run: Path, step: int, process: Popen[str]) -> None:
    """Return as soon as a run that is under way has done a step."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        if (run / "metrics.jsonl").is_file() and len((run / "metrics.jsonl").read_text().splitlines()) > step:
            return
        time.sleep(0.02)
    raise AssertionError(f"step {step} was not reached")


def assert_same_run(run: Path, whole: Path) -> None:
    """Two runs of six steps have the same metrics, weights and moments, to the bit."""
    assert rows(run) == rows(whole)
    for learner in ("policy", "critic_0", "critic_1"):
        files = sorted((whole / "checkpoints" / "step-000006" / learner).glob("*.safetensors"))
        assert files, learner
        for file in files:
            expected, actual = load_file(file), load_file(run / file.relative_to(whole))
            assert expected.keys() == actual.keys()
            for name, tensor in expected.items():
                assert (actual[name] == tensor).all(), (learner, file.name, name)
