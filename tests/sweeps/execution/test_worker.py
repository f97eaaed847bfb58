"""The runner with small scripts in place of training: it knows processes, run directories and the store only."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from studies import Recorder, ScriptLauncher, grid, search, shares, starts

from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.studies import Study
from sweeps.definition.definition import StudyDefinition
from sweeps.definition.grid import Trial
from sweeps.execution.devices import ResourceShare
from sweeps.execution.listing import study_of
from sweeps.execution.process import Launcher
from sweeps.execution.storage import open_storage
from sweeps.execution.study_store import StudyStore, create
from sweeps.execution.trial_directory import standing
from sweeps.execution.worker import run_worker

GRID = grid("a=1,2,3")


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.execution.worker.INTERVAL", 0.02)
    monkeypatch.setattr("sweeps.execution.worker.IDLE_POLL_INTERVAL", 0.05)


def run(
    folder: Path,
    definition: StudyDefinition,
    launcher: Launcher | None = None,
    jobs: int = 1,
    seconds: float = math.inf,
) -> Recorder:
    """One worker, to the end."""
    observer = Recorder()
    store = opened(folder, definition)
    observer.end = run_worker(store, launcher or ScriptLauncher(folder), shares(jobs), observer, seconds)
    return observer


def opened(folder: Path, definition: StudyDefinition) -> StudyStore:
    return create(open_storage(str(folder / "study.journal")), definition)


def study(folder: Path, definition: StudyDefinition) -> Study:
    return study_of(opened(folder, definition))


def states(folder: Path, definition: StudyDefinition = GRID) -> dict[str, str]:
    return {trial.name: trial.state for trial in study(folder, definition).trials}


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def test_all_are_run_so_many_at_once_and_none_again(tmp_path: Path) -> None:
    watch = run(tmp_path, GRID, ScriptLauncher(tmp_path, 0.3), jobs=2)
    assert [(outcome.state, outcome.values) for outcome in watch.over] == [("finished", (0.25,))] * 3
    assert watch.most == 2 and watch.values.count(0.25) >= 3 and watch.counts == {"finished": 3}
    again = run(tmp_path, GRID)
    assert again.begun == [] and starts(tmp_path) == {"a-1": 1, "a-2": 1, "a-3": 1}
    extended = run(tmp_path, grid("a=2,4"))
    assert extended.begun == [("a-4", False)]


def test_a_failure_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("a-2")
    watch = run(tmp_path, GRID)
    assert [(o.name, o.state, o.reason) for o in watch.over] == [
        ("a-1", "finished", None),
        ("a-2", "failed", "it broke"),
        ("a-3", "finished", None),
    ]
    assert run(tmp_path, GRID).begun == []
    (tmp_path / "broken").unlink()
    assert opened(tmp_path, GRID).retry_failed() == 1
    assert run(tmp_path, GRID).begun == [("a-2", True)]
    assert set(states(tmp_path).values()) == {"finished"}


def test_what_is_not_a_number_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "nan").touch()
    run(tmp_path, grid("a=1,2"))
    assert [(trial.state, trial.reason) for trial in study(tmp_path, grid("a=1,2")).trials] == [
        ("failed", "eval/accuracy is not a number after step 2")
    ] * 2


def test_a_signal_is_handed_on_once_and_nothing_else_begins(tmp_path: Path) -> None:
    def interrupt() -> None:
        for name in ("a-1", "a-2"):
            wait_for(tmp_path / name / "ready")
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=interrupt, daemon=True).start()
    watch = run(tmp_path, GRID, ScriptLauncher(tmp_path, 60), jobs=2)
    assert sorted((o.name, o.state) for o in watch.over) == [("a-1", "interrupted"), ("a-2", "interrupted")]
    assert watch.stops == 2 and "a-3" not in starts(tmp_path) and watch.end == "signal"
    assert signal.getsignal(signal.SIGTERM) is before
    assert states(tmp_path) == {"a-1": "interrupted", "a-2": "interrupted", "a-3": "waiting"}
    assert run(tmp_path, GRID).begun == [("a-1", True), ("a-2", True), ("a-3", False)]


def test_a_budget_lets_trials_end_and_begins_none(tmp_path: Path) -> None:
    watch = run(tmp_path, GRID, ScriptLauncher(tmp_path, 1.0), seconds=0.5)
    assert watch.end == "budget"
    assert states(tmp_path) == {"a-1": "finished", "a-2": "waiting", "a-3": "waiting"}


def test_a_run_that_another_process_holds_is_waited_for_and_then_gone_on_with(tmp_path: Path) -> None:
    hold = """
import sys, time
from pathlib import Path
from asyppo_cli.runs.files.lock import lock_run
run = Path(sys.argv[1])
with lock_run(run, run / ".lock"):
    print("locked", flush=True)
    time.sleep(1.0)
"""
    claimed = RunDirectory(tmp_path / "a-1")
    claimed.path.mkdir()
    claimed.config.write_text("seed: 1")
    holder = subprocess.Popen([sys.executable, "-P", "-c", hold, str(claimed.path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
    assert standing(claimed) == "locked"
    watch = run(tmp_path, grid("a=1,2"))
    assert holder.wait() == 0
    holder.stdout.close()
    assert [o.state for o in watch.over] == ["finished"] * 2 and watch.begun[0] == ("a-1", True)


class KillingLauncher(ScriptLauncher):
    """Kills the first trial once, and a-2 each time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 0.5)
        self.killed = 0

    def start(self, trial: Trial, share: ResourceShare) -> subprocess.Popen[bytes]:
        ready = self.folder / trial.name / "ready"
        ready.unlink(missing_ok=True)
        process = super().start(trial, share)
        if self.killed < 1 or trial.name == "a-2":
            wait_for(ready)
            process.kill()
            self.killed += 1
        return process


def test_a_trial_that_is_killed_goes_on_and_one_that_always_is_fails(tmp_path: Path) -> None:
    definition = grid("a=1,2")
    run(tmp_path, definition, KillingLauncher(tmp_path))
    assert [(trial.state, trial.reason) for trial in study(tmp_path, definition).trials] == [
        ("finished", None),
        ("failed", "killed by SIGKILL"),
    ]
    assert starts(tmp_path) == {"a-1": 2, "a-2": 3}


def test_a_run_whose_files_are_damaged_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "a-2").mkdir()
    (tmp_path / "a-2" / "config.yaml").write_text("seed: 1")
    (tmp_path / "a-2" / "status.json").write_text("{")
    run(tmp_path, GRID)
    found = study(tmp_path, GRID).trials
    assert [trial.state for trial in found] == ["finished", "failed", "finished"]
    assert "status.json is damaged" in (found[1].reason or "")


def test_hopeless_trials_are_stopped_and_saved(tmp_path: Path) -> None:
    definition = search("x=interval(0,1)", trials=9, pruner="median", sampler="random")
    run(tmp_path, definition, ScriptLauncher(tmp_path, 0.9), jobs=3)
    found = study(tmp_path, definition).trials
    pruned = [trial for trial in found if trial.state == "pruned"]
    assert pruned and all(trial.state in ("pruned", "finished") for trial in found)
    for trial in pruned:
        assert json.loads((tmp_path / trial.name / "status.json").read_text())["state"] == "interrupted"
    best = max(trial.values for trial in found if trial.values)
    assert all(float(trial.point["x"]) < best[0] for trial in pruned)


def test_a_search_finds_its_way(tmp_path: Path) -> None:
    definition = search("x=interval(0,1)", "a=p,q", trials=16)
    run(tmp_path, definition, jobs=2)
    found = study(tmp_path, definition).trials
    assert [trial.values for trial in found] == [(float(trial.point["x"]),) for trial in found]
    assert max(trial.values for trial in found)[0] > 0.8


def test_a_point_that_has_been_run_is_not_run_again(tmp_path: Path) -> None:
    definition = search("a=p,q", "x=1,2", trials=9)
    observer = run(tmp_path, definition)
    found = study(tmp_path, definition).trials
    assert [trial.values for trial in found] == [(float(trial.point["x"]),) for trial in found]
    assert len(observer.begun) == len({tuple(trial.point.items()) for trial in found}) < len(observer.over) == 9


def test_a_full_disk_stops_the_sweep_and_the_trial_is_continued_later(tmp_path: Path) -> None:
    (tmp_path / "full").touch()
    observer = run(tmp_path, GRID)
    assert observer.end == "disk" and starts(tmp_path) == {"a-1": 1}
    assert states(tmp_path) == {"a-1": "interrupted", "a-2": "waiting", "a-3": "waiting"}
    (tmp_path / "full").unlink()
    assert set(run(tmp_path, GRID).begun) == {("a-1", True), ("a-2", False), ("a-3", False)}


DRIVER = """
import sys
from pathlib import Path
from studies import Recorder, ScriptLauncher, grid, shares
from sweeps.execution.study_store import create
from sweeps.execution.process import Launcher
from sweeps.execution.worker import run_worker
from sweeps.execution.storage import open_storage
folder = Path(sys.argv[1])
store = create(open_storage(sys.argv[2]), grid("a=1,2,3", name=sys.argv[3]))
run_worker(store, ScriptLauncher(folder, float(sys.argv[4])), shares(2), Recorder())
"""


def start_driver(folder: Path, where: str, name: str, seconds: float) -> subprocess.Popen[bytes]:
    """Another worker, in a process of its own."""
    support = str(Path(__file__).parents[2] / "support")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([support, *sys.path])}
    command = [sys.executable, "-P", "-W", "ignore", "-c", DRIVER, str(folder), where, name, str(seconds)]
    return subprocess.Popen(command, env=environment)


@pytest.fixture
def orphans(tmp_path: Path) -> Iterator[None]:
    """Stops the small scripts that a killed driver leaves: they do not ask the system to be told of its death."""
    yield
    for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if any(word.startswith(str(tmp_path).encode()) for word in words) and pid != os.getpid():
            os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="the dead are told from the living by /proc")
@pytest.mark.usefixtures("orphans")
def test_what_a_killed_driver_had_is_taken_up_by_another(tmp_path: Path, where: str) -> None:
    name = tmp_path.name
    definition = replace(GRID, name=name)
    driver = start_driver(tmp_path, where, name, 60)
    for trial in ("a-1", "a-2"):
        wait_for(tmp_path / trial / "ready")
    driver.kill()
    driver.wait()
    store = create(open_storage(where), definition)
    watch = Recorder()
    run_worker(store, ScriptLauncher(tmp_path), shares(2), watch)
    assert sorted(watch.begun) == [("a-1", True), ("a-2", True), ("a-3", False)]
    assert [trial.state for trial in study_of(store).trials] == ["finished"] * 3
    assert starts(tmp_path) == {"a-1": 2, "a-2": 2, "a-3": 1}


def test_two_workers_share_a_study_and_both_end(tmp_path: Path, where: str) -> None:
    name = tmp_path.name
    drivers = [start_driver(tmp_path, where, name, 0.3) for _ in range(2)]
    assert [driver.wait(timeout=120) for driver in drivers] == [0, 0]
    assert starts(tmp_path) == {"a-1": 1, "a-2": 1, "a-3": 1}
