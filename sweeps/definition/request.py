"""From what is typed to a definition: a grid, a search, or a named study at one of its scales, with changes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from asyppo_cli.keys import short_names
from asyppo_cli.runs.directory import check_name
from asyppo_cli.runs.studies import StudyTrial
from sweeps.definition.definition import Definition, PrunerName, SamplerName, Search
from sweeps.definition.grammar import SEED, Axes, Listed, Span, key_of, parse, seed_axis
from sweeps.definition.grid import SETTING, grid_size
from sweeps.definition.objectives import objectives
from sweeps.definition.optuna_samplers import PRUNERS, SAMPLERS, check_search
from sweeps.definition.study_files import Part, Scale, Spec, read_spec, unknown

Name = TypeVar("Name", SamplerName, PrunerName)
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Asked:
    """The command line: ``words`` are overrides, the first may be a study's name."""

    words: Sequence[str]
    seeds: int | None = None
    name: str | None = None
    scale: Scale = "embedded"
    sampler: str | None = None
    pruner: str | None = None
    metrics: Sequence[str] = field(default=())
    directions: Sequence[str] = field(default=())
    trials: int | None = None


def define(asked: Asked) -> Definition:
    """What is asked for.

    Raises:
        ValueError: it is no study, or options of it do not go together.
    """
    first = asked.words[0] if asked.words else ""
    if first and "=" not in first and not first.startswith("~"):
        return _named(read_spec(first), asked)
    for word in asked.words:
        if "=" not in word and not word.startswith("~"):
            raise ValueError(unknown(word))
    if asked.scale != "embedded":
        raise ValueError(f"--scale {asked.scale} is for a named study: asyppo sweep ls lists them")
    return _checked(_typed(asked.words, asked), asked)


def _named(spec: Spec, asked: Asked) -> Definition:
    """A study that comes with the package; what is typed counts instead of what it says."""
    part, typed = spec.parts[asked.scale], list(asked.words[1:])
    seeded = any(key_of(word) == SEED for word in typed)
    changed = replace(
        asked,
        seeds=asked.seeds if asked.seeds is not None or seeded else spec.seeds,
        name=asked.name or (spec.name if asked.scale == "embedded" else f"{spec.name}-{asked.scale}"),
        metrics=asked.metrics or (spec.objective.metric,),
        directions=asked.directions or (spec.objective.direction,),
    )
    found = _typed(spec.overrides(asked.scale, typed), changed, part)
    named = replace(found, question=spec.question, paper=spec.reported)
    known = {_setting(named, key, value) for key, axis in named.axes.items() for value in _values(axis)}
    return _checked(replace(named, baseline=part.baseline if part.baseline in known else None), changed)


def _setting(definition: Definition, key: str, value: str) -> str:
    """The setting of a study with one axis at one of its values."""
    label = value if definition.settings and key == SETTING else None
    return StudyTrial("", {key: value}, None, "waiting", label=label).setting


def _values(axis: object) -> tuple[str, ...]:
    return axis.values if isinstance(axis, Listed) else ()


def _typed(words: Sequence[str], asked: Asked, part: Part | None = None) -> Definition:
    parsed = parse(words)
    axes: dict[str, Listed | Span] = dict(parsed.axes)
    settings = part.settings if part is not None else {}
    if settings:
        axes = {SETTING: Listed(tuple(settings)), **axes}
    if asked.seeds is not None:
        keys = [*map(key_of, parsed.fixed), *axes]
        axes[SEED] = seed_axis(asked.seeds, keys)
    elif SEED in axes:
        axes[SEED] = axes.pop(SEED)
    if not axes:
        raise ValueError(
            "there is nothing to sweep: give a key several values, as in mask_pct=0.1,0.2, or --seeds 3, or a study"
        )
    search = _search(asked, axes)
    return Definition(
        name=check_name(asked.name or "_".join(short_names(list(axes)).values())),
        fixed=parsed.fixed,
        axes=axes,
        objectives=objectives(asked.metrics, asked.directions, search is not None),
        search=search,
        settings=settings,
    )


def _search(asked: Asked, axes: Axes) -> Search | None:
    """A search, if there is an interval or a number of trials; ValueError if options of one are missing."""
    spans = [key for key, axis in axes.items() if isinstance(axis, Span)]
    if not spans and asked.trials is None:
        for option, given in (("--sampler", asked.sampler), ("--pruner", asked.pruner)):
            if given not in (None, "none"):
                raise ValueError(f"{option} {given} is for a search: add --trials N, or leave it out of a grid")
        return None
    if asked.trials is None:
        raise ValueError(f"{spans[0]} is an interval, which opens a search: say how many trials with --trials N")
    sampler = _one_of("--sampler", asked.sampler or "tpe", SAMPLERS)
    pruner = _one_of("--pruner", asked.pruner or "none", PRUNERS)
    trials = min(asked.trials, grid_size(axes)) if sampler == "grid" and not spans else asked.trials
    return Search(sampler, pruner, trials, max_steps=0)


def _one_of(option: str, text: str, known: Mapping[Name, str]) -> Name:
    for name in known:
        if name == text:
            return name
    raise ValueError(f"{option} {text!r}: there are {', '.join(known)}")


def _checked(definition: Definition, asked: Asked) -> Definition:
    if asked.seeds is not None and definition.search is not None:
        raise ValueError("a search looks for settings, not for seeds: leave --seeds and seed=... to a grid")
    if definition.search is not None:
        check_search(definition)
    return definition


def seconds(text: str) -> float:
    """A time as typed: seconds, or with a unit, as in 90s, 30m, 2h, 1d; ValueError if it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    if found is None or not float(found[1]):
        raise ValueError(f"--time-budget {text!r}: write seconds, or a number with a unit, as in 90s, 30m, 2h")
    return float(found[1]) * UNITS[found[2]]
