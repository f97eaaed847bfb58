"""This machine as configured: device, threads, memory."""

from __future__ import annotations

import resource
import sys

import torch

from asyppo_cli.config.engines import LearnerConfig
from asyppo_cli.system import usable_cores

MOST_THREADS = 1024


def pick_device(config: LearnerConfig) -> torch.device:
    """The device to train on."""
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise ValueError("learner.device=cuda, but torch sees no GPU: set learner.device=auto, or check the driver")
    return torch.device("cuda" if config.device != "cpu" and available else "cpu")


def set_threads(config: LearnerConfig) -> None:
    """CPU threads of this process. ValueError beyond what any machine has: torch would crash."""
    if config.threads > MOST_THREADS:
        raise ValueError(f"learner.threads={config.threads} must be at most {MOST_THREADS}; 0: all cores")
    torch.set_num_threads(config.threads or usable_cores())


def peak_memory() -> int:
    """Peak memory of the process in bytes, that of its GPU added."""
    # macOS counts bytes, Linux kibibytes.
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return host + (torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)
