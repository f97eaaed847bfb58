"""From overrides with several values to trials: the grid in Hydra's grammar, every trial with a readable name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.errors import HydraException

SEED = "seed"
# A folder's name ends at 120 characters.
LONGEST_NAME = 110


@dataclass(frozen=True)
class Trial:
    """One run of a sweep: its name, all its overrides, and its ``point``: the swept keys with their values as typed."""

    name: str
    overrides: tuple[str, ...]
    point: Mapping[str, str]

    @property
    def setting(self) -> str:
        """The point without the seed, as typed; ``default`` where only the seed is swept."""
        return " ".join(f"{key}={value}" for key, value in self.point.items() if key != SEED) or "default"


def expand(overrides: Sequence[str], seeds: int | None) -> list[Trial]:
    """All combinations of the values given, the last key varying fastest.

    ``a=1,2``, ``a=choice(1,2)`` and ``a=range(1,3)`` are axes; quotes, lists and mappings are values. ``seeds`` N adds
    the seeds 1 to N as the last axis.

    Raises:
        ValueError: no override, a search instead of a grid, an axis twice, or no axis at all.
    """
    fixed, axes = _split(overrides)
    if seeds is not None:
        _check_seeds(seeds, [*map(_key, fixed), *axes])
        axes[SEED] = [str(seed) for seed in range(1, seeds + 1)]
    if not axes:
        raise ValueError("there is nothing to sweep: give a key several values, as in mask_pct=0.1,0.2, or --seeds 3")
    points = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    names = _names(points)
    return [
        Trial(name, (*fixed, *(f"{key}={value}" for key, value in point.items())), point)
        for name, point in zip(names, points, strict=True)
    ]


def axis_names(trials: Sequence[Trial]) -> list[str]:
    """The swept keys, each as short as they can be told apart: ``lr`` of ``learner.policy.lr`` if no other ends so."""
    return list(_short(list(trials[0].point)).values())


def _split(overrides: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Overrides of one value as typed, and the values of all others by key."""
    fixed: list[str] = []
    axes: dict[str, list[str]] = {}
    for text in overrides:
        override = _parse(text)
        if not override.is_sweep_override():
            fixed.append(text)
            continue
        # A plus changes nothing: every key is known, and the configuration takes it with and without.
        key = override.get_key_element().lstrip("+")
        if key in axes:
            raise ValueError(f"{text}: {key} is swept twice; put all its values into one list")
        axes[key] = _values(override, text)
    for text in fixed:
        if _key(text) in axes:
            raise ValueError(f"{text}: {_key(text)} is swept as well; leave one of the two out")
    return fixed, axes


def _parse(text: str) -> Override:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ValueError(
            f"{text!r} is not an override: write key=value, or key=value,value for several; a value with special "
            f"characters in quotes, as in \"key='a=b'\""
        ) from error


def _key(text: str) -> str:
    return text.lstrip("+").partition("=")[0]


def _values(override: Override, text: str) -> list[str]:
    """The values of one axis, in Hydra's grammar again."""
    sweep = override.value()
    if isinstance(sweep, ChoiceSweep) and not sweep.tags and not sweep.shuffle:
        values = [str(value) for value in override.sweep_string_iterator()]
    elif isinstance(sweep, RangeSweep) and not sweep.tags and not sweep.shuffle:
        values = _steps(sweep, text)
    else:
        raise ValueError(f"{text}: a search is not supported yet; list the values, as in {override.key_or_group}=A,B")
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{text}: {value} is listed twice; leave one out")
    return values


def _steps(sweep: RangeSweep, text: str) -> list[str]:
    """From start to before stop, counted in decimals, so that 0.1 three times is 0.3 and the stop never slips in."""
    start, stop, step = (Decimal(str(number)) for number in (sweep.start, sweep.stop, sweep.step))
    if step == 0:
        raise ValueError(f"{text}: a range needs a step that is not 0")
    values: list[str] = []
    while (start - stop) * step < 0:
        values.append(f"{start.normalize():f}")
        start += step
    if not values:
        raise ValueError(f"{text}: the range is empty; its stop has to lie beyond its start in the step's direction")
    return values


def _check_seeds(seeds: int, keys: Sequence[str]) -> None:
    if seeds < 1:
        raise ValueError(f"--seeds {seeds}: at least 1 is needed")
    if SEED in keys:
        raise ValueError(f"--seeds {seeds} and seed=... say the same thing twice; leave one out")


def _names(points: Sequence[Mapping[str, str]]) -> list[str]:
    """``algorithm-grpo_utd-four_seed-2``; points whose names would be the same, or too long, are numbered."""
    short = _short(list(points[0]))
    names = ["_".join(f"{short[key]}-{_word(value)}" for key, value in point.items()) for point in points]
    return [
        name if names.count(name) == 1 and len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}.{number}"
        for number, name in enumerate(names, 1)
    ]


def _short(keys: Sequence[str]) -> dict[str, str]:
    short = {}
    for key in keys:
        parts = key.split(".")
        others = [other.split(".") for other in keys if other != key]
        apart = (n for n in range(1, len(parts)) if all(other[-n:] != parts[-n:] for other in others))
        length = next(apart, len(parts))
        short[key] = ".".join(parts[-length:])
    return short


def _word(value: str) -> str:
    """A value as part of a folder's name: a path by its last folder, what is not a letter or digit as a dash."""
    last = value.strip("'\"").rstrip("/").rsplit("/", 1)[-1]
    return "-".join(re.sub(r"[^A-Za-z0-9.+-]+|[.]{2,}", " ", last).split()) or "empty"
