"""``asyppo train`` as a user meets it: real processes, real runs of the embedded model."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess, Popen

import pytest
from run_files import assert_same_run, rows, wait_for_step


def test_a_run_leaves_everything_in_its_directory(trained: tuple[Path, str]) -> None:
    run, printed = trained
    for name in (
        "config.yaml",
        "overrides.yaml",
        "environment.json",
        "metrics.jsonl",
        "status.json",
        "logs/attempt-1.log",
    ):
        assert (run / name).stat().st_size > 0, name
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    assert sorted(path.name for path in (run / "checkpoints").glob("step-*")) == [f"step-00000{s}" for s in (2, 4, 6)]
    assert len(list((run / "records").glob("*.parquet"))) == len(list((run / "samples").glob("*.jsonl"))) == 6
    assert "held-out accuracy" in printed and "asyppo runs show whole" in printed


def test_every_step_has_every_metric(trained: tuple[Path, str]) -> None:
    run, _ = trained
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(7))
    promised = """reward/mean response/length_mean response/truncated_share response/unparseable_share policy/entropy
        policy/clip_share policy/kl policy/grad_norm policy/loss critic_0/loss critic_0/explained_variance
        critic_0/value_mean critic_1/loss critics/disagreement_mean critics/correlation gate/advantage_masked_share
        gate/entropy_filtered_share sampler/logprob_diff_mean time/sample time/values time/critics time/policy time/step
        throughput/tokens_per_second memory/peak_bytes"""
    for line in lines[2:]:
        assert set(promised.split()) <= line.keys()
        assert line["sampler/logprob_diff_mean"] < 1e-4
    assert "eval/accuracy" in lines[0] and "eval/accuracy" in lines[6]


@pytest.mark.parametrize("moment", [pytest.param(3, marks=pytest.mark.slow), 4])
def test_killed_and_resumed_equals_never_stopped(
    asyppo: Callable[..., CompletedProcess[str]],
    start_asyppo: Callable[..., Popen[str]],
    trained: tuple[Path, str],
    small: list[str],
    tmp_path: Path,
    moment: int,
) -> None:
    process = start_asyppo(["train", "--name", "killed", "max_steps=6", "checkpoints.every=2", *small], tmp_path)
    run = tmp_path / "runs" / "killed"
    wait_for_step(run, moment, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = asyppo(["train", "--resume", "--name", "killed"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resuming after step" in done.stdout
    assert_same_run(run, trained[0])


@pytest.mark.slow
def test_a_batch_sampled_ahead_survives_a_kill(
    asyppo: Callable[..., CompletedProcess[str]],
    start_asyppo: Callable[..., Popen[str]],
    small: list[str],
    tmp_path: Path,
) -> None:
    ahead = ["max_steps=6", "checkpoints.every=2", "rollout.async_generate_level=1", *small]
    whole = asyppo(["train", "--name", "whole", *ahead], tmp_path)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    process = start_asyppo(["train", "--name", "killed", *ahead], tmp_path)
    runs = tmp_path / "runs"
    wait_for_step(runs / "killed", 3, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = asyppo(["train", "--resume", "--name", "killed"], tmp_path)
    assert done.returncode == 0 and "resuming after step" in done.stdout, done.stdout + done.stderr
    assert_same_run(runs / "killed", runs / "whole")
    assert rows(runs / "killed")[-1]["sampler/staleness"] == 1


def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(
    asyppo: Callable[..., CompletedProcess[str]],
    start_asyppo: Callable[..., Popen[str]],
    trained: tuple[Path, str],
    small: list[str],
    tmp_path: Path,
) -> None:
    process = start_asyppo(["train", "--name", "stopped", "max_steps=6", "checkpoints.every=2", *small], tmp_path)
    run = tmp_path / "runs" / "stopped"
    wait_for_step(run, 3, process)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "asyppo train --resume --name stopped" in printed
    assert json.loads((run / "status.json").read_text())["state"] == "interrupted"
    done = asyppo(["train", "--resume"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same_run(run, trained[0])


def test_a_loss_that_explodes_keeps_the_batch_and_the_last_checkpoint(
    asyppo: Callable[..., CompletedProcess[str]], small: list[str], tmp_path: Path
) -> None:
    done = asyppo(
        ["train", "--name", "boom", "max_steps=6", "checkpoints.every=1", "learner.policy.lr=1e30", *small], tmp_path
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1 and "batch is kept" in done.stderr
    run = tmp_path / "runs" / "boom"
    assert list((run / "failures").iterdir()) and list((run / "checkpoints").glob("step-*"))
    assert json.loads((run / "status.json").read_text())["state"] == "failed"


def test_a_dry_run_trains_nothing(
    asyppo: Callable[..., CompletedProcess[str]], small: list[str], tmp_path: Path
) -> None:
    done = asyppo(["train", "--dry-run", "mask_pct=0.15", *small], tmp_path)
    assert done.returncode == 0 and "first prompt" in done.stdout
    assert "mask_pct: 0.15" in (tmp_path / "runs" / "dry-run.yaml").read_text()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["dry-run.yaml"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["critics.cuont=3"], "critics.count"),
        (["mask_pct=0.7", "entropy_filter_pct=0.6"], "at most 1"),
        (["mask_pct=0.1,0.2"], "asyppo sweep"),
        (["critic_count=9"], "rollout.responses=8"),
        (["policy.model=/no/such/folder"], "no such folder"),
        (["rollout.prompt_length=5"], "rollout.prompt_length"),
        (["rollout.response_length=5000"], "attends to"),
        (["--name", "a/b"], "a/b"),
        (["--resume"], "there is no run"),
        (["--resume", "--fresh"], "choose one"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    asyppo: Callable[..., CompletedProcess[str]], tmp_path: Path, args: list[str], said: str
) -> None:
    done = asyppo(["train", *args], tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0 and said in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.glob("runs/*/config.yaml"))


def test_a_name_in_use_blocks_until_told_otherwise(
    asyppo: Callable[..., CompletedProcess[str]], trained: tuple[Path, str]
) -> None:
    folder = trained[0].parent.parent
    done = asyppo(["train", "--name", "whole"], folder)
    assert done.returncode == 2 and "--resume" in done.stderr and "--fresh" in done.stderr


def test_a_resumed_run_keeps_its_own_configuration(
    asyppo: Callable[..., CompletedProcess[str]], trained: tuple[Path, str]
) -> None:
    folder = trained[0].parent.parent
    done = asyppo(["train", "--resume", "--name", "whole", "mask_pct=0.5"], folder)
    assert done.returncode == 2 and "gates.mask_pct" in done.stderr


@pytest.mark.slow
def test_a_run_goes_on_without_the_folder_its_groups_came_from(
    asyppo: Callable[..., CompletedProcess[str]], small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "mine" / "utd").mkdir(parents=True)
    (tmp_path / "mine" / "utd" / "twice.yaml").write_text("# @package _global_\ntraining:\n  utd: 2\n")
    args = ["train", "--name", "own", "utd=twice", "max_steps=1", *small]
    done = asyppo([*args, "--config-dir", "mine"], tmp_path)
    assert done.returncode == 0, done.stderr
    done = asyppo(["train", "--resume", "--name", "own"], tmp_path)
    assert done.returncode == 0 and "resuming after step 1" in done.stdout


def test_a_damaged_configuration_is_named(
    asyppo: Callable[..., CompletedProcess[str]], trained: tuple[Path, str], tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "old"
    run.mkdir(parents=True)
    (run / "overrides.yaml").write_text("[]\n")
    (run / "config.yaml").write_text((trained[0] / "config.yaml").read_text().replace("max_steps: 6", "max_steps: six"))
    done = asyppo(["train", "--resume", "--name", "old"], tmp_path)
    assert done.returncode == 2 and "config.yaml is not a configuration" in done.stderr and "max_steps" in done.stderr
