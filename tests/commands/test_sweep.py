"""``asyppo sweep`` as a user meets it: real processes, real runs of the embedded model."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess, Popen

import pytest

Asyppo = Callable[..., CompletedProcess[str]]
Start = Callable[[Sequence[str], Path], Popen[str]]
NAMES = ["mask_pct-0.1", "mask_pct-0.3"]


def arguments(small: list[str], steps: int = 2) -> list[str]:
    return ["sweep", "mask_pct=0.1,0.3", f"max_steps={steps}", "--name", "s", *small]


def attempts(sweep: Path) -> dict[str, int]:
    return {name: len(list((sweep / name / "logs").glob("attempt-*"))) for name in NAMES}


def wait_until(done: Callable[[], bool], process: Popen[str]) -> None:
    deadline = time.monotonic() + 90
    while not done():
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_sweep_killed_midway_goes_on_and_repeats_nothing(
    asyppo: Asyppo, start_asyppo: Start, small: list[str], tmp_path: Path
) -> None:
    process = start_asyppo(arguments(small), tmp_path)
    sweep = tmp_path / "runs" / "s"
    wait_until((sweep / NAMES[1] / "metrics.jsonl").exists, process)
    process.kill()
    process.communicate()
    before = (sweep / NAMES[0] / "metrics.jsonl").read_bytes()
    done = asyppo(arguments(small), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{NAMES[0]}  finished before, not repeated" in done.stdout
    assert (sweep / NAMES[0] / "metrics.jsonl").read_bytes() == before and attempts(sweep)[NAMES[0]] == 1
    assert json.loads((sweep / NAMES[1] / "status.json").read_text())["state"] == "finished"
    assert "mask_pct=0.3 against mask_pct=0.1" in done.stdout and "one seed allows no conclusion" in done.stdout
    record = json.loads((sweep / "sweep.json").read_text())
    assert [(trial["name"], trial["state"]) for trial in record["trials"]] == [(name, "finished") for name in NAMES]


def test_a_signal_stops_all_and_says_how_to_go_on(start_asyppo: Start, small: list[str], tmp_path: Path) -> None:
    process = start_asyppo([*arguments(small, 50), "--jobs", "2"], tmp_path)
    sweep = tmp_path / "runs" / "s"
    wait_until(lambda: all((sweep / name / "metrics.jsonl").exists() for name in NAMES), process)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "2 runs are finishing their step" in printed and "go on with the same command" in printed
    for name in NAMES:
        assert json.loads((sweep / name / "status.json").read_text())["state"] == "interrupted"


def test_a_trial_that_fails_is_told_and_the_others_are_run(asyppo: Asyppo, small: list[str], tmp_path: Path) -> None:
    models = "policy.model=/no/such/folder,embedded:policy"
    done = asyppo(["sweep", models, "max_steps=1", "--name", "f", *small], tmp_path)
    assert done.returncode == 1
    assert "failed: " in done.stdout and "/no/such/folder" in done.stdout
    assert "1 of 2 runs are not finished" in done.stderr
    record = json.loads((tmp_path / "runs" / "f" / "sweep.json").read_text())
    assert [trial["state"] for trial in record["trials"]] == ["failed", "finished"]
    assert "no such folder" in record["trials"][0]["reason"]


def test_a_dry_run_starts_nothing(asyppo: Asyppo, tmp_path: Path) -> None:
    done = asyppo(["sweep", "mask_pct=0.1,0.2,0.3", "--seeds", "2", "--dry-run"], tmp_path)
    assert done.returncode == 0 and "6 runs" in done.stdout and "mask_pct-0.3_seed-2" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["mask_pct=0.1,0.9", "entropy_filter_pct=0.6"], "trial mask_pct-0.9: "),
        (["maks_pct=0.1,0.2"], "nearest: mask_pct"),
        (["mask_pct=interval(0,1)"], "a search is not supported yet"),
        (["mask_pct=0.1"], "nothing to sweep"),
        (["mask_pct=0.1,0.2", "--name", "a/b"], "a/b"),
    ],
)
def test_a_mistake_is_one_line_before_anything_starts(
    asyppo: Asyppo, tmp_path: Path, args: list[str], said: str
) -> None:
    done = asyppo(["sweep", *args], tmp_path)
    assert done.returncode == 2 and said in done.stderr and done.stderr.strip().count("\n") == 0
    assert not list(tmp_path.iterdir())


def test_another_sweep_under_the_same_name_is_refused(asyppo: Asyppo, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "s" / NAMES[0]
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("max_steps: 7\n")
    done = asyppo(["sweep", "mask_pct=0.1,0.3", "--name", "s"], tmp_path)
    assert done.returncode == 2 and "choose another --name" in done.stderr
