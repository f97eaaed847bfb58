"""Overrides in Hydra's grammar: single values, lists (a grid) and intervals (a search)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from asyppo_cli.keys import is_reference

SEED = "seed"
LOG = "log"


@dataclass(frozen=True)
class ChoiceAxis:
    """A list of values as typed; ``ordered``: they come from a range, in equal steps."""

    values: tuple[str, ...]
    ordered: bool = False


@dataclass(frozen=True)
class RangeAxis:
    """All numbers from ``low`` to ``high``, ends included; ``log``: drawn uniformly in their logarithm."""

    low: float
    high: float
    whole: bool
    log: bool


Axis = ChoiceAxis | RangeAxis
Axes = Mapping[str, Axis]


def parse(overrides: Sequence[str]) -> tuple[tuple[str, ...], Axes]:
    """Split overrides into those of one value, as typed, and the axes by key.

    ``a=1,2``, ``a=choice(1,2)`` and ``a=range(1,3)`` are lists; ``a=interval(0,1)``, ``a=int(interval(1,8))`` and
    ``a=tag(log,interval(1e-5,1e-3))`` are intervals; quotes, lists and mappings are single values.

    Raises:
        ValueError: not an override, an axis that is empty or given twice, or an unsupported sweep function.
    """
    fixed: list[str] = []
    axes: dict[str, Axis] = {}
    for text in overrides:
        override = _read(text)
        if not override.is_sweep_override():
            fixed.append(text)
            continue
        # All keys are known, so a plus makes no difference.
        key = override.get_key_element().lstrip("+")
        if key in axes:
            raise ValueError(f"{text}: {key} is swept twice; put all its values into one list")
        axes[key] = _axis(override, text)
    for text in fixed:
        if key_of(text) in axes:
            raise ValueError(f"{text}: {key_of(text)} is swept as well; leave one of the two out")
    return tuple(fixed), axes


def key_of(text: str) -> str:
    """The key or group of an override."""
    return text.lstrip("+").partition("=")[0]


def seed_axis(seeds: int, keys: Iterable[str]) -> ChoiceAxis:
    """The seeds 1 to ``seeds``; ValueError if there are none, or ``keys`` contain the seed."""
    if seeds < 1:
        raise ValueError(f"--seeds {seeds}: at least 1 is needed")
    if SEED in keys:
        raise ValueError(f"--seeds {seeds} and seed=... are both given; leave one out")
    return ChoiceAxis(tuple(str(seed) for seed in range(1, seeds + 1)))


def _read(text: str) -> Override:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ValueError(
            f"{text!r} is not an override: write key=value, or key=value,value for several; a value with special "
            f"characters in quotes, as in \"key='a=b'\""
        ) from error


def _axis(override: Override, text: str) -> Axis:
    """The axis that an override describes."""
    sweep = override.value()
    match sweep:
        case IntervalSweep():
            return _interval(sweep, text)
        case ChoiceSweep(tags=set() as tags, shuffle=False) if not tags:
            return ChoiceAxis(_different([_typed(str(value)) for value in override.sweep_string_iterator()], text))
        case RangeSweep(tags=set() as tags, shuffle=False) if not tags:
            return ChoiceAxis(_steps(sweep, text), ordered=True)
    raise ValueError(
        f"{text} cannot be swept: write {override.key_or_group}=A,B, range(1,5), interval(0,1) or "
        "tag(log,interval(1,2))"
    )


def _typed(value: str) -> str:
    """A value as Hydra gives it; a function FILE.py:NAME without the backslash that is put before its colon."""
    plain = value.replace("\\:", ":")
    return plain if is_reference(plain) else value


def _interval(sweep: IntervalSweep, text: str) -> RangeAxis:
    low, high, log = sweep.start, sweep.end, LOG in sweep.tags
    assert low is not None, text
    assert high is not None, text
    if sweep.tags - {LOG}:
        raise ValueError(f"{text}: the only tag of an interval is log, as in tag(log,interval(1e-5,1e-3))")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{text}: the interval is empty; its end has to be above its start")
    if log and low <= 0:
        raise ValueError(f"{text}: an interval by its logarithm has to start above 0")
    return RangeAxis(low, high, isinstance(low, int) and isinstance(high, int), log)


def _different(values: Sequence[str], text: str) -> tuple[str, ...]:
    """The values; ValueError if there is none, or one twice."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{text}: {value} is listed twice; leave one out")
        seen.add(value)
    if not values:
        raise ValueError(f"{text}: the list is empty")
    return tuple(values)


def _steps(sweep: RangeSweep, text: str) -> tuple[str, ...]:
    """Values from start until before stop, in decimal arithmetic, so that 3 x 0.1 is 0.3 and stop is never included."""
    start, stop, step = (Decimal(str(number)) for number in (sweep.start, sweep.stop, sweep.step))
    if step == 0:
        raise ValueError(f"{text}: a range needs a step that is not 0")
    values: list[str] = []
    while (start - stop) * step < 0:
        values.append(f"{start.normalize():f}")
        start += step
    if not values:
        raise ValueError(f"{text}: the range is empty; its stop has to lie beyond its start in the step's direction")
    return tuple(values)
