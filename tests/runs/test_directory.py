from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from asyppo_cli.runs.directory import RunDirectory, clear_unfinished, create_run, find_run, run_directories, trials_of
from asyppo_cli.runs.files.lock import is_locked, lock_run

NOW = datetime(2026, 11, 23, 14, 5).astimezone()

HOLD = """
import sys, time
from pathlib import Path
from asyppo_cli.runs.files.lock import lock_run
path = Path(sys.argv[1])
with lock_run(path, path / ".lock"):
    print("held", flush=True)
    time.sleep(60)
"""


def new_run(runs_dir: Path, name: str) -> RunDirectory:
    run = create_run(runs_dir, name, False, "", NOW)
    run.config.write_text("seed: 1\n")
    return run


def test_default_names_say_when_and_what_and_never_collide(tmp_path: Path) -> None:
    names = [create_run(tmp_path / "runs", None, False, "asyppo-chain sum/2", NOW).name for _ in range(3)]
    stem = "2026-11-23_14-05-asyppo-chain_sum_2"
    assert names == [stem, f"{stem}-2", f"{stem}-3"]


@pytest.mark.parametrize("name", ["", "a/b", "..", "a..b", ".hidden", "-x", "a b", "a\n", "x" * 121, "a\x1b[31m"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="--name"):
        create_run(tmp_path, name, False, "", NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_name_in_use_blocks_and_tells_the_ways_out(tmp_path: Path) -> None:
    new_run(tmp_path, "first")
    with pytest.raises(ValueError, match=r"first exists .*--resume.*--fresh"):
        create_run(tmp_path, "first", False, "", NOW)


def test_fresh_starts_a_run_over(tmp_path: Path) -> None:
    run = new_run(tmp_path, "first")
    run.metrics.write_text("{}\n")
    again = create_run(tmp_path, "first", True, "", NOW)
    assert again.path.is_dir()
    assert list(again.path.iterdir()) == []


def test_fresh_never_removes_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "link").symlink_to(tmp_path / "thesis")
    (tmp_path / "file").write_text("")
    for name in ("thesis", "link", "file"):
        with pytest.raises(ValueError, match="no run directory"):
            create_run(tmp_path, name, True, "", NOW)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("inside", ["study.journal", "trial/config.yaml", "study/study.journal"])
def test_a_study_never_becomes_a_run_and_is_never_removed(tmp_path: Path, inside: str, fresh: bool) -> None:
    for kept in (new_run(tmp_path, "run").path / inside, tmp_path / "study" / inside):
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text("kept")
        with pytest.raises(ValueError, match="choose another --name"):
            create_run(tmp_path, kept.relative_to(tmp_path).parts[0], fresh, "", NOW)
        assert kept.read_text() == "kept"


def test_a_trial_of_a_study_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "study.journal").touch()
    trial = new_run(tmp_path, "trial")
    with pytest.raises(ValueError, match="trial of study"):
        create_run(tmp_path, "trial", True, "", NOW)
    assert trial.exists()


def test_a_run_holds_no_runs(tmp_path: Path) -> None:
    run = new_run(tmp_path, "run")
    with pytest.raises(ValueError, match="--runs-dir"):
        create_run(run.path, "inner", False, "", NOW)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_creation_that_was_killed_is_made_again(tmp_path: Path, fresh: bool) -> None:
    run = create_run(tmp_path, "first", False, "", NOW)
    for name in (run.lock.name, run.overrides.name, ".environment.json.7.partial"):
        (run.path / name).write_text("")
    assert list(create_run(tmp_path, "first", fresh, "", NOW).path.iterdir()) == []


def test_a_run_and_what_is_no_run_are_not_cleared_away(tmp_path: Path) -> None:
    run = new_run(tmp_path, "first")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("years of work")
    for kept in (run, RunDirectory(tmp_path / "other")):
        clear_unfinished(kept)
        assert list(kept.path.iterdir())


def test_a_creation_that_is_going_on_is_left_alone(tmp_path: Path) -> None:
    run = create_run(tmp_path, "first", False, "", NOW)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE, text=True) as creator:
        try:
            assert creator.stdout is not None and creator.stdout.readline() == "held\n"
            with pytest.raises(ValueError, match="--resume"):
                create_run(tmp_path, "first", False, "", NOW)
        finally:
            creator.kill()
    assert run.lock.exists()


def test_a_place_that_cannot_be_written_to_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="--runs-dir"):
        create_run(tmp_path / "file", None, False, "x", NOW)
    with pytest.raises(ValueError, match=r"cannot write to /proc/runs: .*--runs-dir"):
        create_run(Path("/proc/runs"), None, False, "x", NOW)


def test_runs_are_found_by_name_by_prefix_and_by_age(tmp_path: Path) -> None:
    for age, name in enumerate(["alpha", "alpha-2", "beta"]):
        run = new_run(tmp_path, name)
        os.utime(run.config, (1e9 - age, 1e9 - age))
    assert [run.name for run in run_directories(tmp_path)] == ["alpha", "alpha-2", "beta"]
    assert find_run(tmp_path, None).name == "alpha"
    assert find_run(tmp_path, "alpha").name == "alpha"
    assert find_run(tmp_path, "b").name == "beta"
    with pytest.raises(ValueError, match="2 runs begin with alp: alpha, alpha-2"):
        find_run(tmp_path, "alp")
    with pytest.raises(ValueError, match="nearest: beta"):
        find_run(tmp_path, "betta")
    with pytest.raises(ValueError, match="no run in"):
        find_run(tmp_path / "nowhere", None)


def test_a_trial_is_a_run_by_its_study_its_own_name_or_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = new_run(tmp_path, "old")
    os.utime(old.config, (1e9, 1e9))
    trial = new_run(tmp_path / "study", "lr-1_seed-1")
    new_run(tmp_path / "study", "lr-2_seed-1")
    for name in ("study/lr-1_seed-1", "study/lr-1", "lr-1", str(trial.path)):
        assert find_run(tmp_path, name).path == trial.path
    monkeypatch.chdir(tmp_path / "study")
    assert find_run(Path("nowhere"), "lr-1_seed-1").path.resolve() == trial.path
    assert find_run(tmp_path, None).path.parent.name == "study"
    assert [run.name for run in trials_of(tmp_path, "study")] == ["lr-1_seed-1", "lr-2_seed-1"]
    assert trials_of(tmp_path, "old") == trials_of(tmp_path, "none") == []
    with pytest.raises(ValueError, match="2 runs"):
        find_run(tmp_path, "study")


def test_the_logs_of_attempts_do_not_overwrite_each_other(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.log(1).parent.mkdir()
    run.log(1).write_text("")
    assert run.next_log().name == "attempt-2.log"


def test_two_processes_never_train_in_one_directory(tmp_path: Path) -> None:
    run = new_run(tmp_path, "first")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            assert is_locked(run.lock)
            with pytest.raises(ValueError, match=f"process {holder.pid}"), lock_run(run.path, run.lock):
                pass
            with pytest.raises(ValueError, match=f"process {holder.pid}"):
                create_run(tmp_path, "first", True, "", NOW)
        finally:
            holder.kill()
    assert run.exists()
    assert not is_locked(run.lock)
    with lock_run(run.path, run.lock):
        assert run.lock.read_text() == f"{os.getpid()}\n"
