"""The settings of a study under one objective: means over seeds, the baseline, trials without a number."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.stats.effects import Seed, seed_order
from analysis.stats.seed_bootstrap import SeedMean, seed_means
from asyppo_cli.keys import did_you_mean
from asyppo_cli.runs.studies import DEFAULT_SETTING, Study, StudyTrial, TrialState


@dataclass(frozen=True)
class StudySetting:
    """A setting with its trials; of one objective the finite ``values`` by seed and their mean, None without any."""

    name: str
    point: Mapping[str, str]
    trials: tuple[StudyTrial, ...]
    values: Mapping[Seed, float]
    mean: SeedMean | None
    seconds: float | None

    def count(self, state: TrialState) -> int:
        """Number of its trials in that state."""
        return sum(trial.state == state for trial in self.trials)


@dataclass(frozen=True)
class MissingTrial:
    """A trial without a number: its state, or that it does not exist (``name`` None)."""

    name: str | None
    setting: str
    seed: Seed
    state: TrialState | Literal["missing", "without a number"]
    reason: str | None = None


def settings_of(study: Study, objective: int = 0) -> list[StudySetting]:
    """All settings in the order met under the objective of that number, also those without a finished trial."""
    groups: dict[str, list[StudyTrial]] = {}
    for trial in study.trials:
        groups.setdefault(trial.setting, []).append(trial)
    values = {name: _by_seed(trials, objective) for name, trials in groups.items()}
    known = [name for name in groups if values[name]]
    means = dict(zip(known, seed_means([list(values[name].values()) for name in known], "levels"), strict=True))
    return [
        StudySetting(name, trials[0].point, tuple(trials), values[name], means.get(name), _seconds(trials))
        for name, trials in groups.items()
    ]


def _by_seed(trials: Sequence[StudyTrial], objective: int) -> dict[Seed, float]:
    """Finite values by seed in order; trials of one setting and seed are one draw, and count as their mean."""
    found: dict[Seed, list[float]] = {}
    for trial in trials:
        value = value_of(trial, objective)
        if value is not None:
            found.setdefault(trial.seed, []).append(value)
    return {seed: statistics.fmean(sorted(found[seed])) for seed in sorted(found, key=seed_order)}


def value_of(trial: StudyTrial, objective: int) -> float | None:
    """The trial's number; None where it is not finished or the number is not finite."""
    if trial.state != "finished" or len(trial.values) <= objective or not math.isfinite(trial.values[objective]):
        return None
    return trial.values[objective]


def _seconds(trials: Sequence[StudyTrial]) -> float | None:
    known = sorted(t.seconds for t in trials if t.state == "finished" and t.seconds is not None)
    return statistics.fmean(known) if known else None


def baseline_of(study: Study, names: Sequence[str]) -> str | None:
    """The setting that others are compared with: the one named, the default of a search, or the first of a grid.

    Raises:
        ValueError: the one named is not among the settings.
    """
    if study.baseline is not None and study.baseline not in names:
        near = did_you_mean(study.baseline, names)
        raise ValueError(f"study {study.name}: the baseline {study.baseline!r} is none of its settings; {near}")
    if study.baseline is not None or not names:
        return study.baseline
    if study.kind == "search":
        return DEFAULT_SETTING if DEFAULT_SETTING in names else None
    return names[0]


def missing_trials(study: Study) -> list[MissingTrial]:
    """Every trial without a number; of a grid also those that do not exist though other settings have the seed."""
    found = [MissingTrial(t.name, t.setting, t.seed, t.state, t.reason) for t in study.trials if t.state != "finished"]
    for trial in study.trials:
        none = [o.metric for i, o in enumerate(study.objectives) if value_of(trial, i) is None]
        if trial.state == "finished" and none:
            reason = f"no finite {', '.join(none)}"
            found.append(MissingTrial(trial.name, trial.setting, trial.seed, "without a number", reason))
    return found + (_nonexistent(study) if study.kind == "grid" else [])


def _nonexistent(study: Study) -> list[MissingTrial]:
    there = {(trial.setting, trial.seed) for trial in study.trials}
    settings = dict.fromkeys(trial.setting for trial in study.trials)
    seeds = sorted({trial.seed for trial in study.trials}, key=seed_order)
    return [
        MissingTrial(None, name, seed, "missing") for name in settings for seed in seeds if (name, seed) not in there
    ]
