"""Parallel coordinates of a search: an upright for each key and one for the objective, a line for each setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.metric_figure import unit_of
from analysis.study_importance import UNSET, is_log, numbers_of
from analysis.study_look import short_keys, shown
from analysis.study_settings import Setting
from analysis.study_words import bare
from analysis.style import MUTED, ORANGE, caption, density_colours, new_figure, styled
from analysis.twin import csv_text
from asyppo_cli.runs.studies import Objective

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# More lines than these are a surface, more uprights a forest.
MOST_LINES, MOST_KEYS, MOST_WORDS = 300, 8, 12
LABEL = 16


@dataclass(frozen=True)
class Upright:
    """A key, or the objective: where each line crosses it, in [0, 1], and its marks."""

    name: str
    places: tuple[float, ...]
    marks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Parallel:
    """``settings`` by rising merit, so that the best are drawn last; ``scores`` in [0, 1], 1 the best."""

    objective: Objective
    settings: tuple[Setting, ...]
    numbers: tuple[float, ...]
    uprights: tuple[Upright, ...]
    scores: tuple[float, ...]
    left_out: int


def parallel(settings: Sequence[Setting], n: int, objective: Objective, order: Sequence[str]) -> Parallel:
    """Lines of the best settings; uprights in the ``order`` of their importance, those not named there after them."""
    sign = 1 if objective.direction == "maximize" else -1
    known = [(sign * mean.mean, setting) for setting in settings if (mean := setting.means[n]) is not None]
    known.sort(key=lambda pair: pair[0])
    drawn = known[-MOST_LINES:]
    rows = [setting for _, setting in drawn]
    keys = list(dict.fromkeys([*order, *(key for setting in settings for key in setting.point)]))
    columns = {key: [setting.point.get(key, UNSET) for setting in rows] for key in keys}
    varying = [key for key in keys if len(set(columns[key])) > 1][:MOST_KEYS]
    short = short_keys(varying)
    uprights = [upright(short[key], columns[key]) for key in varying]
    numbers = [sign * score for score, _ in drawn]
    scores = _scaled([score for score, _ in drawn])
    return Parallel(
        objective=objective,
        settings=tuple(rows),
        numbers=tuple(numbers),
        uprights=(*uprights, _objective(numbers, objective.metric)),
        scores=tuple(scores),
        left_out=len(settings) - len(rows),
    )


def upright(name: str, column: Sequence[str]) -> Upright:
    """Where the values stand: numbers by size (of a wide range by their logarithm), words at equal distances."""
    numbers = numbers_of(column)
    if numbers is None:
        words = sorted(set(column))
        step = {word: i / max(1, len(words) - 1) for i, word in enumerate(words)}
        marks = tuple((step[word], word) for word in words[:: -(-len(words) // MOST_WORDS)])
        return Upright(name, tuple(step[value] for value in column), marks)
    if is_log(numbers):
        low, high = (math.log10(end) for end in (min(numbers), max(numbers)))
        ticks = [10 ** (low + i * (high - low) / 4) for i in range(5)]
        return Upright(name, tuple(_scaled([math.log10(x) for x in numbers])), _marks(ticks))
    few = sorted(set(numbers))
    low, high = few[0], few[-1]
    ticks = few if len(few) <= 5 else [low + i * (high - low) / 4 for i in range(5)]
    places = [(tick - low) / ((high - low) or 1.0) for tick in ticks]
    marks = tuple((place, f"{tick:.3g}") for place, tick in zip(places, ticks, strict=True))
    return Upright(name, tuple(_scaled(numbers)), marks)


def _marks(ticks: Sequence[float]) -> tuple[tuple[float, str], ...]:
    return tuple((i / (len(ticks) - 1), f"{tick:.2g}") for i, tick in enumerate(ticks))


def _scaled(numbers: Sequence[float]) -> list[float]:
    low, high = min(numbers, default=0.0), max(numbers, default=1.0)
    return [(x - low) / (high - low) if high > low else 0.5 for x in numbers]


def _objective(numbers: Sequence[float], metric: str) -> Upright:
    low, high = min(numbers, default=0.0), max(numbers, default=1.0)
    ticks = [low + i * (high - low) / 4 for i in range(5)] if high > low else [low]
    marks = [(i / 4 if high > low else 0.5, bare(tick, metric)) for i, tick in enumerate(ticks)]
    sign = unit_of(metric).sign
    return Upright(metric + (f" ({sign})" if sign else ""), tuple(_scaled(numbers)), tuple(marks))


def parallel_csv(data: Parallel) -> str:
    """Twin of :func:`draw_parallel`: the settings drawn, the best first."""
    keys = list(dict.fromkeys(key for setting in data.settings for key in setting.point))
    rows = [
        [setting.name, *(setting.point.get(key) for key in keys), number]
        for setting, number in zip(reversed(data.settings), reversed(data.numbers), strict=True)
    ]
    return csv_text(["setting", *keys, data.objective.metric], rows)


def draw_parallel(data: Parallel) -> Figure:
    """Lines coloured by merit, the best one thick and apart."""
    with styled():
        figure = new_figure(max(5.0, 1.45 * len(data.uprights) + 0.8), 3.6)
        ax = figure.subplots()
        colours = density_colours()
        last = len(data.settings) - 1
        for row, score in enumerate(data.scores):
            heights = [one.places[row] for one in data.uprights]
            best: dict[str, Any] = {"color": ORANGE, "linewidth": 2.4, "alpha": 1.0}
            line: dict[str, Any] = {"color": colours(score), "linewidth": 0.9, "alpha": 0.4 + 0.5 * score}
            ax.plot(range(len(heights)), heights, **(best if row == last else line))
        for place, one in enumerate(data.uprights):
            _draw_upright(ax, place, one)
        ax.set_xticks(range(len(data.uprights)), [shown(one.name, 22) for one in data.uprights])
        ax.set_xlim(-0.25, len(data.uprights) - 0.4)
        ax.set_ylim(-0.06, 1.06)
        ax.set_yticks([])
        ax.tick_params(axis="x", length=0)
        ax.spines[:].set_visible(False)
        caption(figure, _words(data))
    return figure


def _draw_upright(ax: Axes, place: int, one: Upright) -> None:
    ax.plot([place, place], [0, 1], color=MUTED, linewidth=0.9, zorder=3)
    box = {"boxstyle": "square,pad=0.1", "facecolor": ax.get_facecolor(), "edgecolor": "none", "alpha": 0.75}
    for height, text in one.marks:
        ax.plot([place, place + 0.04], [height, height], color=MUTED, linewidth=0.9, zorder=3)
        ax.text(place + 0.06, height, shown(text, LABEL), fontsize=7, va="center", zorder=4, bbox=box)


def _words(data: Parallel) -> str:
    parts = ["a line a setting; the deeper its colour, the better; orange: the best"]
    parts += [f"{data.left_out} settings are not drawn"] * (data.left_out > 0)
    return "; ".join(parts)
