"""Libraries: which are there, in what version, and whether they can be imported, tried in processes of their own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata, util
from typing import Any

from asyppo_cli.doctor.findings import Finding, State
from asyppo_cli.doctor.probe import Answer, fix_of, probe
from asyppo_cli.requirements import install_command, pip_install
from asyppo_cli.runs.sinks import has_wandb_key

# Run in fresh interpreters. Code in words, so that nothing of it is imported here.
MODELS = """
from asyppo_cli.doctor.imports import what_is_there
from asyppo_cli.doctor.probe import tell
tell(what_is_there())
"""
IMPORT = """
import importlib
from asyppo_cli.doctor.probe import given, tell
tell(getattr(importlib.import_module(given()), "__version__", "of unknown version"))
"""
IMPORT_SECONDS = 45.0
# Below it float32 is faster beyond a measurement's noise.
SLOWER = 0.85


def model_findings(answer: Answer) -> list[Finding]:
    """Torch, transformers and GPUs, from the answer of :data:`MODELS`."""
    if answer.value is None:
        again = pip_install("--force-reinstall", "torch", "transformers")
        fix = fix_of(answer.error, f"{again}, or compare the versions in pyproject.toml")
        return [Finding("torch, transformers", "fault", answer.error, fix)]
    found = answer.value
    return [
        Finding("torch", "fine", found["torch"]),
        Finding("transformers", "fine", found["transformers"]),
        *gpu_findings(found["gpus"]),
    ]


def gpu_findings(gpus: Sequence[dict[str, Any]]) -> list[Finding]:
    """One line a GPU."""
    if not gpus:
        return [Finding("gpu", "fine", "none: models are trained on cores")]
    lines = []
    for number, gpu in enumerate(gpus):
        text = f"{gpu['name']}, {gpu['free'] / 2**30:.0f} of {gpu['whole'] / 2**30:.0f} GiB free"
        half = "" if gpu["bf16"] else ", no bfloat16"
        state: State = "fine" if gpu["free"] > gpu["whole"] / 2 else "warning"
        fix = "" if state == "fine" else "another process uses it: nvidia-smi names it"
        lines.append(Finding(f"gpu {number}", state, text + half, fix))
    return lines


def precision_findings(bfloat16_speed: float | None) -> list[Finding]:
    """Whether bfloat16 saves time, from how many times as fast as float32 it is; None where that is no question."""
    if bfloat16_speed is None:
        return []
    text = f"matrix products at {bfloat16_speed:.2g} times the speed of float32"
    if bfloat16_speed > SLOWER:
        return [Finding("bfloat16", "fine", text)]
    return [
        Finding("bfloat16", "warning", text, "learner.dtype=float32 is faster on these cores, and takes more memory")
    ]


def driver_findings() -> list[Finding]:
    """The driver, where there is one to ask."""
    import shutil
    import subprocess

    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return [Finding("driver", "warning", f"nvidia-smi fails: {error}", "reinstall the GPU's driver")]
    return [Finding("driver", "fine", done.stdout.split("\n")[0].strip())]


def version_of(*distributions: str) -> str | None:
    """The version of the first of these distributions that is installed."""
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def optional(subject: str, module: str, needed: bool, fix: str, *distributions: str) -> list[Finding]:
    """A library that not every configuration needs: imported for real where this one does."""
    version = version_of(*(distributions or (module,)))
    if util.find_spec(module) is None or version is None:
        state: State = "fault" if needed else "fine"
        return [
            Finding(subject, state, "not installed" if needed else "not installed, not needed", fix if needed else "")
        ]
    if not needed:
        return [Finding(subject, "fine", f"{version}, not needed here")]
    answer = probe(["-c", IMPORT], module, IMPORT_SECONDS)
    if answer.value is None:
        return [Finding(subject, "fault", f"{version} cannot be imported: {answer.error}", fix_of(answer.error, fix))]
    return [Finding(subject, "fine", version)]


def wandb_findings(mode: str) -> list[Finding]:
    """Weights & Biases, as far as ``logging.wandb`` asks for it."""
    found = optional("wandb", "wandb", mode != "off", f"{install_command('logging')}, or logging.wandb='off'")
    if mode != "online" or found[0].state == "fault":
        return found
    if not has_wandb_key():
        return [Finding("wandb", "fault", "no key to log in with", "wandb login, or logging.wandb=offline")]
    return [Finding("wandb", "fine", f"{found[0].text}, logged in")]


def storage_findings(storage: str | None) -> list[Finding]:
    """The driver of the data base that a study is kept in."""
    if storage is None:
        return []
    if not storage.startswith(("postgresql", "postgres")):
        return [Finding("storage", "fine", "needs no driver of its own")]
    return optional("storage", "psycopg2", True, install_command("storage"), "psycopg2-binary", "psycopg2")
