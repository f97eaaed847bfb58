"""``asyppo sweep`` as a user meets it: real processes, real runs of the embedded model."""

from __future__ import annotations

import json
import re
import shlex
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess, Popen
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from studies import grid

from asyppo_cli import app
from asyppo_cli.runs.metric_log import read_metrics
from sweeps.execution.attempts import current
from sweeps.execution.storage import open_storage
from sweeps.execution.study_store import create

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


def study(asyppo: Asyppo, folder: Path, name: str) -> dict[str, Any]:
    """The study as ``show --json`` has it."""
    done = asyppo(["sweep", "show", name, "--json"], folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


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
    assert "1 of 2 trials are finished and are not repeated" in done.stdout
    assert (sweep / NAMES[0] / "metrics.jsonl").read_bytes() == before and attempts(sweep)[NAMES[0]] == 1
    assert json.loads((sweep / NAMES[1] / "status.json").read_text())["state"] == "finished"
    assert "mask_pct=0.3 against mask_pct=0.1 rests on one common seed" in done.stdout and "[1/2]" in done.stdout
    assert (sweep / "answer" / "report.html").is_file()
    found = study(asyppo, tmp_path, "s")
    assert [(trial["name"], trial["state"]) for trial in found["trials"]] == [(name, "finished") for name in NAMES]
    assert [len(trial["values"]) for trial in found["trials"]] == [1, 1]


@pytest.mark.slow
def test_a_signal_stops_all_and_another_worker_goes_on(
    asyppo: Asyppo, start_asyppo: Start, small: list[str], tmp_path: Path
) -> None:
    process = start_asyppo([*arguments(small, 4), "--jobs", "2"], tmp_path)
    sweep = tmp_path / "runs" / "s"
    wait_until(lambda: all((sweep / name / "metrics.jsonl").exists() for name in NAMES), process)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "2 trials are finishing their step" in printed and "rerun the same command" in printed
    for name in NAMES:
        assert json.loads((sweep / name / "status.json").read_text())["state"] == "interrupted"
    assert [trial["state"] for trial in study(asyppo, tmp_path, "s")["trials"]] == ["interrupted"] * 2
    done = asyppo(["sweep", "join", "s", "--storage", str(sweep / "study.journal")], tmp_path)
    assert done.returncode == 0 and done.stdout.count("resumed") == 2, done.stdout + done.stderr
    assert [trial["state"] for trial in study(asyppo, tmp_path, "s")["trials"]] == ["finished"] * 2


def test_a_trial_that_fails_is_told_and_the_others_are_run(asyppo: Asyppo, small: list[str], tmp_path: Path) -> None:
    done = asyppo(["sweep", "rollout.prompt_length=5,64", "max_steps=2", "--name", "f", *small], tmp_path)
    assert done.returncode == 1
    assert "failed: " in done.stdout and "1 of 2 trials are not finished" in done.stderr
    found = study(asyppo, tmp_path, "f")
    assert [trial["state"] for trial in found["trials"]] == ["failed", "finished"]
    assert "rollout.prompt_length" in found["trials"][0]["reason"]


def told(args: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the command prints, run in this process."""
    assert app.run(["sweep", *args]) == 0
    return capsys.readouterr().out


def test_a_dry_run_tells_the_cost_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trained: tuple[Path, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = told(["mask_pct=0.1,0.2,0.3", "--seeds", "2", "max_steps=10", "--dry-run"], capsys)
    assert "mask_pct-0.3_seed-2" in printed and "unknown: no finished run of this shape" in printed
    # Ten steps of 32 x 8; 1024 problems before the first step and after the last.
    assert "60" in printed and "15,360 to train on, 12,288 to evaluate" in printed
    assert not list(tmp_path.iterdir())
    run = trained[0]
    words = [*yaml.safe_load((run / "overrides.yaml").read_text()), "mask_pct=0.1,0.3"]
    assert "by finished runs of this shape" in told([*words, "--runs-dir", str(run.parent), "--dry-run"], capsys)
    space = told(
        ["mask_pct=interval(0,0.5)", "utd=1,2", "--trials", "9", "--direction", "maximize", "--dry-run"], capsys
    )
    assert "0 to 0.5" in space and "maximize eval/accuracy" in space and "tpe" in space and "9, 1 at once" in space


@pytest.mark.slow
def test_settings_without_effect_give_equal_trials(asyppo: Asyppo, small: list[str], tmp_path: Path) -> None:
    done = asyppo(["sweep", "algorithm=grpo", "mask_pct=0.1,0.3", "max_steps=2", "--name", "s", *small], tmp_path)
    assert done.returncode == 0 and "compute the same" in done.stderr, done.stdout + done.stderr
    measured = [
        [
            {key: value for key, value in row.items() if not key.startswith(("time/", "memory/", "throughput/"))}
            for row in read_metrics(tmp_path / "runs" / "s" / name / "metrics.jsonl").rows
        ]
        for name in NAMES
    ]
    assert measured[0] == measured[1] and len(measured[0]) >= 2


@pytest.mark.slow
def test_what_another_study_has_run_is_taken_over(asyppo: Asyppo, tmp_path: Path, trained: tuple[Path, str]) -> None:
    run = trained[0]
    words = [*yaml.safe_load((run / "overrides.yaml").read_text()), "mask_pct=0.2,0.3", "--name", "again"]
    words += ["--reuse", str(run.parent)]
    rehearsed = asyppo(["sweep", *words, "--dry-run"], tmp_path)
    assert "already run, to be reused: mask_pct-0.2\n" in rehearsed.stdout and not list(tmp_path.iterdir())
    done = asyppo(["sweep", *words], tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "already run, reused: mask_pct-0.2\n" in done.stdout and "mask_pct-0.2  started" not in done.stdout
    trial = tmp_path / "runs" / "again" / "mask_pct-0.2"
    assert (trial / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()
    assert "mask_pct=0.2" in yaml.safe_load((trial / "overrides.yaml").read_text())
    assert not (trial / "checkpoints").exists() and (run / "checkpoints").exists()
    trials = study(asyppo, tmp_path, "again")["trials"]
    states = [(one["name"], one["state"]) for one in trials]
    assert states == [("mask_pct-0.2", "finished"), ("mask_pct-0.3", "finished")]
    # What it took when it ran, not what it took to copy.
    assert trials[0]["seconds"] == pytest.approx(read_metrics(run / "metrics.jsonl").seconds())


def test_studies_are_listed_with_their_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Do more critics than two help?" in told(["ls"], capsys)
    create(open_storage("runs/mine/study.journal"), grid("a=1,2", name="mine"))
    assert re.search(r"mine +grid +2 waiting", told(["ls"], capsys))
    assert "mine: 2 waiting" in told(["show", "mine", "--trials"], capsys)
    with pytest.raises(ValueError, match="there is no study 'mien' in runs/; nearest: mine"):
        app.run(["sweep", "show", "mien"])


PRUNED = ["--trials", "2", "--direction", "maximize", "--pruner", "median"]


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["mask_pct=0.1,0.9", "entropy_filter_pct=0.6"], "trial mask_pct-0.9: "),
        (["maks_pct=0.1,0.2"], "nearest: mask_pct"),
        (["mask_pct=interval(0,1)"], "--trials N"),
        (["critic_count=interval(1,4)", "--trials", "2", "--direction", "maximize"], "critic_count=int(interval(1,4))"),
        (["mask_pct=interval(0,2)", "--trials", "2", "--direction", "maximize"], "mask_pct=2.0"),
        (["mask_pct=0.1"], "nothing to sweep"),
        (["mask_pct=0.1,0.2", "--name", "a/b"], "a/b"),
        (["mask_pct=0.1,0.2", "--jobs", "9999"], "--jobs 9999: every trial needs a core"),
        (["mask_pct=0.1,0.2", "learner.threads=9999", "--jobs", "2"], "learner.threads=9999"),
        (["mask_pct=0.1,0.2", "learner.device=cuda", "--jobs", "1"], "--jobs 1: every trial needs a GPU"),
        (["mask_pct=0.1,0.2", "--storage", "postgresql://127.0.0.1:1/x"], "cannot be reached"),
        (["mask_pct=0.1,0.2", "--storage", "/dev/null/study.journal"], "cannot write to /dev/null"),
        (["policy.model=/no/such/folder,embedded:policy"], "policy.model=/no/such/folder"),
        (["mask_pct=0.1,0.2", "--metric", "critic_3/loss", "--direction", "minimize"], "--metric critic_3/loss"),
        (["utd=1,2", "algorithm=grpo", "--metric", "critics/correlation", "--direction", "maximize"], "--metric"),
        (["mask_pct=interval(0,1)", *PRUNED, "evaluation.every=0"], "--pruner median needs evaluations"),
        (["mask_pct=0.1,0.2", "--time-budget", "soon"], "--time-budget 'soon'"),
        (["mask_pct=0.1,0.2", "--reuse", "nowhere"], "--reuse nowhere: there is no run in this folder"),
        (
            ["mask_pct=interval(0,0.5)", "--trials", "2", "--direction", "maximize", "--reuse", "."],
            "--reuse is for grids",
        ),
        (["join", "nothing", "--storage", "nowhere/study.journal"], "there is no such journal"),
        (["join", "nothing"], "there is no study 'nothing'"),
        (["show", "nothing", "--storage", "sqlite:///studies.db"], "there is none"),
    ],
)
def test_a_mistake_is_one_line_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], said: str, dry: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ValueError) as caught:
        app.run(["sweep", *args, *(dry if args[0] not in ("join", "show") else [])])
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_another_sweep_under_the_same_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "s" / NAMES[0]
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("max_steps: 7\n")
    with pytest.raises(ValueError, match="choose another --name"):
        app.run(["sweep", "mask_pct=0.1,0.3", "--name", "s"])
    create(open_storage("runs/t/study.journal"), grid("utd=1,2", name="t"))
    with pytest.raises(ValueError, match="study t exists with other axes: choose another --name"):
        app.run(["sweep", "mask_pct=0.1,0.3", "--name", "t"])


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_study_is_never_made_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dry: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "base"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 1")
    for place in (["--name", "base"], ["--runs-dir", "runs/base"]):
        with pytest.raises(ValueError, match="runs/base is a run"):
            app.run(["sweep", "mask_pct=0.1,0.3", *place, *dry])
    assert list(run.iterdir()) == [run / "config.yaml"]


@pytest.mark.parametrize("fresh", [[], ["--fresh"]])
def test_a_run_is_never_made_of_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    create(open_storage("runs/s/study.journal"), grid("utd=1,2", name="s"))
    with pytest.raises(ValueError, match="holds a study"):
        app.run(["train", "--name", "s", *fresh])
    assert (tmp_path / "runs" / "s" / "study.journal").is_file()


def test_a_dry_run_counts_what_is_still_to_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["mask_pct=0.1,0.3", "max_steps=10", "--name", "s"]
    store = create(open_storage("runs/s/study.journal"), grid(*words[:2], name="s"))
    store.add_attempts(store.attempts())
    attempt = current(store.attempts()[NAMES[0]])
    assert attempt is not None
    claimed = store.claim(attempt, "me")
    assert claimed is not None
    store.finish(claimed, [0.5])
    before = (tmp_path / "runs" / "s" / "study.journal").read_bytes()
    assert re.search(r"trials +1, 1 at once", told([*words, "--dry-run"], capsys))
    assert re.search(r"trials +2, 1 at once", told(["mask_pct=0.1,0.4", *words[1:], "--dry-run"], capsys))
    assert (tmp_path / "runs" / "s" / "study.journal").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "warned"),
    [
        (["algorithm=grpo", "mask_pct=0.1,0.3"], ["mask_pct-0.1, mask_pct-0.3"]),
        (["mask_pct=0.1,0.3", "max_steps=2"], ["critics.warmup_steps=3", "mask_pct-0.1, mask_pct-0.3"]),
        (["mask_pct=off,0.0,0.3"], ["mask_pct-off, mask_pct-0.0"]),
        (["algorithm=grpo", "mask_pct=interval(0,0.5)", *PRUNED], ["mask_pct=0.0"]),
        (["mask_pct=0.1,0.3"], []),
    ],
)
def test_what_would_waste_time_is_said_before(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    warned: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert app.run(["sweep", *words, "--dry-run"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(lines) == len(warned) and all(said in line for said, line in zip(warned, lines, strict=True))


def test_a_checkpoint_larger_than_the_free_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2**20))
    with pytest.raises(ValueError, match="make room"):
        app.run(["sweep", "mask_pct=0.1,0.3", "--dry-run"])


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_setting_with_dashes_is_explained(command: str) -> None:
    with pytest.raises(ValueError, match="without dashes: mask_pct=0.3"):
        app.run([command, "--mask_pct=0.3"])


SHOWN = re.findall(r"^asyppo sweep (.*--dry-run.*)$", (Path(__file__).parents[2] / "docs/sweeps.md").read_text(), re.M)


@pytest.mark.parametrize("line", SHOWN)
def test_what_the_page_shows_can_be_run(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if "--scale paper" in line:
        pytest.skip("needs the paper's GPUs")
    assert app.run(["sweep", *shlex.split(line)]) == 0 and not list(tmp_path.iterdir())
