"""Runs at a glance, and two of them side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from asyppo_cli.keys import flatten
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory, check_runs_dir, last_active, run_directories
from asyppo_cli.runs.files.lock import is_locked
from asyppo_cli.runs.metric_log import read_metrics
from asyppo_cli.runs.status import RunStatus, State, read_status


@dataclass(frozen=True)
class RunSummary:
    """What ``asyppo runs ls`` says of a run; accuracies in [0, 1], ``seconds`` of training and evaluation."""

    name: str
    state: State
    algorithm: str
    task: str
    step: int
    max_steps: int
    accuracy_first: float | None
    accuracy_last: float | None
    accuracy_best: float | None
    reward: float | None
    seconds: float
    active: datetime
    message: str | None


def list_runs(runs_dir: Path) -> tuple[list[RunSummary], list[str]]:
    """All runs of a folder, the one last trained first, and a notice for each that cannot be read.

    Raises:
        ValueError: the folder is a file.
    """
    check_runs_dir(runs_dir)
    runs, notices = [], []
    for run in run_directories(runs_dir):
        try:
            runs.append(summarise(run))
        except ValueError as error:
            notices.append(f"run {run.name} is left out: {error}")
    return sorted(runs, key=lambda run: (run.active, run.name), reverse=True), notices


def summarise(run: RunDirectory) -> RunSummary:
    """Status, metrics and configuration of a run in one record.

    Raises:
        ValueError: one of its files is damaged.
    """
    status, config, metrics = read_status(run.status), read_config(run), read_metrics(run.metrics)
    accuracy, reward = metrics.series(names.ACCURACY), metrics.series(names.REWARD_MEAN)
    return RunSummary(
        name=run.name,
        state=current_state(run, status),
        algorithm=algorithm_label(config),
        task=str(lookup(config, "task.name", "?")),
        step=status.step if status else int(metrics.rows[-1][names.STEP]) if metrics.rows else 0,
        max_steps=status.max_steps if status else whole_number(config, "max_steps"),
        accuracy_first=accuracy[0] if accuracy else None,
        accuracy_last=accuracy[-1] if accuracy else None,
        accuracy_best=max(accuracy, default=None),
        reward=reward[-1] if reward else None,
        seconds=sum(metrics.series(names.STEP_TIME)) + sum(metrics.series(names.time("evaluate"))),
        active=last_active(run),
        message=status.message if status else None,
    )


def current_state(run: RunDirectory, status: RunStatus | None) -> State:
    """The state on file; a run that no living process holds is not running, whatever it says."""
    if status is None:
        return "interrupted"
    if status.state == "running" and status.pid != os.getpid() and not is_locked(run.lock):
        return "interrupted"
    return status.state


def read_config(run: RunDirectory) -> dict[str, Any]:
    """The resolved configuration as plain data.

    Raises:
        ValueError: the file is damaged.
    """
    import yaml

    try:
        config = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f" line {mark.line + 1}"
        raise ValueError(f"{run.config}{line} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{run.config} is damaged: it holds no configuration")
    return config


def read_overrides(run: RunDirectory) -> list[str]:
    """The overrides as they were typed.

    Raises:
        ValueError: the file is missing or damaged.
    """
    import yaml

    try:
        typed = yaml.safe_load(run.overrides.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        why = str(error.strerror if isinstance(error, OSError) else error).splitlines()[0]
        raise ValueError(f"{run.overrides} cannot be read: {why}: write [] into it to go on without") from error
    if not isinstance(typed, list) or not all(isinstance(override, str) for override in typed):
        raise ValueError(
            f"{run.overrides} is damaged: it holds no list of overrides: write [] into it to go on without"
        )
    return typed


def whole_number(config: Mapping[str, Any], key: str) -> int:
    """The value of a dotted key that counts something; 0 where there is none.

    Raises:
        ValueError: it is no whole number.
    """
    value = lookup(config, key, 0)
    if not isinstance(value, int):
        raise ValueError(f"config.yaml is damaged: {key}={value!r} must be a whole number")
    return value


def lookup(config: Mapping[str, Any], key: str, default: Any) -> Any:
    """The value of a dotted key, or ``default``."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def algorithm_label(config: Mapping[str, Any]) -> str:
    """The method in a few words, from what the configuration does rather than what it was called."""
    estimator = str(lookup(config, "advantage.estimator", "?"))
    if estimator != "gae":
        return estimator
    count = whole_number(config, "critics.count")
    gated = lookup(config, "gates.mask_pct", 0) or lookup(config, "gates.entropy_filter_pct", 0)
    if count < 2:
        return "ppo"
    split = "" if lookup(config, "critics.split", "by_response") == "by_response" else ", shared"
    return f"{'asyppo' if gated else 'ppo'}, {count} critics{split}"


MISSING = object()


def diff_configs(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted keys whose values differ, with both values; :data:`MISSING` where one has no such key."""
    a, b = flatten(first), flatten(second)
    keys = [*a, *(key for key in b if key not in a)]
    pairs = {key: (a.get(key, MISSING), b.get(key, MISSING)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] is MISSING or pair[1] is MISSING or pair[0] != pair[1]}
