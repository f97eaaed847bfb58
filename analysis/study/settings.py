"""The settings of a study over their seeds: means with intervals, differences to the baseline, and what is missing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.stats.power import detectable, holm
from analysis.stats.seed_bootstrap import ROUNDING, SeedMean, seed_means
from asyppo_cli.keys import did_you_mean
from asyppo_cli.runs.studies import DEFAULT_SETTING, Direction, Study, StudyTrial, TrialState

Seed = int | None
Told = Literal["better", "worse", "no difference", "cannot tell"]


@dataclass(frozen=True)
class Setting:
    """A setting with its trials; of each objective the finite ``values`` by seed and their mean, None of none."""

    name: str
    point: Mapping[str, str]
    trials: tuple[StudyTrial, ...]
    values: tuple[Mapping[Seed, float], ...]
    means: tuple[SeedMean | None, ...]
    seconds: float | None

    @property
    def seeds(self) -> tuple[Seed, ...]:
        """Seeds with a value of the first objective, in order."""
        return tuple(self.values[0])

    def count(self, state: TrialState) -> int:
        """How many of its trials are in that state."""
        return sum(trial.state == state for trial in self.trials)


@dataclass(frozen=True)
class Effect:
    """``setting`` minus ``baseline`` over the seeds that both have.

    ``told`` is what the interval allows to be said alone; ``holm`` is p after Holm's correction for all comparisons of
    the objective, ``detectable`` the least difference that so many seeds show in four of five cases.
    """

    setting: str
    baseline: str
    difference: SeedMean
    holm: float
    told: Told

    @property
    def detectable(self) -> float:
        """In the objective's own unit."""
        return detectable(self.difference.spread, self.difference.seeds)


@dataclass(frozen=True)
class Gap:
    """A trial without a number, and why: its state, or that it is not there at all (``name`` None)."""

    name: str | None
    setting: str
    seed: Seed
    state: TrialState | Literal["missing", "without a number"]
    reason: str | None = None


def settings_of(study: Study) -> list[Setting]:
    """All settings in the order met, those without a finished trial too."""
    groups: dict[str, list[StudyTrial]] = {}
    for trial in study.trials:
        groups.setdefault(trial.setting, []).append(trial)
    objectives = range(len(study.objectives))
    values = {name: tuple(_by_seed(trials, i) for i in objectives) for name, trials in groups.items()}
    samples = [(name, i) for name in groups for i in objectives if values[name][i]]
    means = dict(
        zip(samples, seed_means([list(values[name][i].values()) for name, i in samples], "levels"), strict=True)
    )
    return [
        Setting(
            name=name,
            point=trials[0].point,
            trials=tuple(trials),
            values=values[name],
            means=tuple(means.get((name, i)) for i in objectives),
            seconds=_seconds(trials),
        )
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


def seed_order(seed: Seed) -> tuple[bool, int]:
    """Trials without a seed first."""
    return seed is not None, seed or 0


def _seconds(trials: Sequence[StudyTrial]) -> float | None:
    known = sorted(t.seconds for t in trials if t.state == "finished" and t.seconds is not None)
    return statistics.fmean(known) if known else None


def baseline_of(study: Study, settings: Sequence[Setting]) -> str | None:
    """The setting that others are compared with: the one named, the default of a search, or the first of a grid.

    Raises:
        ValueError: the one named is not among the settings.
    """
    names = [setting.name for setting in settings]
    if study.baseline is not None and study.baseline not in names:
        near = did_you_mean(study.baseline, names)
        raise ValueError(f"study {study.name}: the baseline {study.baseline!r} is none of its settings; {near}")
    if study.baseline is not None or not names:
        return study.baseline
    if study.kind == "search":
        return DEFAULT_SETTING if DEFAULT_SETTING in names else None
    return names[0]


def effects(settings: Sequence[Setting], baseline: str | None, objective: int, direction: Direction) -> list[Effect]:
    """Every other setting against the baseline, as far as they have seeds in common; the best comes first."""
    reference = next((setting for setting in settings if setting.name == baseline), None)
    if reference is None:
        return []
    own = reference.values[objective]
    paired = {s.name: _paired(own, s.values[objective]) for s in settings if s is not reference}
    names = [name for name, differences in paired.items() if differences]
    found = seed_means([paired[name] for name in names], "differences")
    adjusted = holm([difference.p for difference in found])
    sign = 1 if direction == "maximize" else -1
    rows = [
        Effect(name, reference.name, difference, p, told(difference, direction))
        for name, difference, p in zip(names, found, adjusted, strict=True)
    ]
    return sorted(rows, key=lambda row: (-sign * row.difference.mean, row.setting))


def _paired(reference: Mapping[Seed, float], other: Mapping[Seed, float]) -> list[float]:
    return [minus(other[seed], reference[seed]) for seed in reference if seed in other]


def minus(a: float, b: float) -> float:
    """The difference, and 0 where both are equal but for rounding."""
    return 0.0 if abs(a - b) <= ROUNDING * max(abs(a), abs(b)) else a - b


def told(difference: SeedMean, direction: Direction) -> Told:
    """What its interval allows to be said of a difference."""
    sign = 1 if direction == "maximize" else -1
    interval = difference.interval
    if not interval.known:
        return "cannot tell"
    if interval.holds(0.0):
        return "no difference"
    return "better" if sign * interval.mean > 0 else "worse"


def gaps(study: Study) -> list[Gap]:
    """Every trial that gave no number; of a grid also those that are not there though other settings have the seed."""
    found = [Gap(t.name, t.setting, t.seed, t.state, t.reason) for t in study.trials if t.state != "finished"]
    for trial in study.trials:
        if trial.state == "finished":
            none = [o.metric for i, o in enumerate(study.objectives) if value_of(trial, i) is None]
            if none:
                reason = f"no finite {', '.join(none)}"
                found.append(Gap(trial.name, trial.setting, trial.seed, "without a number", reason))
    return found + (_missing(study) if study.kind == "grid" else [])


def _missing(study: Study) -> list[Gap]:
    there = {(trial.setting, trial.seed) for trial in study.trials}
    settings = dict.fromkeys(trial.setting for trial in study.trials)
    seeds = sorted({trial.seed for trial in study.trials}, key=seed_order)
    return [Gap(None, name, seed, "missing") for name in settings for seed in seeds if (name, seed) not in there]
