"""A run on Ray, DeepSpeed and vLLM that loses processes at moments nobody chose ends as one that lost none."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess, Popen
from typing import Any

import pytest
from ray_runs import servable_model, told_workers
from run_files import rows

pytest.importorskip("ray", reason="Ray is not installed (extra: cpu-engines)")

KILLS = 3
# Of the whole, after which the kills end and the run is let through.
SECONDS = 900.0
# Draws a rank of the policy, a sampler and the run's own process.
SEED = 20293
TIMEOUT = 300.0


def wait_for(what: Callable[[], Any], process: Popen[str]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not what() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def kill_somebody(process: Popen[str], run: Path, attempt: int, draw: random.Random, longest: float) -> str | None:
    """Kill one of the run's processes after a time drawn up to ``longest`` seconds; who, None if it had ended."""
    wait_for(lambda: told_workers(run, attempt), process)
    end = time.monotonic() + draw.uniform(0.0, longest)
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)
    pids = {"driver": process.pid, **told_workers(run, attempt)}
    victim = draw.choice(sorted(pids))
    if process.poll() is not None:
        process.communicate()
        return None
    os.kill(pids[victim], signal.SIGKILL)
    process.communicate(timeout=TIMEOUT)
    gone = {name: pid for name, pid in pids.items() if name != "driver"}
    wait_for(lambda: not [pid for pid in gone.values() if Path(f"/proc/{pid}").exists()], process)
    return victim


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_processes_killed_at_random_change_nothing(
    asyppo: Callable[..., CompletedProcess[str]],
    start_asyppo: Callable[..., Popen[str]],
    small: list[str],
    tmp_path: Path,
) -> None:
    for engine in ("deepspeed", "vllm"):
        if find_spec(engine) is None:
            pytest.skip(f"{engine} is not installed (extra: cpu-engines)")
    model = servable_model(tmp_path / "model")
    ours = ["cluster=ray", "learner=deepspeed", "cluster.policy.ranks=2", f"policy.model={model}", "critic_size=half"]
    ours += ["sampler=vllm", "sampler.vllm.kv_cache_gib=0.25", "sampler.vllm.threads=1", "max_steps=6"]
    ours += ["checkpoints.every=1", *small]
    start = time.monotonic()
    whole = asyppo(["train", "--name", "whole", *ours], tmp_path, timeout=900)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    longest, draw, killed = time.monotonic() - start, random.Random(SEED), []
    run = tmp_path / "runs" / "killed"
    command = ["train", "--name", "killed", *ours]
    for attempt in range(1, KILLS + 1):
        if time.monotonic() - start > SECONDS:
            break
        process = start_asyppo(command, tmp_path)
        killed.append(kill_somebody(process, run, attempt, draw, longest / 2))
        command = ["train", "--resume", "--name", "killed"]
        if killed[-1] is None:
            break
    if killed[-1] is not None:
        done = asyppo(["train", "--resume", "--name", "killed"], tmp_path, timeout=900)
        assert done.returncode == 0, (killed, done.stdout + done.stderr)
    assert [row["step"] for row in rows(run)] == list(range(7)), killed
    assert killed[0] is not None and rows(run) == rows(tmp_path / "runs" / "whole"), killed
