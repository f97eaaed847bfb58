"""The definition of a study. It is stored with the study, so that a worker needs nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from asyppo_cli.runs.studies import Objective, PaperAblation
from sweeps.definition.grammar import Axes, Axis, ChoiceAxis

SamplerName = Literal["tpe", "random", "grid", "cmaes", "gp", "nsga2"]
PrunerName = Literal["none", "median", "hyperband"]


@dataclass(frozen=True)
class SearchOptions:
    """How a search goes: sampler, pruner, number of trials; ``max_steps`` is the length of its longest trial."""

    sampler: SamplerName
    pruner: PrunerName
    trials: int
    max_steps: int


@dataclass(frozen=True)
class StudyDefinition:
    """The overrides common to all trials, the axes by key, the objectives, and the options of a search.

    ``settings`` gives the overrides of each label where the axis ``setting`` stands for more than one key;
    ``extensions`` the texts of the user's files by name, as they were when the study began.
    """

    name: str
    fixed: tuple[str, ...]
    axes: Axes
    objectives: tuple[Objective, ...]
    search: SearchOptions | None = None
    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    question: str | None = None
    baseline: str | None = None
    paper: PaperAblation | None = None
    extensions: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> Literal["grid", "search"]:
        """Whether all points are known in advance, or a sampler chooses them."""
        return "grid" if self.search is None else "search"

    def to_json(self) -> str:
        """The definition as stored."""
        return json.dumps(asdict(self))


def from_json(text: str) -> StudyDefinition:
    """The stored definition.

    Raises:
        ValueError: the text is no definition of this version.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(StudyDefinition).validate_json(text)
    except ValidationError as error:
        raise ValueError("the study was not made by asyppo sweep, or by another version of it") from error


def extended(known: StudyDefinition, requested: StudyDefinition) -> StudyDefinition:
    """The existing study with the seeds, numbers of an axis and trials that ``requested`` adds.

    Raises:
        ValueError: the two differ in anything else.
    """
    pairs = {
        "axes": (list(known.axes), list(requested.axes)),
        "fixed values": (sorted(known.fixed), sorted(requested.fixed)),
        "metrics": (known.objectives, requested.objectives),
        "settings": (known.settings, requested.settings),
        "sampler or pruner": (_strategy(known.search), _strategy(requested.search)),
    }
    differing = [name for name, (before, now) in pairs.items() if before != now]
    axes: dict[str, Axis] = {}
    for key, axis in () if differing else known.axes.items():
        merged = _merged(axis, requested.axes[key], known.search is not None)
        if merged is None:
            differing.append(f"values of {key}")
        else:
            axes[key] = merged
    if differing:
        raise ValueError(f"study {known.name} exists with other {', '.join(differing)}: choose another --name")
    search = known.search
    if search is not None and requested.search is not None:
        search = replace(search, trials=max(search.trials, requested.search.trials))
    return replace(known, axes=axes, search=search)


def _strategy(search: SearchOptions | None) -> tuple[str, ...]:
    return () if search is None else (search.sampler, search.pruner)


def _merged(known: Axis, requested: Axis, searched: bool) -> Axis | None:
    """The values of both axes; None if they are incompatible: Optuna lets only lists of one kind of number grow."""
    if known == requested:
        return known
    if searched or not isinstance(known, ChoiceAxis) or not isinstance(requested, ChoiceAxis):
        return None
    new = [value for value in requested.values if value not in set(known.values)]
    kind = kind_of(known.values)
    if new and (kind == "text" or kind != kind_of(requested.values)):
        return None
    return replace(known, values=(*known.values, *new))


def kind_of(values: Sequence[str]) -> Literal["whole", "number", "text"]:
    """The narrowest kind that all the values have."""
    if all(re.fullmatch(r"[+-]?\d+", value) for value in values):
        return "whole"
    number = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
    return "number" if all(re.fullmatch(number, value) for value in values) else "text"
