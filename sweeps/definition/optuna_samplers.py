"""Optuna's samplers and pruners by their names on the command line, and which options exclude each other."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING
from zlib import crc32

from asyppo_cli.requirements import pip_install
from sweeps.definition.definition import PrunerName, SamplerName, StudyDefinition, kind_of
from sweeps.definition.grammar import SEED, Axis, ChoiceAxis, RangeAxis
from sweeps.definition.objectives import SECONDS

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

SAMPLERS: Mapping[SamplerName, str] = {
    "tpe": "tree-structured Parzen estimator",
    "random": "independent draws",
    "grid": "every combination, in random order",
    "cmaes": "covariance matrix adaptation; numbers only",
    "gp": "Gaussian process",
    "nsga2": "genetic, for several objectives",
}
PRUNERS: Mapping[PrunerName, str] = {
    "none": "every trial runs to its end",
    "median": "stop trials worse than the median of the others at the same step",
    "hyperband": "many trials with few steps, few with many",
}
SEEDS_IN_SEARCH = "a search varies settings, not seeds: leave out --seeds and seed=..., or sweep a grid"
# Packages that a sampler needs besides Optuna.
REQUIRED_PACKAGES = {"gp": ("scipy", "torch"), "cmaes": ("cmaes",)}


def check_search(definition: StudyDefinition) -> None:
    """ValueError if sampler, pruner, axes and objectives cannot be combined."""
    search = definition.search
    assert search is not None, definition.name
    several = len(definition.objectives) > 1
    intervals = [key for key, axis in definition.axes.items() if isinstance(axis, RangeAxis)]
    lists = [key for key, axis in definition.axes.items() if isinstance(axis, ChoiceAxis) and not axis.ordered]
    missing = [name for name in REQUIRED_PACKAGES.get(search.sampler, ()) if find_spec(name) is None]
    if search.trials < 1:
        raise ValueError(f"--trials {search.trials}: at least 1 is needed")
    if SEED in definition.axes:
        raise ValueError(SEEDS_IN_SEARCH)
    if missing:
        raise ValueError(f"--sampler {search.sampler} needs {missing[0]}: {pip_install(missing[0])}")
    if search.sampler == "cmaes" and lists:
        raise ValueError(f"--sampler cmaes takes only numbers, and {lists[0]} is a list: use interval, range, or tpe")
    if search.sampler == "cmaes" and len(definition.axes) == 1:
        raise ValueError("--sampler cmaes needs two axes or more: use --sampler tpe")
    if search.sampler == "cmaes" and several:
        raise ValueError("--sampler cmaes takes one objective: give one --metric, or use tpe, gp or nsga2")
    if search.sampler == "grid" and intervals:
        raise ValueError(
            f"--sampler grid needs lists, and {intervals[0]} is an interval: use range, or another sampler"
        )
    if search.pruner != "none" and definition.objectives[0].metric == SECONDS:
        raise ValueError(
            f"--pruner {search.pruner} compares a metric during training, and seconds are known only at the end"
        )
    if search.pruner != "none" and several:
        raise ValueError(f"--pruner {search.pruner} needs one objective: give one --metric, or --pruner none")


def make_sampler(definition: StudyDefinition, trial: str) -> BaseSampler:
    """The sampler for one trial, seeded by study and trial, so that no two workers draw the same point."""
    from optuna import samplers

    seed = crc32(f"{definition.name}/{trial}".encode())
    match definition.search and definition.search.sampler:
        case "tpe":
            return samplers.TPESampler(seed=seed)
        case "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        case "gp":
            return samplers.GPSampler(seed=seed)
        case "nsga2":
            return samplers.NSGAIISampler(seed=seed)
        case _:
            return samplers.RandomSampler(seed=seed)


def make_pruner(definition: StudyDefinition) -> BasePruner:
    """The pruner of a study."""
    from optuna import pruners

    search = definition.search
    match search and search.pruner:
        case "median":
            return pruners.MedianPruner(n_warmup_steps=1)
        case "hyperband":
            assert search is not None, definition.name
            return pruners.HyperbandPruner(min_resource=1, max_resource=max(search.max_steps, 1))
        case _:
            return pruners.NopPruner()


def distribution(axis: Axis) -> BaseDistribution:
    """The axis as stored. Lists of numbers are stored as numbers, so that a grid can grow and plots are to scale."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match axis:
        case RangeAxis(whole=True):
            return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
        case RangeAxis():
            return FloatDistribution(axis.low, axis.high, log=axis.log)
    kind = kind_of(axis.values)
    if kind == "text":
        return CategoricalDistribution(axis.values)
    numbers = [float(value) for value in axis.values]
    if kind == "whole":
        return IntDistribution(int(min(numbers)), int(max(numbers)))
    return FloatDistribution(min(numbers), max(numbers))


def search_space(axis: Axis) -> BaseDistribution:
    """As :func:`distribution`, for a sampler: a list whose values are not in equal steps is categorical."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(axis, RangeAxis):
        return distribution(axis)
    kind = kind_of(axis.values)
    if not axis.ordered or kind == "text" or len(axis.values) == 1:
        return CategoricalDistribution(axis.values)
    ends = sorted((float(axis.values[0]), float(axis.values[-1])))
    step = (ends[1] - ends[0]) / (len(axis.values) - 1)
    if kind == "whole":
        return IntDistribution(int(ends[0]), int(ends[1]), step=round(step))
    return FloatDistribution(ends[0], ends[1], step=step)


def suggest(handle: Trial, key: str, space: BaseDistribution) -> str | int | float:
    """A value chosen by the sampler."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match space:
        case IntDistribution():
            return handle.suggest_int(key, space.low, space.high, step=space.step, log=space.log)
        case FloatDistribution():
            return handle.suggest_float(key, space.low, space.high, step=space.step, log=space.log)
        case _:
            assert isinstance(space, CategoricalDistribution), space
            return str(handle.suggest_categorical(key, space.choices))


def to_stored(axis: Axis, typed: str) -> str | int | float:
    """A typed value of a list as Optuna stores it."""
    assert isinstance(axis, ChoiceAxis), axis
    match kind_of(axis.values):
        case "whole":
            return int(typed)
        case "number":
            return float(typed)
        case _:
            return typed


def to_typed(axis: Axis, value: str | float) -> str:
    """A stored value as typed; of a list, the nearest of its values."""
    if isinstance(axis, ChoiceAxis) and not isinstance(value, str):
        return min(axis.values, key=lambda known: abs(float(known) - value))
    return repr(value) if not isinstance(value, str) else value
