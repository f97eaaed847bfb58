"""The configuration of every trial, before the first one starts.

Composing one takes a fifth of a second. In grids of more than :data:`MAX_COMPOSED` trials, each value of each axis is
composed once beside the first values of the others; the keys that it changes are then applied to the first trial's
configuration for every combination, and the schema checks all of them. Axes that change the same keys are composed
together.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from asyppo_cli.config.load import Loaded, load
from asyppo_cli.config.schema import Config
from asyppo_cli.runs.listing import MISSING, diff_configs
from sweeps.definition.definition import StudyDefinition
from sweeps.definition.grammar import Axis, ChoiceAxis, RangeAxis
from sweeps.definition.grid import Trial, grid_trials, make_trial

MAX_COMPOSED = 24
# With more values of one plain key than this, only the first and the last are composed.
MAX_VALUES = 8

Values = tuple[str, ...]
Changes = Mapping[str, Any]
Configured = tuple[Trial, Loaded[Config]]


def check(definition: StudyDefinition, config_dir: Path | None) -> Iterator[Configured]:
    """The configurations of all trials of a grid, or of the corners of a search.

    Raises:
        ValueError: a key or value of a trial is wrong, with the trial's name.
    """
    if definition.search is not None:
        return ((trial, _compose_corner(trial, definition, config_dir)) for trial in corners(definition))
    trials = list(grid_trials(definition))
    if len(trials) <= MAX_COMPOSED:
        return ((trial, _compose(trial, config_dir)) for trial in trials)
    return _check_large(definition, trials, config_dir)


def corners(definition: StudyDefinition) -> list[Trial]:
    """Each value of a list, and ends and middle of each interval, once beside the first values of the others."""
    values = {key: probes(axis) for key, axis in definition.axes.items()}
    first = {key: those[0] for key, those in values.items()}
    points = [first, *({**first, key: value} for key, those in values.items() for value in those[1:])]
    return [make_trial(" ".join(f"{k}={v}" for k, v in point.items()), point, definition) for point in points]


def probes(axis: Axis) -> list[str]:
    """Values that stand for the axis."""
    match axis:
        case ChoiceAxis(values=values):
            return list(values)
        case RangeAxis(whole=True):
            return [str(int(end)) for end in (axis.low, axis.high)]
        case RangeAxis():
            return [repr(value) for value in (axis.low, axis.high, (axis.low + axis.high) / 2)]


def _compose_corner(trial: Trial, definition: StudyDefinition, config_dir: Path | None) -> Loaded[Config]:
    """As :func:`_compose`; the error for a key that needs whole numbers shows their interval."""
    try:
        return _compose(trial, config_dir)
    except ValueError as error:
        for key, axis in definition.axes.items():
            if isinstance(axis, RangeAxis) and not axis.whole and f"{key}={trial.axes[key]}: " in str(error):
                hint = f"{key}=int(interval({axis.low:g},{axis.high:g}))"
                raise ValueError(f"{error}; for whole numbers write {shlex.quote(hint)}") from error
        raise


def _compose(trial: Trial, config_dir: Path | None) -> Loaded[Config]:
    try:
        return load(trial.overrides, config_dir)
    except ValueError as error:
        raise ValueError(f"trial {trial.name}: {error}") from error


def _check_large(definition: StudyDefinition, trials: Sequence[Trial], config_dir: Path | None) -> Iterator[Configured]:
    """The configurations of a large grid, as the module describes."""
    first = _compose(trials[0], config_dir)
    composer = _AxisComposer(definition, trials[0], first, config_dir)
    groups = [[key] for key in definition.axes]
    changes = [composer.changes(group) for group in groups]
    while overlap := _overlap(changes):
        one, other = overlap
        groups[one] += groups[other]
        changes[one] = composer.changes(groups[one])
        del groups[other], changes[other]
    for trial in trials:
        chosen = [of[tuple(trial.axes[key] for key in group)] for group, of in zip(groups, changes, strict=True)]
        yield trial, _apply(trial, first, chosen, config_dir)


@dataclass(frozen=True)
class _AxisComposer:
    """Composes values of some axes beside the first trial's values of the others."""

    definition: StudyDefinition
    base: Trial
    first: Loaded[Config]
    config_dir: Path | None

    def changes(self, keys: Sequence[str]) -> dict[Values, Changes]:
        """The keys of the first configuration that each combination of the axes' values changes."""
        axes = [axis for key in keys if isinstance(axis := self.definition.axes[key], ChoiceAxis)]
        points = list(product(*(axis.values for axis in axes)))
        if len(keys) == 1 and len(points) > MAX_VALUES and self._changes_itself_only(keys[0], points):
            parser = OverridesParser.create()
            return {point: {keys[0]: parser.parse_override(f"{keys[0]}={point[0]}").value()} for point in points}
        return {
            point: {key: pair[1] for key, pair in diff_configs(self.first.resolved, self._at(keys, point)).items()}
            for point in points
        }

    def _changes_itself_only(self, key: str, points: Sequence[Values]) -> bool:
        return diff_configs(self._at([key], points[0]), self._at([key], points[-1])).keys() == {key}

    def _at(self, keys: Sequence[str], values: Values) -> dict[str, Any]:
        point = {**self.base.axes, **dict(zip(keys, values, strict=True))}
        return _compose(make_trial("", point, self.definition), self.config_dir).resolved


def _overlap(changes: Sequence[Mapping[Values, Changes]]) -> tuple[int, int] | None:
    """Two groups of axes that change the same key."""
    keys = [{key for change in of.values() for key in change} for of in changes]
    return next(((a, b) for a, b in combinations(range(len(keys)), 2) if keys[a] & keys[b]), None)


def _apply(trial: Trial, first: Loaded[Config], changes: Sequence[Changes], config_dir: Path | None) -> Loaded[Config]:
    """The first configuration with changes; one that the schema refuses is composed for its error message."""
    from pydantic import ValidationError

    resolved = dict(first.resolved)
    for key, value in (pair for change in changes for pair in change.items()):
        _put(resolved, key.split("."), value)
    try:
        return Loaded(Config.model_validate(resolved), resolved, trial.overrides)
    except ValidationError:
        return _compose(trial, config_dir)


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set a value in place, with its parents copied."""
    for name in path[:-1]:
        tree[name] = dict(tree.get(name, {}))
        tree = tree[name]
    if value is MISSING:
        tree.pop(path[-1], None)
    else:
        tree[path[-1]] = value
