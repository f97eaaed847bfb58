"""From the command line to a definition: a grid, a search, or a named study at one of its scales."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from asyppo_cli.keys import short_names
from asyppo_cli.runs.directory import check_name
from sweeps.definition.definition import PrunerName, SamplerName, SearchOptions, StudyDefinition
from sweeps.definition.grammar import SEED, Axes, Axis, ChoiceAxis, RangeAxis, key_of, parse, seed_axis
from sweeps.definition.grid import SETTING, grid_size, make_trial
from sweeps.definition.objectives import make_objectives
from sweeps.definition.optuna_samplers import PRUNERS, SAMPLERS, SEEDS_IN_SEARCH, check_search
from sweeps.definition.study_files import NamedStudy, Scale, StudyAtScale, read_study, unknown

Name = TypeVar("Name", SamplerName, PrunerName)
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class SweepRequest:
    """The command line: ``words`` are overrides, of which the first may be the name of a study."""

    words: Sequence[str]
    seeds: int | None = None
    name: str | None = None
    scale: Scale = "embedded"
    sampler: str | None = None
    pruner: str | None = None
    metrics: Sequence[str] = field(default=())
    directions: Sequence[str] = field(default=())
    trials: int | None = None


def define(request: SweepRequest) -> StudyDefinition:
    """The definition of the study requested.

    Raises:
        ValueError: a word that is neither a study nor an override, or options that exclude each other.
    """
    words = list(request.words)
    named = bool(words) and not _is_override(words[0])
    for word in words[named:]:
        if not _is_override(word):
            raise ValueError(unknown(word))
    if named:
        return _from_study(read_study(words[0]), request)
    if request.scale != "embedded":
        raise ValueError(f"--scale {request.scale} is for a named study: asyppo sweep ls lists them")
    return _from_words(request.words, request)


def _is_override(word: str) -> bool:
    return "=" in word or word.startswith("~")


def _from_study(study: NamedStudy, request: SweepRequest) -> StudyDefinition:
    """A named study; options and overrides on the command line replace its own."""
    at_scale, typed = study.scales[request.scale], list(request.words[1:])
    seeded = any(key_of(word) == SEED for word in typed)
    merged = replace(
        request,
        seeds=request.seeds if request.seeds is not None or seeded else study.seeds,
        name=request.name or (study.name if request.scale == "embedded" else f"{study.name}-{request.scale}"),
        metrics=request.metrics or (study.objective.metric,),
        directions=request.directions or (study.objective.direction,),
    )
    found = _from_words(at_scale.overrides(typed), merged, at_scale)
    named = replace(found, question=study.question, paper=study.reported)
    settings = {
        make_trial("", {key: value}, named).setting
        for key, axis in named.axes.items()
        if isinstance(axis, ChoiceAxis)
        for value in axis.values
    }
    return replace(named, baseline=at_scale.baseline if at_scale.baseline in settings else None)


def _from_words(words: Sequence[str], request: SweepRequest, study: StudyAtScale | None = None) -> StudyDefinition:
    fixed, parsed = parse(words)
    axes: dict[str, Axis] = dict(parsed)
    settings = study.settings if study is not None else {}
    if settings:
        axes = {SETTING: ChoiceAxis(tuple(settings)), **axes}
    if request.seeds is not None:
        axes[SEED] = seed_axis(request.seeds, [*map(key_of, fixed), *axes])
    elif SEED in axes:
        axes[SEED] = axes.pop(SEED)
    if not axes:
        raise ValueError(
            "nothing to sweep: give a key several values, as in mask_pct=0.1,0.2, or --seeds 3, or a study"
        )
    search = _search(request, axes)
    definition = StudyDefinition(
        name=check_name(request.name or "_".join(short_names(list(axes)).values())),
        fixed=fixed,
        axes=axes,
        objectives=make_objectives(request.metrics, request.directions, search is not None),
        search=search,
        settings=settings,
    )
    if search is not None:
        check_search(definition)
    return definition


def _search(request: SweepRequest, axes: Axes) -> SearchOptions | None:
    """The options of a search, if there is an interval or a number of trials; ValueError if some are missing."""
    intervals = [key for key, axis in axes.items() if isinstance(axis, RangeAxis)]
    if not intervals and request.trials is None:
        for option, given in (("--sampler", request.sampler), ("--pruner", request.pruner)):
            if given not in (None, "none"):
                raise ValueError(f"{option} {given} is for a search: add --trials N, or leave it out of a grid")
        return None
    if request.seeds is not None:
        raise ValueError(SEEDS_IN_SEARCH)
    if request.trials is None:
        raise ValueError(f"{intervals[0]} is an interval, which starts a search: give its number of trials, --trials N")
    sampler = _one_of("--sampler", request.sampler or "tpe", SAMPLERS)
    pruner = _one_of("--pruner", request.pruner or "none", PRUNERS)
    trials = min(request.trials, grid_size(axes)) if sampler == "grid" and not intervals else request.trials
    return SearchOptions(sampler, pruner, trials, max_steps=0)


def _one_of(option: str, text: str, known: Mapping[Name, str]) -> Name:
    for name in known:
        if name == text:
            return name
    raise ValueError(f"{option} {text!r}: choose one of {', '.join(known)}")


def parse_duration(text: str) -> float:
    """Seconds of a duration such as 90, 90s, 30m, 2h or 1d; ValueError if it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    if found is None or not float(found[1]):
        raise ValueError(f"--time-budget {text!r}: write seconds, or a number with a unit, as in 90s, 30m, 2h")
    return float(found[1]) * UNITS[found[2]]
