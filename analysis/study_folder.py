"""A folder of runs as a study, from the small files of its runs alone: what varies between them is what was asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.metric_series import CARRIED_OUT
from analysis.results import read_overrides, varying
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory, run_directories
from asyppo_cli.runs.listing import current_state, lookup, read_config, whole_number
from asyppo_cli.runs.metric_log import MetricRows, read_metrics
from asyppo_cli.runs.status import read_status
from asyppo_cli.runs.studies import Direction, Objective, PaperAblation, Study, StudyTrial

SEED = "seed"
# Presets of conf/ that are called after a number.
NUMBER_WORDS = {"off": "0", "none": "0", "one": "1", "two": "2", "four": "4", "eight": "8"}


def read_study(
    folder: Path,
    question: str | None = None,
    baseline: str | None = None,
    paper: PaperAblation | None = None,
    metric: str = names.ACCURACY,
    direction: Direction = "maximize",
) -> Study:
    """The study that the runs below ``folder`` make up; a trial for each, in the order of their settings' values.

    Raises:
        ValueError: there is no run, or a file of one is damaged.
    """
    runs = run_directories(folder)
    if not runs:
        raise ValueError(f"{folder} holds no run: name the folder of a sweep")
    typed = [read_overrides(run) for run in runs]
    keys = [key for key in varying(typed) if not carried_out(key)]
    trials = [read_trial(run, overrides, keys, metric) for run, overrides in zip(runs, typed, strict=True)]
    trials.sort(
        key=lambda trial: [*(number_first(value) for value in trial.point.values()), number_first(str(trial.seed))]
    )
    return Study(
        name=folder.name,
        kind="grid",
        objectives=(Objective(metric, direction),),
        trials=tuple(trials),
        question=question,
        baseline=baseline,
        paper=paper,
    )


def carried_out(key: str) -> bool:
    """Whether a key says how a run is carried out and not what it computes; the seed is one."""
    return any(key == how or key.startswith(f"{how}.") for how in CARRIED_OUT)


def read_trial(run: RunDirectory, overrides: Mapping[str, str], keys: Sequence[str], metric: str) -> StudyTrial:
    """One run as a trial of the study in which ``keys`` vary.

    Raises:
        ValueError: a file of it is damaged.
    """
    status, config, rows = read_status(run.status), read_config(run), read_metrics(run.metrics)
    state = current_state(run, status)
    return StudyTrial(
        name=run.name,
        point={key: overrides[key] if key in overrides else _resolved(config, key) for key in keys},
        seed=whole_number(config, SEED),
        state=state,
        values=(last_value(rows, metric),) if state == "finished" else (),
        reason=status.message if status else "it has not begun",
        seconds=seconds_of(rows),
    )


def _resolved(config: Mapping[str, Any], key: str) -> str:
    """What a key that was not typed stood for, as far as the configuration says it."""
    value = lookup(config, key, None)
    return "default" if value is None or isinstance(value, Mapping) else str(value)


def last_value(metrics: MetricRows, metric: str) -> float:
    """The last value of a metric; NaN where it was never measured."""
    return next((row[metric] for row in reversed(metrics.rows) if metric in row), math.nan)


def seconds_of(metrics: MetricRows) -> float:
    """Seconds of training and evaluation."""
    return sum(metrics.series(names.STEP_TIME)) + sum(metrics.series(names.time("evaluate")))


def number_first(value: str) -> tuple[bool, float, str]:
    """Sorts numbers by size, presets called after numbers among them, before words by letters."""
    try:
        return False, float(NUMBER_WORDS.get(value, value)), value
    except ValueError:
        return True, 0.0, value
