"""A trial as a process: ``asyppo train``, which is stopped if its worker is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from asyppo_cli.runs.directory import RunDirectory
from sweeps.definition.grid import Trial
from sweeps.execution.devices import GPUS, ResourceShare
from sweeps.execution.jsonl_tail import JsonlTail
from sweeps.execution.study_store import ClaimedAttempt
from sweeps.execution.trial_directory import THREADS, run_of, standing

PR_SET_PDEATHSIG = 1
WANDB_GROUP = "WANDB_RUN_GROUP"


class Launcher(Protocol):
    """Starts the trials of a study, whose runs are in ``folder``."""

    @property
    def folder(self) -> Path:
        """Folder of the study's runs."""
        ...

    def start(self, trial: Trial, share: ResourceShare) -> subprocess.Popen[bytes]:
        """Start or resume a trial."""
        ...

    def last_error(self, trial: Trial) -> str | None:
        """The last error message of a failed trial."""
        ...


@dataclass(frozen=True)
class TrainLauncher:
    """Starts trials below ``folder``, each with its share of the machine unless its overrides set the threads.

    ``group`` is the group of the study's runs in wandb.
    """

    folder: Path
    group: str
    config_dir: Path | None = None

    def start(self, trial: Trial, share: ResourceShare) -> subprocess.Popen[bytes]:
        """Start or resume the trial; ``logs/`` keeps the output of all attempts and the errors of the last one."""
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"{trial.name}.log").open("ab") as output, self.errors(trial).open("wb") as errors:
            return subprocess.Popen(
                self.command(trial, share),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=self.environment(share),
                # Without a session of its own, Ctrl-C would reach it twice: from the terminal and from the worker.
                start_new_session=True,
                preexec_fn=_stop_with(os.getpid()),
            )

    def environment(self, share: ResourceShare) -> dict[str, str]:
        """The worker's environment with the trial's GPUs and the wandb group."""
        own = {"PYTHONSAFEPATH": "1"} | ({} if share.gpus is None else {GPUS: ",".join(share.gpus)})
        return {WANDB_GROUP: self.group, **os.environ, **own}

    def command(self, trial: Trial, share: ResourceShare) -> list[str]:
        """The command line; an existing run is resumed under its own configuration."""
        command = [sys.executable, "-P", "-m", "asyppo_cli", "train", "--name", trial.name]
        command += ["--runs-dir", str(self.folder)]
        if self.config_dir is not None:
            command += ["--config-dir", str(self.config_dir)]
        if standing(run_of(self.folder, trial.name)) == "begun":
            return [*command, "--resume"]
        return [*command, *with_threads(trial.overrides, share.threads)]

    def last_error(self, trial: Trial) -> str | None:
        """The last line that the last attempt wrote to its standard error."""
        try:
            lines = self.errors(trial).read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return None
        written = [line.strip() for line in lines if line.strip()]
        return written[-1].removeprefix("error: ") if written else None

    def errors(self, trial: Trial) -> Path:
        """Standard error of the last attempt."""
        return self.folder / "logs" / f"{trial.name}.err"


@dataclass
class TrialProcess:
    """A claimed trial with its share of the machine; without a process, another process still has its run directory."""

    claimed: ClaimedAttempt
    share: ResourceShare
    run: RunDirectory
    metrics: JsonlTail
    process: subprocess.Popen[bytes] | None = None
    signals: int = 0
    progress: tuple[int, int] = (0, 0)
    stopped: Literal["pruned", "lost"] | None = None

    @property
    def trial(self) -> Trial:
        """The trial that runs."""
        return self.claimed.trial

    def terminate(self, number: int = signal.SIGTERM) -> None:
        """Have the process save and stop."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


def describe_exit(code: int) -> str:
    """The reason for a process's end, where it printed none."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code} without an error message"


def with_threads(overrides: tuple[str, ...], threads: int | None) -> list[str]:
    """The overrides with a number of threads, unless they set it or the trial is to decide."""
    given = any(text.lstrip("+").startswith(f"{THREADS}=") for text in overrides)
    return [*overrides] if given or threads is None else [*overrides, f"{THREADS}={threads}"]


def _stop_with(parent: int) -> Callable[[], None] | None:
    """Have the kernel send the child SIGTERM when the worker ends for any reason."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def set_signal() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return set_signal
