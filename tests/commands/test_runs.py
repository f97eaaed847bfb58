from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer
import yaml
from typer.testing import CliRunner

from asyppo_cli.commands.runs import app, complete_run
from asyppo_cli.commands.train import from_start_folder
from asyppo_cli.display.run_outcome import next_commands
from asyppo_cli.runs.checkpoints import CheckpointStore
from asyppo_cli.runs.directory import RunDirectory, create_run
from asyppo_cli.runs.journal import RunJournal
from asyppo_cli.runs.lineage import Lineage, write_lineage

NOW = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)


def make_run(runs_dir: Path, name: str, critics: int, gain: float) -> Path:
    run = create_run(runs_dir, name, False, "", NOW)
    config: dict[str, Any] = {"max_steps": 4, "seed": 7, "task": {"name": "chain_sum"}, "critics": {"count": critics}}
    config |= {"advantage": {"estimator": "gae" if critics else "grpo"}, "gates": {"mask_pct": 0.2 if critics else 0.0}}
    run.config.write_text(yaml.safe_dump(config))
    journal = RunJournal(run, 4, None, CheckpointStore(run.checkpoints, 2), [], lambda: NOW)
    for step in range(5):
        row = {"step": step, "reward/mean": 0.2 + gain * step / 10, "time/step": 1.0, "policy/lr": 1e-4}
        row |= {f"critic_{m}/explained_variance": 0.1 * (m + 1) for m in range(critics)}
        journal.metrics(row | ({"eval/accuracy": 0.25 + gain * step / 8} if step % 2 == 0 else {}))
    journal.checkpoint(2, lambda folder: None, 0.3)
    journal.checkpoint(4, lambda folder: cast("None", (folder / "model").write_bytes(b"1234")), 0.2)
    sample = {"step": 4, "prompt_id": "p[1]", "problem": "1 + 1 =", "answer": "2", "verdict": "right", "length": 3}
    journal.samples(4, [sample | {"response": "[red]\\boxed{2}[/red]\x1b[31m", "truncated": True}])
    journal.close("finished")
    return run.path


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    make_run(tmp_path, "asyppo-1", 2, 1.0)
    make_run(tmp_path, "grpo-1", 0, 0.5)
    return tmp_path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_where_a_run_comes_from_is_shown(runs_dir: Path) -> None:
    assert "from" not in run("ls", "--runs-dir", runs_dir).splitlines()[0].split()
    write_lineage(RunDirectory(runs_dir / "grpo-1"), Lineage("fork", "asyppo-1", 2))
    head, child, parent = run("ls", "--runs-dir", runs_dir).splitlines()
    assert (head.split()[-1], child.split()[-1]) == ("from", "asyppo-1@2")
    assert "@" not in parent
    assert json.loads(run("ls", "--json", "--runs-dir", runs_dir))[0]["lineage"]["step"] == 2
    assert "fork of asyppo-1@2" in run("show", "grpo-1", "--runs-dir", runs_dir)
    assert "grpo-1 (fork of asyppo-1@2)" in run("diff", "asyppo-1", "grpo-1", "--runs-dir", runs_dir)


def test_ls_tells_how_runs_stand(runs_dir: Path) -> None:
    lines = run("ls", "--runs-dir", runs_dir).splitlines()
    assert [line.split()[0] for line in lines] == ["run", "grpo-1", "asyppo-1"]
    assert "25.0 → 75.0 %" in lines[2]
    assert "asyppo, 2 critics" in lines[2]
    assert "finished" in lines[2]


def test_ls_for_programs(runs_dir: Path) -> None:
    listed = json.loads(run("ls", "--runs-dir", runs_dir, "--json"))
    assert [entry["name"] for entry in listed] == ["grpo-1", "asyppo-1"]
    assert listed[1]["accuracy_best"] == 0.75


def test_ls_has_a_row_for_a_study_and_lists_its_trials_if_asked(runs_dir: Path) -> None:
    make_run(runs_dir / "study", "lr-1", 2, 1.0)
    make_run(runs_dir / "study", "lr-2", 2, 0.5)
    rows = {line.split()[0]: line for line in run("ls", "--runs-dir", runs_dir).splitlines()[1:]}
    assert rows.keys() == {"asyppo-1", "grpo-1", "study/"}
    assert "2/2 runs" in rows["study/"] and "75.0 %" in rows["study/"]
    for words in (["ls", "study/"], ["ls", "lr-?"], ["show", "study"], ["show", runs_dir / "study"]):
        listed = json.loads(run(*words, "--runs-dir", runs_dir, "--json"))
        assert sorted(entry["name"] for entry in listed) == ["study/lr-1", "study/lr-2"]
    assert "held-out accuracy" in run("show", "study/lr-1", "--runs-dir", runs_dir)
    assert complete_run(cast("typer.Context", SimpleNamespace(params={"runs_dir": runs_dir})), "st") == ["study/"]
    assert complete_run(cast("typer.Context", SimpleNamespace(params={"runs_dir": runs_dir})), "study/lr-1") == [
        "study/lr-1"
    ]


def test_ls_filters_by_state(runs_dir: Path) -> None:
    status = runs_dir / "grpo-1" / "status.json"
    status.write_text(json.dumps(json.loads(status.read_text()) | {"state": "failed"}))
    for state, names in {"failed": ["grpo-1"], "finished": ["asyppo-1"], "running": []}.items():
        listed = json.loads(run("ls", "--runs-dir", runs_dir, "--json", "--state", state))
        assert [entry["name"] for entry in listed] == names
    with pytest.raises(ValueError, match="--state fail"):
        run("ls", "--runs-dir", runs_dir, "--state", "fail")


def test_ls_of_nothing_says_how_to_begin(tmp_path: Path) -> None:
    assert "asyppo train" in run("ls", "--runs-dir", tmp_path / "none")


def test_show_tells_numbers_checkpoints_and_samples_as_they_are(runs_dir: Path) -> None:
    out = run("show", "asyppo", "--runs-dir", runs_dir)
    assert "4 of 4 in 5 s" in out
    assert "held-out accuracy" in out
    assert "▁▅█" in out
    checkpoint_lines = [line.split() for line in out.splitlines() if "KiB" in line]
    assert [(line[0], line[-1]) for line in checkpoint_lines] == [("2", "best"), ("4", "newest")]
    assert "[red]\\boxed{2}[/red]\\x1b[31m" in out
    assert "cut off" in out
    assert "\x1b" not in out


def test_show_names_damage(runs_dir: Path) -> None:
    (runs_dir / "asyppo-1" / "checkpoints" / "step-000004" / "model").write_bytes(b"123")
    assert "damaged: model has 3 bytes instead of 4" in run("show", "asyppo-1", "--runs-dir", runs_dir)


def test_show_all_has_every_metric(runs_dir: Path) -> None:
    assert "policy/lr" in run("show", "asyppo-1", "--runs-dir", runs_dir, "--all")
    assert "policy/lr" not in run("show", "asyppo-1", "--runs-dir", runs_dir)


def test_show_for_programs(runs_dir: Path) -> None:
    shown = json.loads(run("show", "asyppo-1", "--runs-dir", runs_dir, "--json"))
    assert shown["config"]["seed"] == 7
    assert shown["metrics"]["eval/accuracy"] == {"first": 0.25, "last": 0.75, "lowest": 0.25, "highest": 0.75}
    assert [(c["step"], c["best"]) for c in shown["checkpoints"]] == [(2, True), (4, False)]


def test_diff_tells_settings_and_numbers(runs_dir: Path) -> None:
    out = run("diff", "asyppo", "grpo", "--runs-dir", runs_dir)
    lines = {line.split("  ")[0]: line.split() for line in out.splitlines() if line}
    assert lines["critics.count"][1:] == ["2", "0"]
    assert "seed" not in lines
    assert lines["held-out accuracy"][2:] == ["75.0", "%", "50.0", "%", "-25.0"]
    assert lines["explained variance"][2:] == ["0.150", "-", "-"]


def test_diff_of_a_run_with_itself(runs_dir: Path) -> None:
    assert "the configurations are the same" in run("diff", "grpo", "grpo", "--runs-dir", runs_dir)


def test_an_unknown_run_is_a_value_error_for_the_root_to_show(runs_dir: Path) -> None:
    with pytest.raises(ValueError, match="nearest: asyppo-1"):
        run("show", "asippo-1", "--runs-dir", runs_dir)


def test_names_complete(runs_dir: Path) -> None:
    context = cast("typer.Context", SimpleNamespace(params={"runs_dir": runs_dir}))
    assert complete_run(context, "a") == ["asyppo-1"]
    assert complete_run(context, "") == ["asyppo-1", "grpo-1"]


@pytest.mark.parametrize("command", ["ls", "show", "diff"])
def test_help_has_examples(command: str) -> None:
    assert f"asyppo runs {command}" in run(command, "--help")


def test_suggested_commands_are_quoted_for_the_shell(tmp_path: Path) -> None:
    path = make_run(tmp_path / "my runs", "a", 2, 1.0)
    for finished in (True, False):
        for command, _ in next_commands(RunDirectory(path), finished):
            assert shlex.split(command)[-2:] == ["--runs-dir", str(tmp_path / "my runs")]


def test_a_run_goes_on_in_the_folder_that_it_was_started_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_run(tmp_path / "runs", "a", 2, 1.0)
    (tmp_path / "elsewhere").mkdir()
    (path / "environment.json").write_text(json.dumps({"folder": str(tmp_path)}))
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = from_start_folder(RunDirectory(Path("../runs/a")))
    assert (Path.cwd(), found.path) == (tmp_path, path)
    assert from_start_folder(RunDirectory(Path("runs/a"))).path == Path("runs/a")
