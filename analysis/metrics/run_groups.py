"""Runs grouped by setting, with their metrics: runs that differ by their seed only belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asyppo_cli.keys import did_you_mean, flatten
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.listing import algorithm_label, diff_configs, read_config, whole_number
from asyppo_cli.runs.metric_log import MetricRows, read_metrics
from asyppo_cli.runs.overrides import is_execution_key, read_overrides, varying

DEFAULTS = (
    names.ACCURACY,
    names.REWARD_MEAN,
    names.LENGTH_MEAN,
    names.ENTROPY,
    names.EXPLAINED_VARIANCE,
    names.DISAGREEMENT,
)
# Groups of the configuration whose presets are named such that the name alone is a label.
PRESETS = ("algorithm", "experiment", "task")


@dataclass(frozen=True)
class RunGroup:
    """Runs of one setting and their metrics, by seed."""

    label: str
    runs: Mapping[int, RunDirectory]
    metrics: Mapping[int, MetricRows]
    config: Mapping[str, Any]


def group_by_setting(runs: Sequence[RunDirectory]) -> list[RunGroup]:
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
    return [key for key in diff_configs(first, second) if not is_execution_key(key)]


def _labels(configs: Sequence[Mapping[str, Any]], runs: Sequence[RunDirectory]) -> list[str]:
    """Labels that differ: by the method, else what was typed, else the settings that differ, else the runs' names."""
    for labels in ([algorithm_label(config) for config in configs], _typed(runs)):
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
    keys = [key for key in varying(overrides) if not is_execution_key(key)]
    names_of = {key: "" if key in PRESETS else f"{key.rpartition('.')[2]} " for key in keys}
    return [", ".join(names_of[key] + table.get(key, "-") for key in keys) for table in overrides]


def _group(label: str, runs: Sequence[RunDirectory], configs: Sequence[Mapping[str, Any]]) -> RunGroup:
    by_seed: dict[int, RunDirectory] = {}
    for run, config in zip(runs, configs, strict=True):
        seed = whole_number(config, "seed")
        if seed in by_seed:
            raise ValueError(
                f"runs {by_seed[seed].name} and {run.name} have one setting and seed {seed}: leave one out"
            )
        by_seed[seed] = run
    ordered = dict(sorted(by_seed.items()))
    return RunGroup(label, ordered, {seed: read_metrics(run.metrics) for seed, run in ordered.items()}, configs[0])


def find_metrics(typed: Sequence[str], groups: Sequence[RunGroup]) -> list[str]:
    """Full names of the metrics typed (a name, or a part that only one has); without any, those that matter most.

    Raises:
        ValueError: no run has such a metric (the nearest are named), or several fit.
    """
    rows = (row for group in groups for metrics in group.metrics.values() for row in metrics.rows)
    known = [name for name in dict.fromkeys(name for row in rows for name in row) if name != names.STEP]
    if not known:
        run = next(iter(groups[0].runs.values()))
        raise ValueError(f"run {run.name} has no metrics yet: its first step is not done")
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
