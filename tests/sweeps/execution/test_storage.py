"""The journal of a study after a writer was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

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
