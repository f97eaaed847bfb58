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

from sweeps.definition.grid import Trial
from sweeps.execution.devices import GPUS, Share
from sweeps.execution.trial_directory import THREADS, run_of, standing

PR_SET_PDEATHSIG = 1
GROUP = "WANDB_RUN_GROUP"


@dataclass(frozen=True)
class TrainLauncher:
    """Starts trials below ``folder``, each with its share of the machine unless its overrides say otherwise.

    ``group`` is what wandb calls the runs that belong together.
    """

    folder: Path
    group: str
    config_dir: Path | None = None

    def __call__(self, trial: Trial, share: Share) -> subprocess.Popen[bytes]:
        """Start the trial, or go on with it; what it prints is in ``logs/``, the errors of this attempt alone."""
        self.errors(trial).parent.mkdir(parents=True, exist_ok=True)
        with self.output(trial).open("ab") as output, self.errors(trial).open("wb") as errors:
            return subprocess.Popen(
                self.command(trial, share),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=self.environment(share),
                # A group of its own, or Ctrl-C would reach it twice: from the terminal and from us.
                start_new_session=True,
                preexec_fn=_stop_with(os.getpid()),
            )

    def environment(self, share: Share) -> dict[str, str]:
        """Ours, with the trial's GPUs and wandb's group."""
        own = {"PYTHONSAFEPATH": "1"} | ({} if share.gpus is None else {GPUS: ",".join(share.gpus)})
        return {GROUP: self.group, **os.environ, **own}

    def command(self, trial: Trial, share: Share) -> list[str]:
        """The command line; a run that has begun is resumed under its own configuration."""
        command = [sys.executable, "-P", "-m", "asyppo_cli", "train", "--name", trial.name]
        command += ["--runs-dir", str(self.folder)]
        if self.config_dir is not None:
            command += ["--config-dir", str(self.config_dir)]
        if standing(run_of(self.folder, trial.name)) == "begun":
            return [*command, "--resume"]
        return [*command, *with_threads(trial.overrides, share.threads)]

    def why(self, trial: Trial) -> str | None:
        """The last thing that the last attempt said was wrong."""
        try:
            lines = self.errors(trial).read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return None
        said = [line.strip() for line in lines if line.strip()]
        return said[-1].removeprefix("error: ") if said else None

    def output(self, trial: Trial) -> Path:
        """What all attempts at the trial printed."""
        return self.folder / "logs" / f"{trial.name}.log"

    def errors(self, trial: Trial) -> Path:
        """What the last attempt said was wrong."""
        return self.folder / "logs" / f"{trial.name}.err"


def with_threads(overrides: tuple[str, ...], threads: int | None) -> list[str]:
    """The overrides and a number of threads, unless they have one or the trial is to decide."""
    given = any(text.lstrip("+").startswith(f"{THREADS}=") for text in overrides)
    return [*overrides] if given or threads is None else [*overrides, f"{THREADS}={threads}"]


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
