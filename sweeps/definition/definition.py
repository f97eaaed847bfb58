"""What a study is asked for, as it is kept in the storage: every worker reads it there and needs nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from asyppo_cli.runs.studies import Objective, PaperAblation
from sweeps.definition.grammar import SEED, Axes, Axis, Listed, Span

SamplerName = Literal["tpe", "random", "grid", "cmaes", "gp", "nsga2"]
PrunerName = Literal["none", "median", "hyperband"]


@dataclass(frozen=True)
class Search:
    """How points are chosen: the sampler, the pruner, how many trials in all; ``max_steps`` of a trial."""

    sampler: SamplerName
    pruner: PrunerName
    trials: int
    max_steps: int


@dataclass(frozen=True)
class Definition:
    """A study: the overrides that all trials share, the axes by key, how trials are judged, and how a search goes.

    ``settings`` gives the overrides of each label where the axis ``setting`` stands for more than one key.
    """

    name: str
    fixed: tuple[str, ...]
    axes: Axes
    objectives: tuple[Objective, ...]
    search: Search | None = None
    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    question: str | None = None
    baseline: str | None = None
    paper: PaperAblation | None = None

    @property
    def kind(self) -> Literal["grid", "search"]:
        """Whether points are listed, or looked for."""
        return "grid" if self.search is None else "search"

    def to_json(self) -> str:
        """As text for the storage."""
        return json.dumps(asdict(self))


def from_json(text: str) -> Definition:
    """The definition in a storage.

    Raises:
        ValueError: it is none of this version.
    """
    try:
        known = json.loads(text)
        search, paper = known.pop("search"), known.pop("paper")
        return Definition(
            **{
                **known,
                "fixed": tuple(known["fixed"]),
                "axes": {key: _axis(axis) for key, axis in known["axes"].items()},
                "objectives": tuple(Objective(**one) for one in known["objectives"]),
                "settings": {label: tuple(chosen) for label, chosen in known["settings"].items()},
                "search": None if search is None else Search(**search),
                "paper": None if paper is None else PaperAblation(**paper),
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("the study was not made by asyppo sweep, or by another version of it") from error


def grown(known: Definition, asked: Definition) -> Definition:
    """The study that there is, with what is asked for now: more seeds, more numbers of an axis, more trials.

    Raises:
        ValueError: another study is asked for.
    """
    other = [
        name
        for name, before, now in (
            ("axes", list(known.axes), list(asked.axes)),
            ("fixed values", sorted(known.fixed), sorted(asked.fixed)),
            ("metrics", known.objectives, asked.objectives),
            ("settings", known.settings, asked.settings),
            ("sampler or pruner", _way(known), _way(asked)),
        )
        if before != now
    ]
    axes = (
        {}
        if other
        else {key: _widened(axis, asked.axes[key], known.search is not None) for key, axis in known.axes.items()}
    )
    other += [f"values of {key}" for key, axis in axes.items() if axis is None]
    if other:
        raise ValueError(f"study {known.name} exists with other {', '.join(other)}: choose another --name")
    widened = {key: axis for key, axis in axes.items() if axis is not None}
    search = known.search
    if search is not None and asked.search is not None:
        search = replace(search, trials=max(search.trials, asked.search.trials))
    return replace(known, axes=widened, search=search)


def _way(definition: Definition) -> tuple[str, ...]:
    search = definition.search
    return () if search is None else (search.sampler, search.pruner)


def _widened(known: Axis, asked: Axis, searched: bool) -> Axis | None:
    """The values of both; None if they cannot be one axis: a storage lets only lists of one kind of number grow."""
    if known == asked or searched:
        return known if known == asked else None
    if not isinstance(known, Listed) or not isinstance(asked, Listed):
        return None
    new = [value for value in asked.values if value not in set(known.values)]
    if new and (kind_of(known.values) == "text" or kind_of(known.values) != kind_of(asked.values)):
        return None
    return replace(known, values=(*known.values, *new))


def kind_of(values: Sequence[str]) -> Literal["whole", "number", "text"]:
    """What all the values are."""
    if all(re.fullmatch(r"[+-]?\d+", value) for value in values):
        return "whole"
    number = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
    return "number" if all(re.fullmatch(number, value) for value in values) else "text"


def _axis(known: Mapping[str, Any]) -> Axis:
    if {name.name for name in fields(Span)} == set(known):
        return Span(**known)
    return Listed(tuple(known["values"]), known["ordered"])


def seeds_of(definition: Definition) -> tuple[str, ...]:
    """The seeds that are swept; none if they are not."""
    axis = definition.axes.get(SEED)
    return axis.values if isinstance(axis, Listed) else ()
