"""Runs at a glance, and two of them side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from asyppo_cli.keys import flatten
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory, all_runs, check_runs_dir, last_active, name_in
from asyppo_cli.runs.files.lock import is_locked
from asyppo_cli.runs.lineage import Lineage, read_lineage
from asyppo_cli.runs.metric_log import read_metrics
from asyppo_cli.runs.status import Headline, RunStatus, State, read_status


@dataclass(frozen=True, kw_only=True)
class RunSummary(Headline):
    """A run at a glance: its headline, its name within the folder of runs, how far it is, where it comes from."""

    name: str
    state: State
    step: int
    max_steps: int
    active: datetime
    message: str | None
    lineage: Lineage | None = None


def list_runs(runs_dir: Path) -> tuple[list[RunSummary], list[str]]:
    """All runs of a folder, trials of studies included, the one last trained first; a notice for each unreadable one.

    Raises:
        ValueError: the folder is a file.
    """
    check_runs_dir(runs_dir)
    runs, notices = [], []
    for run in all_runs(runs_dir):
        name = name_in(runs_dir, run)
        try:
            runs.append(replace(summarise(run), name=name))
        except (OSError, ValueError) as error:
            notices.append(f"run {name} is left out: {error}")
    return sorted(runs, key=lambda run: (run.active, run.name), reverse=True), notices


def summarise(run: RunDirectory) -> RunSummary:
    """Status and headline of a run in one record; of its other files those are read that the status does not cover.

    Raises:
        ValueError: one of its files is damaged.
    """
    status = read_status(run.status)
    headline = status.headline if status is not None and status.headline is not None else headline_of(run)
    if status is not None:
        step, max_steps = status.step, status.max_steps
    else:
        rows = read_metrics(run.metrics).rows
        step, max_steps = int(rows[-1][names.STEP]) if rows else 0, whole_number(read_config(run), "max_steps")
    return RunSummary(
        **asdict(headline),
        name=run.name,
        state=current_state(run, status),
        step=step,
        max_steps=max_steps,
        active=last_active(run),
        message=status.message if status else None,
        lineage=read_lineage(run),
    )


def headline_of(run: RunDirectory) -> Headline:
    """The headline by the configuration and all metrics so far.

    Raises:
        ValueError: one of the files is damaged.
    """
    config = read_config(run)
    headline = Headline(algorithm_label(config), str(lookup(config, "task.name", "?")))
    for row in read_metrics(run.metrics).rows:
        headline = headline.after(row)
    return headline


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
        text = run.config.read_text(encoding="utf-8")
        # libyaml is eight times faster, where PyYAML was built with it.
        config = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text).get_single_data()
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
