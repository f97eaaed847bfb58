"""The overrides that runs were started with, and the keys in which several runs differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asyppo_cli.runs.directory import RunDirectory

# What may differ between runs of one setting: how a run was executed, not what it computes.
EXECUTION_KEYS = ("seed", "learner.threads", "grading.workers", "logging", "records", "checkpoints")


def read_overrides(run: RunDirectory) -> dict[str, str]:
    """The overrides of a run by key, values as typed.

    Raises:
        ValueError: the file cannot be read.
    """
    import yaml

    try:
        typed: Any = yaml.safe_load(run.overrides.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{run.overrides} cannot be read: {str(error).splitlines()[0]}") from error
    return override_pairs(typed or [])


def override_pairs(typed: Iterable[object]) -> dict[str, str]:
    """Overrides such as ``+key=value`` by key."""
    pairs = (str(text).lstrip("+").partition("=") for text in typed)
    return {key: value for key, _, value in pairs}


def varying(overrides: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Keys whose value differs between runs, with their values in the order met; "" where a run does not set one."""
    keys = dict.fromkeys(key for run in overrides for key in run)
    values = {key: list(dict.fromkeys(run.get(key, "") for run in overrides)) for key in keys}
    return {key: found for key, found in values.items() if len(found) > 1}


def is_execution_key(key: str) -> bool:
    """Whether a key says how a run is executed and not what it computes; the seed is one."""
    return any(key == name or key.startswith(f"{name}.") for name in EXECUTION_KEYS)
