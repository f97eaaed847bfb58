"""A folder of runs as a study, from the small files of its runs alone: what varies between them is the question.

What the runs cannot know (the question, names for settings, what the paper reports) is taken from a study's definition
in YAML, as those in ``sweeps/studies/``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory, run_directories
from asyppo_cli.runs.listing import current_state, lookup, read_config, whole_number
from asyppo_cli.runs.metric_log import MetricRows, read_metrics
from asyppo_cli.runs.overrides import is_execution_key, override_pairs, read_overrides, varying
from asyppo_cli.runs.status import read_status
from asyppo_cli.runs.studies import Direction, Objective, PaperAblation, Study, StudyTrial
from sweeps.definition.study_files import read_study_file

SEED = "seed"
# Presets of conf/ that are called after a number.
NUMBER_WORDS = {"off": "0", "one": "1", "two": "2", "four": "4", "eight": "8"}


@dataclass(frozen=True)
class Definition:
    """What a definition says; ``labels`` are settings' names with the overrides that make them."""

    question: str | None = None
    baseline: str | None = None
    metric: str = names.ACCURACY
    direction: Direction = "maximize"
    paper: PaperAblation | None = None
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def read_definition(path: Path) -> Definition:
    """The definition in a YAML file, its part for the embedded models.

    Raises:
        ValueError: the file cannot be read, or is no definition.
    """
    study = read_study_file(path)
    part, objective = study.scales["embedded"], study.objective
    labels = {name: override_pairs(typed) for name, typed in part.settings.items()}
    return Definition(study.question, part.baseline, objective.metric, objective.direction, study.reported, labels)


def read_study(folder: Path, definition: Definition | None = None) -> Study:
    """The study that the runs below ``folder`` make up; a trial for each, in the order of their settings' values.

    Raises:
        ValueError: there is no run, or a file of one is damaged.
    """
    definition = definition or Definition()
    runs = run_directories(folder)
    if not runs:
        raise ValueError(f"{folder} holds no run: name the folder of a sweep")
    typed = [read_overrides(run) for run in runs]
    keys = [key for key in varying(typed) if not is_execution_key(key)]
    trials = [read_trial(run, overrides, keys, definition) for run, overrides in zip(runs, typed, strict=True)]
    order = list(definition.labels)
    trials.sort(key=lambda trial: (order.index(trial.label) if trial.label else len(order), _by_point(trial)))
    settings = list(dict.fromkeys(trial.setting for trial in trials))
    return Study(
        name=folder.resolve().name,
        kind="grid",
        objectives=(Objective(definition.metric, definition.direction),),
        trials=tuple(trials),
        question=definition.question,
        baseline=None if definition.baseline is None else alike(definition.baseline, settings),
        paper=None if definition.paper is None else _named_alike(definition.paper, settings),
        overrides=tuple(f"{key}={value}" for key, value in typed[0].items() if _in_all(key, typed)),
    )


def _in_all(key: str, typed: Sequence[Mapping[str, str]]) -> bool:
    return not is_execution_key(key) and all(one.get(key) == typed[0][key] for one in typed)


def _by_point(trial: StudyTrial) -> list[tuple[bool, float, str]]:
    return [*map(number_first, trial.point.values()), number_first(str(trial.seed))]


def read_trial(
    run: RunDirectory, overrides: Mapping[str, str], keys: Sequence[str], definition: Definition
) -> StudyTrial:
    """One run as a trial of the study in which ``keys`` vary.

    Raises:
        ValueError: a file of it is damaged.
    """
    status, config, rows = read_status(run.status), read_config(run), read_metrics(run.metrics)
    state = current_state(run, status)
    own = (label for label, pairs in definition.labels.items() if pairs.items() <= overrides.items())
    return StudyTrial(
        name=run.name,
        point={key: overrides[key] if key in overrides else _resolved(config, key) for key in keys},
        seed=whole_number(config, SEED),
        state=state,
        values=(last_value(rows, definition.metric),) if state == "finished" else (),
        reason=status.message if status else "it has not begun",
        seconds=rows.seconds(),
        label=next(own, None),
    )


def _resolved(config: Mapping[str, Any], key: str) -> str:
    """What a key that was not typed stood for, as far as the configuration says it."""
    value = lookup(config, key, None)
    return "default" if value is None or isinstance(value, Mapping) else str(value)


def last_value(metrics: MetricRows, metric: str) -> float:
    """The last value of a metric; NaN where it was never measured."""
    return next((row[metric] for row in reversed(metrics.rows) if metric in row), math.nan)


def alike(wanted: str, settings: Sequence[str]) -> str:
    """The setting that says the same in other words (``k=one`` for ``k=1``); ``wanted`` itself where none does."""
    return wanted if wanted in settings else next((s for s in settings if _plain(s) == _plain(wanted)), wanted)


def _plain(setting: str) -> frozenset[tuple[str, float | str]]:
    """Keys with their values, numbers as such, whatever their order."""
    pairs = (word.partition("=") for word in setting.split(" "))
    return frozenset((key, word if (found := number_first(word))[0] else found[1]) for key, _, word in pairs)


def _named_alike(paper: PaperAblation, settings: Sequence[str]) -> PaperAblation:
    return PaperAblation(paper.metric, paper.source, {alike(name, settings): x for name, x in paper.values.items()})


def number_first(value: str) -> tuple[bool, float, str]:
    """Sorts numbers by size, presets called after numbers among them, before words by letters."""
    try:
        return False, float(NUMBER_WORDS.get(value, value)), value
    except ValueError:
        return True, 0.0, value
