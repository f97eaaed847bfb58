"""Numbers in words: amounts in the metric's unit, means over seeds, differences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.figures.units import unit_of
from analysis.stats.effects import Effect
from analysis.stats.intervals import Interval
from analysis.stats.seed_bootstrap import SeedMean

ALPHA = 0.05
MAX_NAMED = 6


def level(value: float | None, metric: str) -> str:
    """A value of a metric: ``86.8 %``, ``1.234 nats``; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    unit = unit_of(metric)
    return f"{bare(value, metric)}{' ' + unit.sign if unit.sign else ''}"


def bare(value: float, metric: str) -> str:
    """Likewise without the unit; a dash where there is none."""
    if not math.isfinite(value):
        return "-"
    unit = unit_of(metric)
    return f"{unit.scale * value:.1f}" if unit.sign == "%" else f"{unit.scale * value:.4g}"


def change(value: float, metric: str) -> str:
    """A difference, with its sign: ``+1.4 points``, ``-0.02 nats``."""
    sign = unit_of(metric).sign
    sign = "points" if sign == "%" else sign
    return f"{signed(value, metric)}{' ' + sign if sign else ''}"


def signed(value: float, metric: str) -> str:
    """A difference without its unit."""
    if not math.isfinite(value):
        return "-"
    text = bare(value, metric)
    # No minus before a rounded zero.
    return "+" + text.removeprefix("-") if not text.startswith("-") or float(text) == 0 else text


def size(value: float, metric: str) -> str:
    """How large a difference is, without a sign."""
    return change(abs(value), metric).removeprefix("+")


def span(interval: Interval, metric: str, signs: bool = False) -> str:
    """``84.1 to 89.5``; a dash where there is none."""
    if not interval.known:
        return "-"
    show = signed if signs else bare
    return f"{show(interval.low, metric)} to {show(interval.high, metric)}"


def mean_words(mean: SeedMean | None, metric: str) -> str:
    """A mean and its interval: ``86.8 % (95 % interval 84.1 to 89.5, 3 seeds)``."""
    if mean is None:
        return "no finished trial with a number"
    seeds = f"{mean.seeds} seed{'s' if mean.seeds > 1 else ''}"
    inner = f"95 % interval {span(mean, metric)}, {seeds}" if mean.known else f"{seeds}, no interval"
    return f"{level(mean.mean, metric)} ({inner})"


def effect_sentence(effect: Effect, metric: str, comparisons: int) -> str:
    """A difference with its verdict in words."""
    pair, found = f"{effect.setting} against {effect.baseline}", effect.difference
    if effect.verdict == "cannot tell":
        return f"{pair}: {change(found.mean, metric)} on one common seed; one seed allows no conclusion, add seeds"
    inner = f"95 % interval {span(found, metric, signs=True)}, {found.seeds} common seeds"
    if effect.verdict == "no difference":
        seen = f"one of {size(effect.detectable, metric)} would have been seen in four of five cases"
        seen = seen if effect.detectable > 0 else "the seeds do not differ at all"
        return f"{pair}: no difference at this number of seeds ({change(found.mean, metric)}; {inner}; {seen})"
    return (
        f"{effect.setting} is {effect.verdict} than {effect.baseline}: {change(found.mean, metric)} ({inner}"
        f"{_corrected(effect, comparisons)})"
    )


def _corrected(effect: Effect, comparisons: int) -> str:
    if comparisons < 2:
        return ""
    p = f"p {small(effect.difference.p)}, {small(effect.holm)} after Holm's correction for {comparisons} comparisons"
    return f"; {p}" + ("" if effect.holm <= ALPHA else ": chance is not ruled out")


def strength(association: float) -> str:
    """How strong a correlation is, in a word."""
    size = abs(association)
    return "strongly" if size > 0.5 else "moderately" if size > 0.3 else "weakly" if size > 0.1 else "hardly"


def small(p: float) -> str:
    """A probability as people write it."""
    return "-" if not math.isfinite(p) else "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def listed(names: Sequence[str]) -> str:
    """``a, b and c``; of many the first few and how many more."""
    if len(names) > MAX_NAMED:
        return f"{', '.join(names[:MAX_NAMED])} and {len(names) - MAX_NAMED} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
