"""Dividing a machine among trials: cores as threads, GPUs by number."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class ResourceShare:
    """The part of a machine for one trial: threads (None: the trial decides) and GPUs (None: all visible ones)."""

    threads: int | None
    gpus: tuple[str, ...] | None = None


def divide(jobs: int, cores: int, gpus: tuple[str, ...], needs_gpu: bool) -> list[ResourceShare]:
    """A share for each of ``jobs`` simultaneous trials; together they never have more threads than there are cores.

    Raises:
        ValueError: there are fewer devices than jobs.
    """
    if needs_gpu and jobs > len(gpus):
        raise ValueError(f"--jobs {jobs}: every trial needs a GPU, and there are {len(gpus)}: lower it")
    if jobs > cores:
        raise ValueError(f"--jobs {jobs}: every trial needs a core, and there are {cores}: lower it")
    each = len(gpus) // jobs
    return [
        ResourceShare(cores // jobs, gpus[job * each : (job + 1) * each] if needs_gpu else None) for job in range(jobs)
    ]


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = os.environ.get(GPUS)
    if chosen is not None:
        return tuple(one.strip() for one in chosen.split(",") if one.strip() not in ("", "-1"))
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(str(number) for number, line in enumerate(listed.splitlines()) if line.startswith("GPU"))
