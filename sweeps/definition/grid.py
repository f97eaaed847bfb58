"""The trials of a definition: all points of a grid, or one point of a search, each with a readable folder name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import TYPE_CHECKING
from zlib import crc32

from asyppo_cli.keys import short_names
from asyppo_cli.runs.studies import StudyTrial, TrialState
from sweeps.definition.grammar import SEED, Axes, ChoiceAxis, key_of

if TYPE_CHECKING:
    from sweeps.definition.definition import StudyDefinition

# A folder name has at most 120 characters; a checksum takes the rest.
MAX_STEM_LENGTH = 110
# The axis of a study whose settings are no product of values.
SETTING = "setting"


@dataclass(frozen=True)
class Trial:
    """One run of a study: its name, all its overrides, its ``point`` (swept keys with their values as typed, without
    the seed), its seed where that is swept, and the label of its setting where it has one.

    ``axes`` is the point on the axes of the definition, seed and setting included.
    """

    name: str
    overrides: tuple[str, ...]
    point: Mapping[str, str]
    axes: Mapping[str, str]
    seed: int | None = None
    label: str | None = None

    def record(
        self,
        state: TrialState,
        values: tuple[float, ...] = (),
        reason: str | None = None,
        seconds: float | None = None,
    ) -> StudyTrial:
        """The trial in a state, as results are recorded."""
        return StudyTrial(self.name, self.point, self.seed, state, values, reason, seconds, self.label)

    @property
    def setting(self) -> str:
        """The name of its setting in results."""
        return self.record("waiting").setting


def grid_size(axes: Axes) -> int:
    """The number of points of a grid."""
    size = 1
    for axis in axes.values():
        assert isinstance(axis, ChoiceAxis), axis
        size *= len(axis.values)
    return size


def grid_trials(definition: StudyDefinition) -> Iterator[Trial]:
    """All combinations of the values, the last key varying fastest, the seed slowest.

    So all settings have one seed before any has the next, and a study stopped early can still be compared.
    """
    axes = {key: axis.values for key, axis in definition.axes.items() if isinstance(axis, ChoiceAxis)}
    assert len(axes) == len(definition.axes), definition.axes
    short, order = short_names(list(axes)), sorted(axes, key=lambda key: key != SEED)
    for values in product(*(axes[key] for key in order)):
        chosen = dict(zip(order, values, strict=True))
        point = {key: chosen[key] for key in axes}
        yield make_trial(_name(point, short), point, definition)


def shuffled_points(definition: StudyDefinition) -> list[dict[str, str]]:
    """All points of a grid in a random order seeded by the study's name."""
    lists = [axis.values for axis in definition.axes.values() if isinstance(axis, ChoiceAxis)]
    points = [dict(zip(definition.axes, values, strict=True)) for values in product(*lists)]
    Random(definition.name).shuffle(points)
    return points


def search_trial(definition: StudyDefinition, number: int, point: Mapping[str, str]) -> Trial:
    """Trial ``number`` (from 1) of a search, at the point that the sampler chose."""
    return make_trial(search_name(number), point, definition)


def search_name(number: int) -> str:
    """``trial-0007``."""
    return f"trial-{number:04d}"


def make_trial(name: str, axes: Mapping[str, str], definition: StudyDefinition) -> Trial:
    """The trial at a point, with the overrides of its setting where the study has settings."""
    label = axes.get(SETTING) if definition.settings else None
    chosen = definition.settings[label] if label is not None else ()
    swept = {key: value for key, value in axes.items() if key != SEED and (label is None or key != SETTING)}
    point = {**{key_of(text): text.partition("=")[2] for text in chosen}, **swept}
    seeds = tuple(f"{key}={value}" for key, value in axes.items() if key == SEED)
    overrides = (*definition.fixed, *chosen, *(f"{key}={value}" for key, value in swept.items()), *seeds)
    return Trial(name, overrides, point, dict(axes), _whole(axes.get(SEED)), label)


def _name(point: Mapping[str, str], short: Mapping[str, str]) -> str:
    """``algorithm-grpo_utd-four_seed-2``; with a checksum where that is ambiguous or too long.

    It depends on this point alone, so that folders keep their names when a study is extended.
    """
    words = {key: _word(value) for key, value in point.items()}
    name = "_".join(f"{short[key]}-{word}" for key, word in words.items())
    if len(name) <= MAX_STEM_LENGTH and all(words[key] == value for key, value in point.items()):
        return name
    return f"{name[:MAX_STEM_LENGTH].rstrip('.')}.{crc32(repr(sorted(point.items())).encode()):08x}"


def _word(value: str) -> str:
    """A value as part of a folder name: the last component of a path, other characters replaced by dashes."""
    last = value.strip("'\"").rstrip("/").rsplit("/", 1)[-1]
    return "-".join(re.sub(r"[^A-Za-z0-9_.+-]+|[.]{2,}", " ", last).split()) or "empty"


def _whole(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None
