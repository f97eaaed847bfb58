from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import SafetensorError

from asyppo_cli.runs import checkpoints as module
from asyppo_cli.runs.checkpoints import CheckpointStore, checkpoints, find_checkpoint, latest_checkpoint

DIE_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from asyppo_cli.runs.checkpoints import CheckpointStore

def fill(folder):
    (folder / "policy").mkdir()
    (folder / "policy" / "model.bin").write_bytes(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)

CheckpointStore(Path(sys.argv[1]), 2).write(int(sys.argv[2]), fill, None)
"""


def filling(content: bytes) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        (folder / "policy").mkdir()
        (folder / "policy" / "model.bin").write_bytes(content)
        (folder / "trainer.json").write_text("{}")

    return fill


def store(path: Path, keep: int = 2, **steps: float | None) -> CheckpointStore:
    made = CheckpointStore(path, keep)
    for name, metric in steps.items():
        made.write(int(name[1:]), filling(name.encode()), metric)
    return made


def steps_of(path: Path) -> list[int]:
    return [checkpoint.step for checkpoint in checkpoints(path)]


def test_the_latest_is_what_was_written_last(tmp_path: Path) -> None:
    latest, notices = store(tmp_path, s10=0.1, s20=0.2).latest()
    assert latest is not None
    assert (latest.step, latest.metric, notices) == (20, 0.2, [])
    assert (latest.path / "policy" / "model.bin").read_bytes() == b"s20"
    assert latest.path.name == "step-000020"


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """A run with checkpoints, one without, and one with an @ in its name."""
    for name in ("base", "empty", "base@20"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
    store(tmp_path / "base" / "checkpoints", keep=3, s10=0.3, s20=0.2, s40=0.1)
    store(tmp_path / "base@20" / "checkpoints", s25=None)
    return tmp_path


@pytest.mark.parametrize(
    ("word", "run", "step"),
    [
        ("base", "base", 40),
        ("base@10", "base", 10),
        ("base@latest", "base", 40),
        ("base@best", "base", 10),
        ("base@20", "base@20", 25),
        ("base@20@25", "base@20", 25),
    ],
)
def test_a_checkpoint_is_named_with_its_run(runs_dir: Path, word: str, run: str, step: int) -> None:
    found, checkpoint = find_checkpoint(runs_dir, word, "latest")
    assert (found.name, checkpoint.step) == (run, step)


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("base@33", r"base@40\b"),
        ("base@23", r"base@20\b"),
        ("base@last", "latest"),
        ("base@20@best", "base@20@latest"),
        ("empty", "checkpoints.every"),
        ("nowhere@3", "nowhere"),
    ],
)
def test_a_checkpoint_that_is_not_there(runs_dir: Path, word: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        find_checkpoint(runs_dir, word, "latest")


def test_none_is_no_error(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "checkpoints") == (None, [])


@pytest.mark.parametrize(
    ("keep", "metrics", "kept"),
    [
        (2, {"s1": None, "s2": None, "s3": None}, [2, 3]),
        (1, {"s1": 0.9, "s2": 0.3, "s3": 0.5}, [1, 3]),
        (2, {"s1": 0.1, "s2": 0.9, "s3": 0.2, "s4": 0.3, "s5": 0.4}, [2, 4, 5]),
        (1, {"s1": 0.5, "s2": 0.5, "s3": 0.5}, [3]),
        (1, {"s1": float("nan"), "s2": 0.1, "s3": None}, [2, 3]),
    ],
)
def test_the_newest_and_the_best_are_kept(
    tmp_path: Path, keep: int, metrics: dict[str, float | None], kept: list[int]
) -> None:
    store(tmp_path, keep, **metrics)
    assert steps_of(tmp_path) == kept
    assert len(list(tmp_path.iterdir())) == len(kept)


def test_kill_9_while_writing_leaves_the_old_one_and_nothing_else_counts(tmp_path: Path) -> None:
    store(tmp_path, s10=None)
    for step in ("10", "20"):
        done = subprocess.run([sys.executable, "-c", DIE_WHILE_WRITING, str(tmp_path), step], check=False)
        assert done.returncode == -signal.SIGKILL
        latest, notices = latest_checkpoint(tmp_path)
        assert latest is not None
        assert (latest.step, notices) == (10, [])
        assert (latest.path / "policy" / "model.bin").read_bytes() == b"s10"
    assert len(list(tmp_path.iterdir())) == 2
    CheckpointStore(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000010"]


def test_dying_between_the_renames_of_a_replacement_loses_nothing(tmp_path: Path) -> None:
    made = store(tmp_path, s10=None)
    (tmp_path / "step-000010").rename(tmp_path / ".replaced-step-000010")
    assert made.latest() == (None, [])
    latest, _ = CheckpointStore(tmp_path, 2).latest()
    assert latest is not None
    assert latest.step == 10


def test_a_step_written_again_replaces_the_old_one(tmp_path: Path) -> None:
    made = store(tmp_path, s10=0.1)
    made.write(10, filling(b"new"), 0.2)
    latest, _ = made.latest()
    assert latest is not None
    assert latest.metric == 0.2
    assert (latest.path / "policy" / "model.bin").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["step-000010"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


@pytest.mark.parametrize(("harm", "said"), [(cut, "bytes instead of"), (flip, "have changed"), (os.unlink, "missing")])
def test_a_damaged_one_is_skipped_with_a_notice(tmp_path: Path, harm: Callable[[Path], None], said: str) -> None:
    made = store(tmp_path, s10=None, s20=None)
    harm(tmp_path / "step-000020" / "policy" / "model.bin")
    latest, notices = made.latest()
    assert latest is not None
    assert latest.step == 10
    assert len(notices) == 1
    assert "step-000020" in notices[0]
    assert said in notices[0]


def test_a_folder_without_its_marker_was_never_completed(tmp_path: Path) -> None:
    made = store(tmp_path, s10=None, s20=None)
    (tmp_path / "step-000020" / "complete.json").unlink()
    latest, notices = made.latest()
    assert latest is not None
    assert latest.step == 10
    assert "never completed" in notices[0]


def test_where_none_can_be_used_all_are_named(tmp_path: Path) -> None:
    made = store(tmp_path, s10=None, s20=None)
    for step in (10, 20):
        cut(tmp_path / f"step-0000{step}" / "policy" / "model.bin")
    with pytest.raises(ValueError, match=r"step-000020 .*step-000010 .*--fresh"):
        made.latest()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_said_and_touches_nothing(tmp_path: Path, error: Exception) -> None:
    made = store(tmp_path, s10=0.5)

    def fill(folder: Path) -> None:
        filling(b"some")(folder)
        raise error

    with pytest.raises(RuntimeError, match=r"disk is full .* step 20 .*--resume"):
        made.write(20, fill, None)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000010"]
    latest, notices = made.latest()
    assert latest is not None
    assert notices == []


def test_other_errors_of_an_engine_pass_as_they_are(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        raise RuntimeError("a rank is gone")

    with pytest.raises(RuntimeError, match="a rank is gone"):
        store(tmp_path).write(1, fill, None)
    assert list(tmp_path.iterdir()) == []


def test_the_marker_is_written_after_every_file_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(module, "sync_to_disk", lambda path: synced.append(path.name))
    store(tmp_path, s10=None)
    assert synced.index("complete.json") > max(synced.index("model.bin"), synced.index("trainer.json"))
    assert synced[-1] == tmp_path.name


def test_one_with_a_fault_is_never_the_latest_nor_the_best_and_pushes_no_good_one_out(tmp_path: Path) -> None:
    made = store(tmp_path, keep=1, s1=0.1)
    for step in (2, 3):

        def faulty(folder: Path) -> str:
            filling(b"huge")(folder)
            return "policy/loss is nan"

        made.write(step, faulty, 0.9)
    assert steps_of(tmp_path) == [1, 3]
    latest, notices = made.latest()
    assert latest is not None and latest.step == 1 == getattr(made.best(), "step", None)
    assert len(notices) == 1 and "step-000003" in notices[0] and "policy/loss is nan" in notices[0]
