"""From a definition to trials: every point of a grid, or one point of a search, with a readable name for its folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import TYPE_CHECKING
from zlib import crc32

from asyppo_cli.keys import short_names
from sweeps.definition.grammar import SEED, Axes, Listed, key_of

if TYPE_CHECKING:
    from sweeps.definition.definition import Definition

# A folder's name ends at 120 characters.
LONGEST_NAME = 110
# The axis of a study whose settings are no product of values.
SETTING = "setting"


@dataclass(frozen=True)
class Trial:
    """One run of a sweep: its name, all its overrides, its ``point`` (swept keys with their values as typed, without
    the seed), its seed where that is swept, and the label of its setting where it has one.

    ``axes`` is the point as the axes have it, seed and setting included.
    """

    name: str
    overrides: tuple[str, ...]
    point: Mapping[str, str]
    axes: Mapping[str, str]
    seed: int | None = None
    label: str | None = None


def grid_size(axes: Axes) -> int:
    """How many points the lists of a grid make."""
    size = 1
    for axis in axes.values():
        assert isinstance(axis, Listed), axis
        size *= len(axis.values)
    return size


def grid_trials(definition: Definition) -> Iterator[Trial]:
    """All combinations of the values given, the last key varying fastest, but for the seed.

    All settings have one seed before any has the next: a study that is stopped early can be compared.
    """
    axes = {key: axis.values for key, axis in definition.axes.items() if isinstance(axis, Listed)}
    assert len(axes) == len(definition.axes), definition.axes
    short, order = short_names(list(axes)), sorted(axes, key=lambda key: key != SEED)
    for values in product(*(axes[key] for key in order)):
        chosen = dict(zip(order, values, strict=True))
        point = {key: chosen[key] for key in axes}
        yield make_trial(_name(point, short), point, definition)


def shuffled_points(definition: Definition) -> list[dict[str, str]]:
    """All points of lists in an order drawn from the study's name: any first part of it is a fair sample."""
    lists = [axis.values for axis in definition.axes.values() if isinstance(axis, Listed)]
    points = [dict(zip(definition.axes, values, strict=True)) for values in product(*lists)]
    Random(definition.name).shuffle(points)
    return points


def search_trial(definition: Definition, number: int, point: Mapping[str, str]) -> Trial:
    """Trial ``number`` (from 1) of a search, at the point that the sampler has chosen."""
    return make_trial(search_name(number), point, definition)


def search_name(number: int) -> str:
    """``trial-0007``."""
    return f"trial-{number:04d}"


def make_trial(name: str, axes: Mapping[str, str], definition: Definition) -> Trial:
    """The trial at a point, its setting looked up where the study has settings."""
    label = axes.get(SETTING) if definition.settings else None
    chosen = definition.settings[label] if label is not None else ()
    swept = {key: value for key, value in axes.items() if key != SEED and (label is None or key != SETTING)}
    point = {**{key_of(text): text.partition("=")[2] for text in chosen}, **swept}
    seeds = tuple(f"{key}={value}" for key, value in axes.items() if key == SEED)
    overrides = (*definition.fixed, *chosen, *(f"{key}={value}" for key, value in swept.items()), *seeds)
    return Trial(name, overrides, point, dict(axes), _whole(axes.get(SEED)), label)


def _name(point: Mapping[str, str], short: Mapping[str, str]) -> str:
    """``algorithm-grpo_utd-four_seed-2``; with a check sum where that does not say everything, or is too long.

    It depends on this point alone, so that a study may grow and no folder changes its name.
    """
    words = {key: _word(value) for key, value in point.items()}
    name = "_".join(f"{short[key]}-{word}" for key, word in words.items())
    if len(name) <= LONGEST_NAME and all(words[key] == value for key, value in point.items()):
        return name
    return f"{name[:LONGEST_NAME].rstrip('.')}.{crc32(repr(sorted(point.items())).encode()):08x}"


def _word(value: str) -> str:
    """A value as part of a folder's name: a path by its last folder, what is not a letter or digit as a dash."""
    last = value.strip("'\"").rstrip("/").rsplit("/", 1)[-1]
    return "-".join(re.sub(r"[^A-Za-z0-9_.+-]+|[.]{2,}", " ", last).split()) or "empty"


def _whole(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None
