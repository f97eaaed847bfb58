from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from asyppo_cli.runs.checkpoints import CheckpointStore
from asyppo_cli.runs.directory import RunDirectory, create_run, find_run
from asyppo_cli.runs.journal import RunJournal
from asyppo_cli.runs.listing import MISSING, algorithm_label, diff_configs, list_runs, summarise
from asyppo_cli.runs.metric_log import MetricLog
from asyppo_cli.runs.status import State, begin, end, read_status

NOW = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
CONFIG = {
    "max_steps": 60,
    "task": {"name": "chain_sum"},
    "advantage": {"estimator": "gae"},
    "critics": {"count": 2, "split": "by_response"},
    "gates": {"mask_pct": 0.2, "entropy_filter_pct": 0.2},
}


HOLD = """
import sys, time
from pathlib import Path
from asyppo_cli.runs.files.lock import lock_run
with lock_run(Path("."), Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def made(runs_dir: Path, name: str, state: State = "finished", minutes: int = 0) -> RunDirectory:
    run = create_run(runs_dir, name, False, "", NOW)
    run.config.write_text(yaml.safe_dump(CONFIG))
    now = NOW + timedelta(minutes=minutes)
    status = begin(run.status, 60, 0, now)
    if state != "running":
        end(run.status, status, state, now)
    return run


def test_a_run_in_one_record(tmp_path: Path) -> None:
    run = made(tmp_path, "a")
    log = MetricLog(run.metrics)
    log.append({"step": 0, "eval/accuracy": 0.3, "time/evaluate": 2.0})
    log.append({"step": 1, "reward/mean": 0.4, "time/step": 5.0})
    log.append({"step": 2, "reward/mean": 0.5, "eval/accuracy": 0.6, "time/step": 5.0, "time/evaluate": 1.0})
    log.append({"step": 3, "reward/mean": 0.6, "eval/accuracy": 0.5, "time/step": 5.0})
    log.close()
    summary = summarise(run)
    assert (summary.state, summary.algorithm, summary.task) == ("finished", "asyppo, 2 critics", "chain_sum")
    assert (summary.accuracy_first, summary.accuracy_last, summary.accuracy_best) == (0.3, 0.5, 0.6)
    assert (summary.reward, summary.seconds, summary.max_steps) == (0.6, 18.0, 60)


def test_the_status_holds_what_a_list_shows(tmp_path: Path) -> None:
    run = made(tmp_path, "a")
    journal = RunJournal(run, 60, None, CheckpointStore(run.checkpoints, 2), [], lambda: NOW)
    journal.metrics({"step": 0, "eval/accuracy": 0.3, "time/evaluate": 2.0})
    journal.metrics({"step": 1, "reward/mean": 0.4, "time/step": 5.0})
    journal.metrics({"step": 2, "reward/mean": math.nan, "eval/accuracy": 0.2, "time/step": 5.0})
    journal.close("interrupted")
    before = summarise(run)
    assert (before.accuracy_first, before.accuracy_last, before.accuracy_best) == (0.3, 0.2, 0.3)
    assert (before.reward, before.seconds) == (0.4, 12.0)
    # A list reads nothing else, and a run without it is summed up to the same.
    run.metrics.rename(tmp_path / "metrics.jsonl")
    assert summarise(run) == before
    (tmp_path / "metrics.jsonl").rename(run.metrics)
    run.status.write_text(json.dumps(json.loads(run.status.read_text()) | {"headline": None}))
    assert summarise(run) == before


def test_trials_of_studies_are_listed_with_their_study(tmp_path: Path) -> None:
    made(tmp_path, "alone", minutes=1)
    made(tmp_path / "study", "lr-1", minutes=2)
    made(tmp_path / "study", "lr-2", minutes=0)
    assert [run.name for run in list_runs(tmp_path)[0]] == ["study/lr-1", "alone", "study/lr-2"]


def test_what_cannot_be_read_costs_its_own_row_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "a")
    made(tmp_path, "b").status.write_text("{")
    made(tmp_path, "closed")
    real = Path.is_file

    def is_file(path: Path) -> bool:
        if path.parent.name == "closed":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    runs, notices = list_runs(tmp_path)
    assert [run.name for run in runs] == ["a"]
    assert [notice.split()[1] for notice in notices] == ["b"]
    assert find_run(tmp_path, "a").name == "a"
    assert find_run(tmp_path, None).name in ("a", "b")


def test_a_running_run_that_no_process_holds_was_interrupted(tmp_path: Path) -> None:
    run = made(tmp_path, "a", "running")
    assert summarise(run).state == "running"
    status = json.loads(run.status.read_text())
    run.status.write_text(json.dumps(status | {"pid": os.getppid()}))
    assert summarise(run).state == "interrupted"


def test_a_run_that_another_process_holds_is_running(tmp_path: Path) -> None:
    run = made(tmp_path, "a", "running")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(run.lock)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            holder.stdout.readline()
            status = json.loads(run.status.read_text())
            run.status.write_text(json.dumps(status | {"pid": holder.pid}))
            assert summarise(run).state == "running"
        finally:
            holder.kill()
    assert summarise(run).state == "interrupted"


def test_a_resumed_run_keeps_when_it_was_begun(tmp_path: Path) -> None:
    run = made(tmp_path, "a", "failed")
    begin(run.status, 60, 10, NOW + timedelta(hours=1))
    status = read_status(run.status)
    assert status is not None
    assert (status.state, status.step, status.started) == ("running", 10, "2026-11-23T14:05:00+00:00")


def test_the_last_trained_comes_first_and_a_damaged_one_does_not_hide_the_others(tmp_path: Path) -> None:
    for name, minutes in {"a": 3, "b": 9, "c": 6}.items():
        made(tmp_path, name, minutes=minutes)
    broken = made(tmp_path, "d")
    broken.metrics.write_text("nonsense\n")
    made(tmp_path, "e").config.write_text("a: [")
    runs, notices = list_runs(tmp_path)
    assert [run.name for run in runs] == ["b", "c", "a"]
    assert "metrics.jsonl, line 1" in notices[0]
    assert "config.yaml" in notices[1]
    assert list_runs(tmp_path / "nowhere") == ([], [])


@pytest.mark.parametrize(
    ("estimator", "critics", "gates", "label"),
    [
        ("grpo", {"count": 0}, {}, "grpo"),
        ("gae", {"count": 1}, {"mask_pct": 0.2}, "ppo"),
        ("gae", {"count": 2, "split": "shared"}, {"mask_pct": 0.0}, "ppo, 2 critics, shared"),
        ("gae", {"count": 4}, {"mask_pct": 0.0, "entropy_filter_pct": 0.2}, "asyppo, 4 critics"),
    ],
)
def test_the_method_is_named_by_what_it_does(
    estimator: str, critics: dict[str, object], gates: dict[str, object], label: str
) -> None:
    assert algorithm_label({"advantage": {"estimator": estimator}, "critics": critics, "gates": gates}) == label


def test_configurations_differ_by_dotted_keys() -> None:
    first = {"a": 1, "b": {"c": 2, "d": [1]}, "gone": None}
    second = {"a": 1, "b": {"c": 3, "d": [1]}, "new": {"x": 0}}
    assert diff_configs(first, second) == {"b.c": (2, 3), "gone": (None, MISSING), "new.x": (MISSING, 0)}
    assert diff_configs(first, first) == {}


def test_a_damaged_status_is_named(tmp_path: Path) -> None:
    run = made(tmp_path, "a")
    run.status.write_text('{"state": "fin')
    with pytest.raises(ValueError, match=r"status.json is damaged"):
        summarise(run)
