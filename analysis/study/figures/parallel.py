"""Parallel coordinates of a search: an axis for each key and one for the objective, a line for each setting."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.figures.csv_export import csv_text
from analysis.figures.labels import shortened
from analysis.figures.style import MUTED, ORANGE, caption, density_colours, new_figure, styled
from analysis.figures.units import metric_label, unit_of
from analysis.stats.effects import direction_sign
from analysis.study.importance import UNSET, is_log, numbers_of
from analysis.study.settings import StudySetting
from asyppo_cli.keys import short_names
from asyppo_cli.runs.studies import Objective

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Beyond these numbers lines and axes cannot be distinguished.
MAX_LINES, MAX_KEYS, MAX_WORDS = 300, 8, 12
LABEL = 16
# Unset values stand below the numbers, at this share of the axis.
UNSET_SHARE = 0.14


@dataclass(frozen=True)
class ParallelAxis:
    """A key, or the objective: where each line crosses it, in [0, 1], and its marks."""

    name: str
    places: tuple[float, ...]
    marks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Parallel:
    """``settings`` by rising merit, so that the best are drawn last; ``scores`` in [0, 1], 1 the best."""

    objective: Objective
    settings: tuple[StudySetting, ...]
    numbers: tuple[float, ...]
    axes: tuple[ParallelAxis, ...]
    scores: tuple[float, ...]
    left_out: int


def parallel(settings: Sequence[StudySetting], objective: Objective, order: Sequence[str]) -> Parallel:
    """Lines of the best settings; axes in the ``order`` of their importance, those not named there after them."""
    sign = direction_sign(objective.direction)
    known = [(sign * mean.mean, setting) for setting in settings if (mean := setting.mean) is not None]
    known.sort(key=lambda pair: pair[0])
    drawn = known[-MAX_LINES:]
    rows = [setting for _, setting in drawn]
    keys = list(dict.fromkeys([*order, *(key for setting in settings for key in setting.point)]))
    columns = {key: [setting.point.get(key, UNSET) for setting in rows] for key in keys}
    varying = [key for key in keys if len(set(columns[key])) > 1][:MAX_KEYS]
    short = short_names(varying)
    axes = [parallel_axis(short[key], columns[key]) for key in varying]
    numbers = [sign * score for score, _ in drawn]
    merit = [score for score, _ in drawn]
    low, high = min(merit, default=0.0), max(merit, default=0.0)
    scores = [(score - low) / (high - low) if high > low else 0.5 for score in merit]
    return Parallel(
        objective=objective,
        settings=tuple(rows),
        numbers=tuple(numbers),
        axes=(*axes, _objective(numbers, objective.metric)),
        scores=tuple(scores),
        left_out=len(settings) - len(rows),
    )


def parallel_axis(name: str, column: Sequence[str]) -> ParallelAxis:
    """The places of the values: numbers by size (of a wide range by their logarithm), words at equal distances.

    Among numbers, those that are not set stand apart, below.
    """
    numbers = numbers_of([value for value in column if value != UNSET])
    if not numbers:
        words = sorted(set(column))
        step = {word: i / max(1, len(words) - 1) for i, word in enumerate(words)}
        marks = tuple((step[word], word) for word in words[:: -(-len(words) // MAX_WORDS)])
        return ParallelAxis(name, tuple(step[value] for value in column), marks)
    scale = _scale(numbers, UNSET_SHARE if UNSET in column else 0.0)
    apart = ((0.0, UNSET),) if UNSET in column else ()
    marks = (*apart, *((scale(tick), f"{tick:g}") for tick in ticks(numbers)))
    return ParallelAxis(name, tuple(0.0 if value == UNSET else scale(float(value)) for value in column), marks)


def _scale(numbers: Sequence[float], room: float = 0.0) -> Callable[[float], float]:
    """From a number to its height in [room, 1]; the middle where all are one."""
    bend = math.log if is_log(numbers) else float
    low, high = bend(min(numbers)), bend(max(numbers))
    return lambda x: room + (1 - room) * ((bend(x) - low) / (high - low) if high > low else 0.5)


def ticks(numbers: Sequence[float]) -> list[float]:
    """Few numbers as they are; else round ones between the least and the largest, up to seven."""
    few, low, high = sorted(set(numbers)), min(numbers), max(numbers)
    if len(few) <= 5:
        return few
    decades = range(math.floor(math.log10(high - low)) - 2, math.floor(math.log10(max(abs(low), abs(high)))) + 1)
    if is_log(numbers):
        decades = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
        finest = [float(f"{m}e{e}") for e in decades for m in (1, 2, 5)]
        whole = [float(f"1e{e}") for e in decades]
        choices = [[x for x in some if low <= x <= high] for some in (finest, whole)]
        return next((some for some in choices if 3 <= len(some) <= 7), choices[0][:: -(-len(choices[0]) // 7)])
    steps = (float(f"{m}e{e}") for e in decades for m in (1, 2, 5))
    step = next(step for step in steps if (high - low) / step <= 6)
    return [float(f"{i * step:.12g}") for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _objective(numbers: Sequence[float], metric: str) -> ParallelAxis:
    amounts = [unit_of(metric).scale * number for number in numbers]
    scale = _scale(amounts) if amounts else float
    marks = tuple((scale(tick), f"{tick:g}") for tick in ticks(amounts)) if amounts else ()
    return ParallelAxis(metric_label(metric), tuple(map(scale, amounts)), marks)


def parallel_csv(data: Parallel) -> str:
    """The numbers of :func:`draw_parallel`: the settings drawn, the best first."""
    keys = list(dict.fromkeys(key for setting in data.settings for key in setting.point))
    rows = [
        [setting.name, *(setting.point.get(key) for key in keys), number]
        for setting, number in zip(reversed(data.settings), reversed(data.numbers), strict=True)
    ]
    return csv_text(["setting", *keys, data.objective.metric], rows)


def draw_parallel(data: Parallel) -> Figure:
    """Lines coloured by merit, the best one thick and apart."""
    with styled():
        figure = new_figure(max(5.0, 1.45 * len(data.axes) + 0.8), 3.6)
        ax = figure.subplots()
        colours = density_colours()
        last = len(data.settings) - 1
        for row, score in enumerate(data.scores):
            heights = [one.places[row] for one in data.axes]
            best: dict[str, Any] = {"color": ORANGE, "linewidth": 2.4, "alpha": 1.0}
            line: dict[str, Any] = {"color": colours(score), "linewidth": 0.9, "alpha": 0.4 + 0.5 * score}
            ax.plot(range(len(heights)), heights, **(best if row == last else line))
        for place, one in enumerate(data.axes):
            _draw_axis(ax, place, one)
        ax.set_xticks(range(len(data.axes)), [shortened(one.name, 22) for one in data.axes])
        ax.set_xlim(-0.25, len(data.axes) - 0.4)
        ax.set_ylim(-0.06, 1.06)
        ax.set_yticks([])
        ax.tick_params(axis="x", length=0)
        ax.spines[:].set_visible(False)
        caption(figure, _words(data))
    return figure


def _draw_axis(ax: Axes, place: int, one: ParallelAxis) -> None:
    ax.plot([place, place], [0, 1], color=MUTED, linewidth=0.9, zorder=3)
    box = {"boxstyle": "square,pad=0.1", "facecolor": ax.get_facecolor(), "edgecolor": "none", "alpha": 0.75}
    for height, text in one.marks:
        ax.plot([place, place + 0.04], [height, height], color=MUTED, linewidth=0.9, zorder=3)
        ax.text(place + 0.06, height, shortened(text, LABEL), fontsize=7, va="center", zorder=4, bbox=box)


def _words(data: Parallel) -> str:
    parts = ["a line a setting; the deeper its colour, the better; orange: the best"]
    parts += [f"{data.left_out} settings are not drawn"] * (data.left_out > 0)
    return "; ".join(parts)
