"""``asyppo analyze`` as it is called: runs and folders found, formats, findings, and one line for every mistake."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from asyppo_cli.app import guarded, run
from asyppo_cli.commands.analyze import COMMANDS
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.metric_log import metrics_line
from asyppo_cli.runs.records import record_columns, write_records

Call = Callable[..., tuple[int, str, str]]
STEPS = (5, 10, 15)


def make_run(path: Path, seed: int = 1, critics: int = 2) -> RunDirectory:
    """A run of three recorded steps, a dozen responses each."""
    run = RunDirectory(path)
    run.path.mkdir(parents=True)
    run.config.write_text(
        yaml.safe_dump({"seed": seed, "critics": {"count": critics}, "advantage": {"estimator": "gae"}})
    )
    random, size = np.random.default_rng(seed), 60
    rows = []
    for step in STEPS:
        columns = {name: random.random(size) for name in record_columns(critics)}
        response = np.repeat(np.arange(12), 5)
        columns |= {"step": np.full(size, step), "response_id": response, "position": np.tile(np.arange(5), 12)}
        columns |= {"token_id": np.arange(size) % 3, "token": [" $x"] * size, "prompt_id": ["p"] * size}
        columns |= {"reward": (response % 2).astype(float), "entropy_kept": np.ones(size, bool)}
        write_records(run.records(step), columns | {"advantage_kept": np.ones(size, bool)})
        rows.append(metrics_line({"step": step, "eval/accuracy": 0.5, "time/step": 2.0, "memory/peak_bytes": 2**30}))
    run.metrics.write_text("".join(rows))
    return run


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls asyppo analyze in a folder with a run, a sweep of two runs, and a run of one critic."""
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs" / "one-critic", critics=1)
    for seed in (1, 2):
        make_run(tmp_path / "runs" / "grid" / f"seed-{seed}", seed)
    make_run(tmp_path / "runs" / "alone")

    def called(*args: str) -> tuple[int, str, str]:
        code = guarded(lambda: run(["analyze", *args]))
        out, err = capsys.readouterr()
        return code, out, err

    return called


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_run_s_figures_go_to_its_folder(call: Call, tmp_path: Path) -> None:
    code, out, err = call("quadrant", "alone")
    assert code == 0 and not err
    kinds = ("png", "svg", "pdf", "csv")
    assert files(tmp_path / "runs" / "alone" / "figures") == {*(f"quadrant.{k}" for k in kinds), "quadrant-density.csv"}
    assert "step 10, split at the medians" in out and "independence gives" in out
    assert "runs/alone/figures/quadrant.{png,svg,pdf,csv}" in out


def test_the_newest_run_is_taken_and_the_figures_go_where_they_are_told(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("curves", "--output", "out", "--format", "svg", "-m", "accuracy")
    assert code == 0 and "50.0 % at step 15" in out
    assert files(tmp_path / "out") == {"curves.svg", "curves.csv"}


def test_a_sweep_is_all_its_runs(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("value-std", "grid", "--output", "out", "--format", "png")
    assert code == 0 and files(tmp_path / "out") == {"seed-1", "seed-2"}
    assert "Runs side by side" in out and "mean ± 95 %" in out
    code, out, _ = call("curves", "grid", "--summary", "--format", "pdf")
    assert code == 0 and "(2 seeds)" in out and "peak memory 1 ± 0 GiB" in out
    assert files(tmp_path / "runs" / "grid" / "figures") == {"summary.pdf", "summary.csv"}


def test_runs_that_do_not_fit_are_left_out_with_a_word(call: Call, tmp_path: Path) -> None:
    code, out, err = call("quadrant", "alone", "one-critic", "grid/seed-2", "--output", "out", "--format", "svg")
    assert code == 0 and "warning: run one-critic has one critic only" in err and "left out" in err
    assert files(tmp_path / "out") == {"alone", "seed-2"} and "Runs side by side" in out
    code, out, err = call("curves", "alone", "one-critic", "-m", "accuracy", "--format", "svg", "--output", "c")
    assert code == 0 and not err


def test_runs_of_one_name_do_not_overwrite_each_other(call: Call, tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "other" / "seed-1")
    code, out, _ = call("quadrant", "grid/seed-1", "other/seed-1", "--output", "out", "--format", "svg")
    assert code == 0 and files(tmp_path / "out") == {"grid-seed-1", "other-seed-1"} and "other-seed-1" in out


def test_a_torn_line_of_metrics_is_told(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "alone" / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 20, "eval')
    code, _, err = call("curves", "alone", "--format", "svg")
    assert code == 0 and "the last line is torn" in err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["quadrant", "alnoe"], "there is no run 'alnoe' in runs/; nearest: alone"),
        (["quadrant", "nowhere/run"], "there is no run 'nowhere/run' in runs/"),
        (["quadrant", "--runs-dir", "void"], "there is no run in void/"),
        (["quadrant", "one-critic"], "run one-critic has one critic only: there is no disagreement to look at"),
        (["quadrant", "one-critic", "--steps", "99"], "run one-critic has one critic only"),
        (["quadrant", "alone", "--steps", "12"], "step 12 of run alone was not recorded; nearest: 10"),
        (["quadrant", "alone", "--format", "gif"], "--format gif is not known: choose of png, svg, pdf"),
        (["quadrant", "alone", "--format", ","], "--format names no format"),
        (["quadrant", "alone", "--output", "runs/alone/config.yaml"], "choose another folder with --output"),
        (["curves", "alone", "-m", "acuracy"], "there is no metric 'acuracy' in these runs; nearest: eval/accuracy"),
        (["curves", "alone", "--smooth", "much"], "--smooth 'much' is no smoothing"),
        (["curves", "alone", "grid"], "have one setting and seed 1: leave one out"),
        (["curves", "alone", "--x", "weeks"], "'weeks' is not one of"),
        (["kwadrant"], "there is no analysis 'kwadrant'; nearest: quadrant"),
    ],
)
def test_a_mistake_is_one_line(call: Call, args: list[str], said: str) -> None:
    code, out, err = call(*args)
    assert code == 2 and not out.strip()
    assert said in err and err.count("\n") == 1


def test_damage_is_one_line(call: Call, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "runs" / "alone")
    run.records(10).write_bytes(b"PAR1")
    code, _, err = call("quadrant", "alone")
    assert code == 2 and "step-000010.parquet is damaged: delete it" in err
    for path in run.records_folder.iterdir():
        path.unlink()
    code, _, err = call("value-std", "alone")
    assert code == 2 and "has no token records: train with records.every=N" in err


def test_names_may_be_cut_short_and_help_lists_all(call: Call) -> None:
    code, out, _ = call("quad", "al", "--steps", "last", "--format", "svg")
    assert code == 0 and "step 15" in out
    code, out, _ = call("--help")
    assert code == 0 and all(name in out for name in COMMANDS)


def test_an_analysis_starts_without_torch(call: Call, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom asyppo_cli.app import run\n"
        "assert run(['analyze', 'quadrant', 'alone', '--format', 'svg']) == 0\n"
        "heavy = {'torch', 'transformers', 'pandas', 'scipy'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
