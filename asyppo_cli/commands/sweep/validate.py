"""Every trial's configuration, before the first trial starts: composed where that is quick, else put together.

Composing takes a fifth of a second. Beyond :data:`FULL` trials each value of each axis is composed once beside the
first values of the others; what it changes is then laid over the first trial's configuration for every combination,
and the schema checks all of them. Axes that change the same keys are composed together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from asyppo_cli.config.load import load
from asyppo_cli.config.schema import Config
from asyppo_cli.runs.listing import MISSING, diff_configs
from sweeps.definition.definition import Definition
from sweeps.definition.grammar import Axis, Listed, Span
from sweeps.definition.grid import Trial, grid_trials, make_trial

FULL = 24
# Of so many values of a plain key, the ends are composed and the others only checked.
MANY = 8

Changes = Mapping[str, Any]
Point = dict[str, str]


@dataclass(frozen=True)
class Checked:
    """A trial, and its configuration as checked and as plain data."""

    trial: Trial
    config: Config
    resolved: Mapping[str, Any]


def check(definition: Definition, config_dir: Path | None) -> Iterator[Checked]:
    """The configurations of all trials of a grid, or of the corners of a search.

    Raises:
        ValueError: a key or value of a trial is wrong, with the trial's name.
    """
    if definition.search is not None:
        return (_corner(trial, definition, config_dir) for trial in corners(definition))
    trials = list(grid_trials(definition))
    if len(trials) <= FULL:
        return (_compose(trial, config_dir) for trial in trials)
    return _put_together(definition, trials, config_dir)


def corners(definition: Definition) -> list[Trial]:
    """Each value of a list, and ends and middle of each interval, once beside the first values of the others."""
    values = {key: probes(axis) for key, axis in definition.axes.items()}
    first = {key: those[0] for key, those in values.items()}
    points = [first, *({**first, key: value} for key, those in values.items() for value in those[1:])]
    return [make_trial(" ".join(f"{k}={v}" for k, v in point.items()), point, definition) for point in points]


def probes(axis: Axis) -> list[str]:
    """Values that stand for the axis."""
    match axis:
        case Listed(values=values):
            return list(values)
        case Span(whole=True):
            return [str(int(end)) for end in (axis.low, axis.high)]
        case Span():
            return [repr(value) for value in (axis.low, axis.high, (axis.low + axis.high) / 2)]


def _corner(trial: Trial, definition: Definition, config_dir: Path | None) -> Checked:
    """As :func:`_compose`; a key that wants whole numbers is told how to write an interval of them."""
    try:
        return _compose(trial, config_dir)
    except ValueError as error:
        for key, axis in definition.axes.items():
            if isinstance(axis, Span) and not axis.whole and f"{key}={trial.axes[key]}: " in str(error):
                hint = f"{key}=int(interval({axis.low:g},{axis.high:g}))"
                raise ValueError(f"{error}; for whole numbers write {hint}") from error
        raise


def _compose(trial: Trial, config_dir: Path | None) -> Checked:
    try:
        loaded = load(trial.overrides, config_dir)
    except ValueError as error:
        raise ValueError(f"trial {trial.name}: {error}") from error
    return Checked(trial, loaded.config, loaded.resolved)


def _put_together(definition: Definition, trials: Sequence[Trial], config_dir: Path | None) -> Iterator[Checked]:
    """See the module."""
    first = _compose(trials[0], config_dir)
    base = dict(trials[0].axes)
    groups = [[key] for key in definition.axes]
    changes = [_changes(definition, group, base, first, config_dir) for group in groups]
    while clash := _clash(changes):
        one, other = clash
        groups[one] += groups[other]
        changes[one] = _changes(definition, groups[one], base, first, config_dir)
        del groups[other], changes[other]
    for trial in trials:
        laid = [changes[n][tuple(trial.axes[key] for key in group)] for n, group in enumerate(groups)]
        yield _lay(trial, first, laid, config_dir)


def _changes(
    definition: Definition, group: Sequence[str], base: Point, first: Checked, config_dir: Path | None
) -> dict[tuple[str, ...], Changes]:
    """What each combination of the values of some axes changes in the first trial's configuration."""
    axes = [axis for key in group if isinstance(axis := definition.axes[key], Listed)]
    points = list(product(*(axis.values for axis in axes)))
    if len(group) == 1 and len(points) > MANY and (plain := _plain(group[0], points, base, definition, config_dir)):
        return plain
    found: dict[tuple[str, ...], Changes] = {}
    for values in points:
        there = _compose(make_trial("", {**base, **dict(zip(group, values, strict=True))}, definition), config_dir)
        found[values] = {key: pair[1] for key, pair in diff_configs(first.resolved, there.resolved).items()}
    return found


def _plain(
    key: str, points: Sequence[tuple[str, ...]], base: Point, definition: Definition, config_dir: Path | None
) -> dict[tuple[str, ...], Changes] | None:
    """As :func:`_changes` for a key whose values change it alone, to what is typed; None if they do otherwise."""
    ends = [
        _compose(make_trial("", {**base, key: point[0]}, definition), config_dir) for point in (points[0], points[-1])
    ]
    if diff_configs(ends[0].resolved, ends[1].resolved).keys() != {key}:
        return None
    parser = OverridesParser.create()
    return {point: {key: parser.parse_override(f"{key}={point[0]}").value()} for point in points}


def _clash(changes: Sequence[Mapping[tuple[str, ...], Changes]]) -> tuple[int, int] | None:
    """Two groups of axes that change the same key."""
    keys = [{key for change in those.values() for key in change} for those in changes]
    pairs = ((one, other) for one in range(len(keys)) for other in range(one + 1, len(keys)))
    return next(((one, other) for one, other in pairs if keys[one] & keys[other]), None)


def _lay(trial: Trial, first: Checked, changes: Sequence[Changes], config_dir: Path | None) -> Checked:
    """The first trial's configuration with changes laid over it; what the schema refuses is composed, to say why."""
    from pydantic import ValidationError

    resolved = dict(first.resolved)
    for key, value in (pair for change in changes for pair in change.items()):
        _put(resolved, key.split("."), value)
    try:
        return Checked(trial, Config.model_validate(resolved), resolved)
    except ValidationError:
        return _compose(trial, config_dir)


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set a value in place, its parents copied."""
    for name in path[:-1]:
        tree[name] = dict(tree.get(name, {}))
        tree = tree[name]
    if value is MISSING:
        tree.pop(path[-1], None)
    else:
        tree[path[-1]] = value
