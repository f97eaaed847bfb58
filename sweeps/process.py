"""A trial as a process of its own: ``asyppo train`` with the trial's overrides, told to stop if its sweep dies."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sweeps.grid import Trial
from sweeps.standing import THREADS, run_of, standing

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class TrainLauncher:
    """Starts trials below ``folder``, each with ``threads`` CPU threads unless its overrides say how many."""

    folder: Path
    threads: int
    config_dir: Path | None = None

    def __call__(self, trial: Trial) -> subprocess.Popen[bytes]:
        """Start the trial, or go on with it; what it prints is in ``logs/``, the errors of this attempt alone."""
        self.errors(trial).parent.mkdir(parents=True, exist_ok=True)
        with self.output(trial).open("ab") as output, self.errors(trial).open("wb") as errors:
            return subprocess.Popen(
                self.command(trial),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={**os.environ, "PYTHONSAFEPATH": "1"},
                # A group of its own, or Ctrl-C would reach it twice: from the terminal and from us.
                start_new_session=True,
                preexec_fn=_stop_with(os.getpid()),
            )

    def command(self, trial: Trial) -> list[str]:
        """The command line; a run that has begun is resumed under its own configuration."""
        command = [sys.executable, "-P", "-m", "asyppo_cli", "train", "--name", trial.name]
        command += ["--runs-dir", str(self.folder)]
        if self.config_dir is not None:
            command += ["--config-dir", str(self.config_dir)]
        if standing(run_of(self.folder, trial.name)) == "begun":
            return [*command, "--resume"]
        return [*command, *with_threads(trial.overrides, self.threads)]

    def output(self, trial: Trial) -> Path:
        """What all attempts at the trial printed."""
        return self.folder / "logs" / f"{trial.name}.log"

    def errors(self, trial: Trial) -> Path:
        """What the last attempt said was wrong."""
        return self.folder / "logs" / f"{trial.name}.err"


def with_threads(overrides: tuple[str, ...], threads: int) -> list[str]:
    """The overrides and a number of threads, unless they have one."""
    given = any(text.lstrip("+").startswith(f"{THREADS}=") for text in overrides)
    return [*overrides] if given else [*overrides, f"{THREADS}={threads}"]


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _stop_with(parent: int) -> Callable[[], None] | None:
    """Have the system send the child SIGTERM when we die, however that is, so that no orphan trains on unseen."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return ask
