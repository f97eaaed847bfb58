"""What the trials of a worker share out among them: cores as threads, GPUs by number."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Share:
    """What one trial gets: threads (None: it decides itself), and GPUs (None: whatever there is)."""

    threads: int | None
    gpus: tuple[str, ...] | None = None


def share_out(jobs: int, cores: int, gpus: tuple[str, ...], needs_gpu: bool) -> list[Share]:
    """A share for each of ``jobs`` trials side by side.

    Raises:
        ValueError: there are fewer devices than jobs.
    """
    if needs_gpu and jobs > len(gpus):
        raise ValueError(f"--jobs {jobs}: every trial needs a GPU, and there are {len(gpus)}: lower it")
    if jobs > cores:
        raise ValueError(f"--jobs {jobs}: every trial needs a core, and there are {cores}: lower it")
    each = len(gpus) // jobs
    return [
        Share(max(1, cores // jobs), gpus[slot * each : (slot + 1) * each] if needs_gpu else None)
        for slot in range(jobs)
    ]


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, by the numbers or names that CUDA knows them by."""
    chosen = os.environ.get(GPUS)
    if chosen is not None:
        return tuple(one.strip() for one in chosen.split(",") if one.strip() not in ("", "-1"))
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(str(number) for number, line in enumerate(listed.splitlines()) if line.startswith("GPU"))
