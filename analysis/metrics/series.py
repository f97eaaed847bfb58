"""Metrics of several runs as series: found by name, smoothed, seeds joined into a mean with an interval.

Legend: ``S`` steps that all seeds of a group have.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.stats.intervals import Interval, mean_interval
from analysis.stats.results import read_overrides, varying
from asyppo_cli.keys import did_you_mean, flatten
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.listing import algorithm_label, diff_configs, lookup, read_config, whole_number
from asyppo_cli.runs.metric_log import MetricRows, read_metrics

Array = NDArray[Any]
Axis = Literal["step", "tokens", "samples", "hours"]
DEFAULTS = (
    names.ACCURACY,
    names.REWARD_MEAN,
    names.LENGTH_MEAN,
    names.ENTROPY,
    names.EXPLAINED_VARIANCE,
    names.DISAGREEMENT,
)
# What may differ between runs of one setting: it says how a run was carried out, not what it computes.
CARRIED_OUT = ("seed", "learner.threads", "grading.workers", "logging", "records", "checkpoints")
# Groups of configuration whose presets are names that speak for themselves.
PRESETS = ("algorithm", "experiment", "task")
# Appendix C.1 of the AsyPPO paper: "11-step moving mean with exponential factor 0.6; smooth windows 4 and 2". Our
# reading: weights 0.6^age over 11 steps, then plain means over 4 and over 2.
PAPER_WINDOW, PAPER_FACTOR, PAPER_WINDOWS = 11, 0.6, (4, 2)


@dataclass(frozen=True)
class Group:
    """Runs that differ by their seed only, by seed."""

    label: str
    runs: Mapping[int, RunDirectory]
    metrics: Mapping[int, MetricRows]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Series:
    """One metric of a group at ``steps``: ``x`` and ``raw`` are means over seeds ``[S]``, ``smooth`` with interval.

    ``last`` is the smoothed value of each seed at the last step; ``longest`` the last step that any seed has.
    """

    label: str
    steps: Array
    x: Array
    raw: Array
    smooth: tuple[Interval, ...]
    last: Mapping[int, float]
    longest: int


def group_by_setting(runs: Sequence[RunDirectory]) -> list[Group]:
    """Runs of one configuration but for the seed, together; groups in the order met.

    Raises:
        ValueError: two runs of one setting have the same seed, or a file is damaged.
    """
    configs = [read_config(run) for run in runs]
    groups: list[list[int]] = []
    for i, config in enumerate(configs):
        same = (group for group in groups if not _differing(configs[group[0]], config))
        found = next(same, None)
        if found is None:
            groups.append([i])
        else:
            found.append(i)
    labels = _labels([configs[group[0]] for group in groups], [runs[group[0]] for group in groups])
    return [
        _group(label, [runs[i] for i in group], [configs[i] for i in group])
        for label, group in zip(labels, groups, strict=True)
    ]


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    keys = diff_configs(first, second)
    return [key for key in keys if not any(key == how or key.startswith(f"{how}.") for how in CARRIED_OUT)]


def _labels(configs: Sequence[Mapping[str, Any]], runs: Sequence[RunDirectory]) -> list[str]:
    """What tells groups apart: the method, else what was typed, else the settings that differ, else the runs' names."""
    methods = [algorithm_label(config) for config in configs]
    typed = _typed(runs)
    for labels in (methods, typed):
        if len(set(labels)) == len(labels):
            return labels
    keys = list(dict.fromkeys(key for config in configs for key in _differing(configs[0], config)))
    if len(keys) > 2:
        return [run.name for run in runs]
    tables = [flatten(config) for config in configs]
    return [", ".join(f"{key.rpartition('.')[2]} {table.get(key, '-')}" for key in keys) for table in tables]


def _typed(runs: Sequence[RunDirectory]) -> list[str]:
    """The overrides that differ between the groups, as typed; of a preset its name alone."""
    overrides = [read_overrides(run) if run.overrides.exists() else {} for run in runs]
    keys = [key for key in varying(overrides) if key not in CARRIED_OUT]
    return [
        ", ".join(
            table.get(key, "-") if key in PRESETS else f"{key.rpartition('.')[2]} {table.get(key, '-')}" for key in keys
        )
        for table in overrides
    ]


def _group(label: str, runs: Sequence[RunDirectory], configs: Sequence[Mapping[str, Any]]) -> Group:
    by_seed: dict[int, RunDirectory] = {}
    for run, config in zip(runs, configs, strict=True):
        seed = whole_number(config, "seed")
        if seed in by_seed:
            raise ValueError(
                f"runs {by_seed[seed].name} and {run.name} have one setting and seed {seed}: leave one out"
            )
        by_seed[seed] = run
    ordered = dict(sorted(by_seed.items()))
    return Group(label, ordered, {seed: read_metrics(run.metrics) for seed, run in ordered.items()}, configs[0])


def find_metrics(typed: Sequence[str], groups: Sequence[Group]) -> list[str]:
    """Full names of the metrics typed (a name, or a part that only one has); without any, those that matter most.

    Raises:
        ValueError: no run has such a metric (the nearest are named), or several fit.
    """
    rows = (row for group in groups for metrics in group.metrics.values() for row in metrics.rows)
    known = [name for name in dict.fromkeys(name for row in rows for name in row) if name != names.STEP]
    if not known:
        raise ValueError(
            f"run {next(iter(groups[0].runs.values())).name} has no metrics yet: its first step is not done"
        )
    if not typed:
        return [name for name in DEFAULTS if name in known] or known[:1]
    return list(dict.fromkeys(_find(word, known) for word in typed))


def _find(word: str, known: Sequence[str]) -> str:
    if word in known:
        return word
    fitting = [name for name in known if word and word in name]
    endings = [name for name in fitting if name.endswith(f"/{word}")]
    for found in (endings, fitting):
        if len(found) == 1:
            return found[0]
    if fitting:
        raise ValueError(f"metric {word!r} may be {', '.join(fitting[:6])}: write more of it")
    raise ValueError(f"there is no metric {word!r} in these runs; {did_you_mean(word, known)}")


def series(group: Group, metric: str, axis: Axis, smooth: str) -> Series | None:
    """A metric of a group; None if a seed has no value of it, or the seeds have no step in common.

    Raises:
        ValueError: ``smooth`` is no smoothing.
    """
    tables = [_values(metrics, metric) for metrics in group.metrics.values()]
    steps = sorted(set.intersection(*(set(table) for table in tables)))
    if not steps:
        return None
    places = [_places(metrics, group.config, axis) for metrics in group.metrics.values()]
    smoothed = [smoothed_at(steps, table, smooth) for table in tables]
    return Series(
        label=group.label,
        steps=np.array(steps),
        x=np.array([[place[step] for step in steps] for place in places]).mean(0),
        raw=np.array([[table[step] for step in steps] for table in tables]).mean(0),
        smooth=tuple(mean_interval(values) for values in zip(*smoothed, strict=True)),
        last={seed: values[-1] for seed, values in zip(group.metrics, smoothed, strict=True)},
        longest=max(max(table) for table in tables),
    )


def _values(metrics: MetricRows, name: str) -> dict[int, float]:
    """Finite values by step."""
    rows = metrics.rows
    return {int(row[names.STEP]): row[name] for row in rows if name in row and math.isfinite(row[name])}


def _places(metrics: MetricRows, config: Mapping[str, Any], axis: Axis) -> dict[int, float]:
    """Where each step stands on the axis: what had been done when it was over."""
    per_round = lookup(config, "rollout.prompts", 0) * lookup(config, "rollout.responses", 0)
    total, places = 0.0, {}
    for row in metrics.rows:
        samples = per_round * row.get(names.RESAMPLES, 0.0)
        match axis:
            case "step":
                total = row[names.STEP]
            case "samples":
                total += samples
            case "tokens":
                total += samples * row.get(names.LENGTH_MEAN, 0.0)
            case "hours":
                total += (row.get(names.STEP_TIME, 0.0) + row.get(names.time("evaluate"), 0.0)) / 3600
        places[int(row[names.STEP])] = total
    return places


def smoothed_at(steps: Sequence[int], table: Mapping[int, float], smooth: str) -> list[float]:
    """The values at the steps, smoothed: ``paper`` (appendix C.1), ``none``, or a plain mean over so many steps.

    Windows look back and count steps, not points: what is measured every 20 steps is not blurred over hundreds.

    Raises:
        ValueError: it is none of these.
    """
    values = [table[step] for step in steps]
    if smooth == "none":
        return values
    if smooth == "paper":
        values = moving_mean(steps, values, PAPER_WINDOW, PAPER_FACTOR)
        for window in PAPER_WINDOWS:
            values = moving_mean(steps, values, window)
        return values
    if not re.fullmatch(r"[1-9]\d{0,5}", smooth):
        raise ValueError(f"--smooth {smooth!r} is no smoothing: write paper, none, or a number of steps")
    return moving_mean(steps, values, int(smooth))


def moving_mean(steps: Sequence[int], values: Sequence[float], window: int, factor: float = 1.0) -> list[float]:
    """Mean of the values of the last ``window`` steps, each weighted by ``factor`` to the power of its age in steps."""
    result, first = [], 0
    for i, step in enumerate(steps):
        while steps[first] <= step - window:
            first += 1
        weights = [factor ** (step - steps[j]) for j in range(first, i + 1)]
        result.append(sum(w * v for w, v in zip(weights, values[first : i + 1], strict=True)) / sum(weights))
    return result
