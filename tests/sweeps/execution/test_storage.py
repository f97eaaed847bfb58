"""The journal of a study: one writer at a time, and a killed writer."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
from optuna.study import StudyDirection

from sweeps.execution.storage import open_storage

WRITER = """
import os, signal
from optuna.study import StudyDirection
from sweeps.execution.storage import open_storage
storage = open_storage("study.journal")
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
storage.create_new_study([StudyDirection.MAXIMIZE], "first")
"""


def test_a_writer_killed_while_it_holds_the_journal_leaves_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writer = subprocess.run([sys.executable, "-P", "-W", "ignore", "-c", WRITER], env=environment, check=False)
    assert writer.returncode == -signal.SIGKILL
    # A relative path: Optuna's own lock would be waited for without end.
    storage = open_storage("study.journal")
    storage.create_new_study([StudyDirection.MAXIMIZE], "second")
    assert [study.study_name for study in storage.get_all_studies()] == ["first", "second"]
    assert [path.name for path in tmp_path.iterdir()] == ["study.journal"]


def test_a_writer_waits_for_the_one_before_it(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "study.journal"))
    writer = Thread(target=storage.create_new_study, args=([StudyDirection.MAXIMIZE], "s"))
    with (tmp_path / "study.journal").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        before = (tmp_path / "study.journal").read_bytes()
        writer.start()
        writer.join(0.5)
        assert writer.is_alive() and (tmp_path / "study.journal").read_bytes() == before
    writer.join()
    assert [study.study_name for study in storage.get_all_studies()] == ["s"]
