"""Runs of the real command, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

# A run of the embedded model small enough for a test; ten problems make an epoch of two and a half steps.
SMALL = [
    "rollout.prompts=4",
    "rollout.responses=4",
    "task.size=10",
    "evaluation.problems=16",
    "evaluation.every=0",
    "critics.warmup_steps=1",
    "critics.mini_batches=2",
    "learner.threads=1",
    "grading.workers=1",
    "records.every=1",
    "checkpoints.keep=9",
]

Command = Callable[..., subprocess.CompletedProcess[str]]


def arguments(*args: str) -> list[str]:
    """The command line of asyppo, whatever the folder it is run in holds."""
    return [sys.executable, "-P", "-m", "asyppo_cli", *args]


def environment() -> dict[str, str]:
    """No colours, no network, one thread."""
    return {
        **os.environ,
        "NO_COLOR": "1",
        "TERM": "dumb",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "120",
    }


def run_command(args: Sequence[str], folder: Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run asyppo to its end."""
    return subprocess.run(
        arguments(*args), cwd=folder, env=environment(), capture_output=True, text=True, timeout=timeout, check=False
    )


def start_command(args: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    """Start asyppo in a session of its own."""
    return subprocess.Popen(
        arguments(*args),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="session")
def small() -> list[str]:
    """Overrides of a small run."""
    return SMALL


@pytest.fixture(scope="session")
def asyppo() -> Command:
    """Runs the command in a folder: ``asyppo(args, folder)``."""
    return run_command


@pytest.fixture(scope="session")
def start_asyppo() -> Callable[[Sequence[str], Path], subprocess.Popen[str]]:
    """Starts the command in a folder and returns the process."""
    return start_command


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run of six steps, made in a folder full of modules with the names of ours; and what it printed."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in ("analysis", "conf", "sweeps", "torch", "types", "asyppo_cli", "transformers", "rich", "typing"):
        (folder / f"{name}.py").write_text("raise RuntimeError('a stranger\\'s module was imported')\n")
    done = run_command(["train", "--name", "whole", "max_steps=6", "checkpoints.every=2", *SMALL], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "runs" / "whole", done.stdout
