from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from asyppo_cli.runs.directory import RunDirectory, create_run
from asyppo_cli.runs.lineage import Lineage, descend, find_parent, read_lineage, write_lineage
from asyppo_cli.runs.status import begin

NOW = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)


def made(runs_dir: Path, name: str, now: datetime = NOW) -> RunDirectory:
    run = create_run(runs_dir, name, False, "", now)
    run.config.write_text("{}")
    begin(run.status, 4, 0, now)
    return run


def forked(runs_dir: Path, folder: Path, parent: RunDirectory) -> tuple[RunDirectory, Lineage]:
    run, lineage = made(folder, "branch"), descend("fork", parent, 2, runs_dir)
    write_lineage(run, lineage)
    return run, lineage


@pytest.mark.parametrize("parent_folder", ["", "study"])
@pytest.mark.parametrize("folder", ["", "other-study"])
def test_the_parent_is_found_by_name_even_if_the_folder_of_runs_moves(
    tmp_path: Path, parent_folder: str, folder: str
) -> None:
    runs_dir = tmp_path / "runs"
    parent = made(runs_dir / parent_folder, "base")
    run, lineage = forked(runs_dir, runs_dir / folder, parent)
    assert lineage.run == f"{parent_folder}/base".lstrip("/")
    assert read_lineage(run) == lineage
    assert find_parent(run, lineage) == parent
    moved = runs_dir.rename(tmp_path / "moved")
    found = find_parent(RunDirectory(moved / folder / "branch"), lineage)
    assert found == RunDirectory(moved / parent_folder / "base")


def test_the_parent_of_another_folder_is_found_by_path(tmp_path: Path) -> None:
    parent = made(tmp_path / "elsewhere", "base")
    run, lineage = forked(tmp_path / "runs", tmp_path / "runs", parent)
    assert lineage.run == str(parent.path)
    assert find_parent(run, lineage) == parent


def test_a_parent_that_is_gone_or_was_replaced_is_not_found(tmp_path: Path) -> None:
    parent = made(tmp_path, "base")
    run, lineage = forked(tmp_path, tmp_path, parent)
    shutil.rmtree(parent.path)
    assert find_parent(run, lineage) is None
    made(tmp_path, "base", datetime(2026, 11, 24, tzinfo=UTC))
    assert find_parent(run, lineage) is None


def test_most_runs_have_none_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    run = made(tmp_path, "base")
    assert read_lineage(run) is None
    for text in ("{", json.dumps({"kind": "copy", "run": "a", "step": 1}), json.dumps({"kind": "fork"})):
        run.lineage.write_text(text)
        with pytest.raises(ValueError, match=r"lineage\.json"):
            read_lineage(run)
