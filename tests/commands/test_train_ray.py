"""``asyppo train cluster=ray`` as a user meets it: real processes, and what becomes of a run that loses one."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess, Popen

import pytest
from ray_runs import servable_model, told_workers
from run_files import assert_same_run, rows, wait_for_step

pytest.importorskip("ray", reason="Ray is not installed (extra: cpu-engines)")

ON_RAY = ["cluster=ray", "sampler=transformers"]
STEPS = ["max_steps=6", "checkpoints.every=2"]


def assert_all_end(pids: dict[str, int]) -> None:
    deadline = time.monotonic() + 60
    while left := [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_that_is_killed_is_named_and_the_run_goes_on_to_the_bit(
    asyppo: Callable[..., CompletedProcess[str]],
    start_asyppo: Callable[..., Popen[str]],
    trained: tuple[Path, str],
    small: list[str],
) -> None:
    # In a folder full of modules with the names of ours, which no process may import.
    folder = trained[0].parent.parent
    run = folder / "runs" / "lost"
    process = start_asyppo(["train", "--name", "lost", *ON_RAY, *STEPS, *small], folder)
    wait_for_step(run, 3, process)
    pids = told_workers(run, 1)
    assert sorted(pids) == ["critic_0-0", "critic_1-0", "policy-0", "sampler-0"]
    os.kill(pids["critic_1-0"], signal.SIGKILL)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and "Traceback" not in printed and "raylet" not in printed
    told = " ".join(printed.split())
    assert re.search(
        r"critic_1, rank 0 of 1, died while .*the last good checkpoint is that of step \d: go on with --res", told
    )
    assert json.loads((run / "status.json").read_text())["state"] == "failed"
    assert_all_end(pids)
    done = asyppo(["train", "--resume", "--name", "lost"], folder, timeout=300)
    assert done.returncode == 0 and "resuming after step" in done.stdout, done.stdout + done.stderr
    # Processes of a cluster compute what one process computes, critics beside the policy or not.
    assert_same_run(run, trained[0])
    assert_all_end(told_workers(run, 2))
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    roles = sum(last[f"memory/{role}_peak_bytes"] for role in ("policy", "critic_0", "critic_1", "sampler"))
    assert last["memory/peak_bytes"] > roles > 0
    tracks = [json.loads(line)["track"] for line in (run / "timeline.jsonl").read_text().splitlines()]
    assert "critics" in tracks


@pytest.mark.timeout(300)
@pytest.mark.parametrize("dry", [pytest.param([], marks=pytest.mark.slow), ["--dry-run"]])
def test_gpus_that_do_not_exist_are_one_line_before_anything_is_loaded(
    asyppo: Callable[..., CompletedProcess[str]], small: list[str], tmp_path: Path, dry: list[str]
) -> None:
    done = asyppo(["train", *dry, *ON_RAY, "cluster.critics.first_gpu=8", *small], tmp_path, timeout=120)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("checking models")]
    assert done.returncode == 2 and len(errors) == 1, done.stderr
    assert "cluster.critics asks for GPU 8, but the cluster has none" in done.stderr
    assert not list(tmp_path.glob("runs/*/config.yaml"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_process_outlives_a_driver_that_is_killed(
    start_asyppo: Callable[..., Popen[str]], small: list[str], tmp_path: Path
) -> None:
    process = start_asyppo(["train", "--name", "lost", *ON_RAY, "max_steps=1000", *small], tmp_path)
    wait_for_step(tmp_path / "runs" / "lost", 2, process)
    pids = told_workers(tmp_path / "runs" / "lost", 1)
    process.kill()
    process.communicate()
    assert_all_end(pids)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_whole_terminal_finishes_the_step_and_saves(
    start_asyppo: Callable[..., Popen[str]], small: list[str], tmp_path: Path, number: signal.Signals
) -> None:
    process = start_asyppo(["train", "--name", "stopped", *ON_RAY, "max_steps=1000", *small], tmp_path)
    run = tmp_path / "runs" / "stopped"
    wait_for_step(run, 2, process)
    pids = told_workers(run, 1)
    os.killpg(process.pid, number)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and "asyppo train --resume --name stopped" in printed
    assert json.loads((run / "status.json").read_text())["state"] == "interrupted"
    assert len(list((run / "checkpoints").glob("step-*"))) == 1
    assert_all_end(pids)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_that_hangs_ends_the_run(
    start_asyppo: Callable[..., Popen[str]], small: list[str], tmp_path: Path
) -> None:
    ours = ["max_steps=1000", "checkpoints.every=1", "cluster.timeout=60", *small]
    process = start_asyppo(["train", "--name", "hung", *ON_RAY, *ours], tmp_path)
    run = tmp_path / "runs" / "hung"
    wait_for_step(run, 2, process)
    pids = told_workers(run, 1)
    os.kill(pids["policy-0"], signal.SIGSTOP)
    printed, _ = process.communicate(timeout=200)
    told = " ".join(printed.split())
    assert process.returncode == 1 and "policy, rank 0 of 1, has not answered for 60 seconds while" in told
    assert_all_end(pids)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("sync", "ranks", "workers"), [("gloo", 2, 1), ("auto", 1, 2), ("gloo", 1, 2)])
def test_weights_reach_every_worker_of_every_sampler(
    asyppo: Callable[..., CompletedProcess[str]], small: list[str], tmp_path: Path, sync: str, ranks: int, workers: int
) -> None:
    if find_spec("vllm") is None:
        pytest.skip("vllm is not installed (extra: cpu-engines)")
    ours = [f"policy.model={servable_model(tmp_path / 'model')}", "critic_count=none", "algorithm=grpo"]
    ours += ["cluster=ray", f"cluster.sampler.ranks={ranks}", "sampler=vllm", "max_steps=2", *small]
    vllm = ["kv_cache_gib=0.25", "threads=1", f"tensor_parallel={workers}", f"sync={sync}"]
    command = ["train", "--name", "sent", *ours, *(f"sampler.vllm.{setting}" for setting in vllm)]
    done = asyppo(command, tmp_path, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    # Old weights would show: a step moves log-probabilities by far more.
    differences = [row["sampler/logprob_diff_mean"] for row in rows(tmp_path / "runs" / "sent")[1:]]
    assert len(differences) == 2 and max(differences) < 1e-4
