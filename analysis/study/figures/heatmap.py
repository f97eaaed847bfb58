"""Interaction of two axes of a grid: the mean of every pair of values, as colour and number."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.figures.csv_export import csv_text
from analysis.figures.labels import shortened
from analysis.figures.style import caption, density_colours, new_figure, styled
from analysis.figures.units import metric_label, unit_of
from analysis.stats.seed_bootstrap import SeedMean, seed_means
from analysis.stats.wording import bare
from analysis.study.axes import averaged, grid_axes
from analysis.study.settings import StudySetting
from asyppo_cli.keys import short_names
from asyppo_cli.runs.studies import Objective

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS, MAX_VALUES = 3, 16
CELL = (0.95, 0.5)
LABEL = 18


@dataclass(frozen=True)
class HeatMap:
    """Means of the pairs of values of two axes, ``cells[row][column]``; None where no seed has the pair."""

    rows: str
    columns: str
    row_values: tuple[str, ...]
    column_values: tuple[str, ...]
    cells: tuple[tuple[SeedMean | None, ...], ...]


@dataclass(frozen=True)
class Interactions:
    """A map for each pair of axes, of one objective."""

    objective: Objective
    maps: tuple[HeatMap, ...]
    averaged: bool


def interactions(settings: Sequence[StudySetting], objective: Objective) -> Interactions:
    """The maps of a full grid of at least two axes that can be read; none elsewhere."""
    axes = {key: values for key, values in grid_axes(settings).items() if len(values) <= MAX_VALUES}
    short = short_names(list(axes))
    pairs = list(itertools.combinations(axes, 2))[:MAX_PANELS]
    maps = [_map(settings, (first, axes[first]), (second, axes[second]), short) for first, second in pairs]
    return Interactions(objective, tuple(maps), len(grid_axes(settings)) > 2)


def _map(
    settings: Sequence[StudySetting],
    first: tuple[str, Sequence[str]],
    second: tuple[str, Sequence[str]],
    short: dict[str, str],
) -> HeatMap:
    (down, row_values), (across, column_values) = first, second
    cells = [
        [list(averaged(settings, {down: row, across: column}).values()) for column in column_values]
        for row in row_values
    ]
    means = iter(seed_means([numbers for row in cells for numbers in row if numbers], "levels"))
    filled = tuple(tuple(next(means) if numbers else None for numbers in row) for row in cells)
    return HeatMap(short[down], short[across], tuple(row_values), tuple(column_values), filled)


def interactions_csv(data: Interactions) -> str:
    """The numbers of :func:`draw_interactions`, in the objective's own unit."""
    rows: list[Sequence[Any]] = []
    for one in data.maps:
        for row, cells in zip(one.row_values, one.cells, strict=True):
            for column, at in zip(one.column_values, cells, strict=True):
                numbers = [at.mean, at.low, at.high, at.seeds] if at else [None, None, None, 0]
                rows.append([one.rows, row, one.columns, column, *numbers])
    return csv_text(["axis", "value", "axis_2", "value_2", data.objective.metric, "low", "high", "seeds"], rows)


def draw_interactions(data: Interactions) -> Figure:
    """The maps side by side on one scale of colour."""
    known = [at.mean for one in data.maps for row in one.cells for at in row if at is not None]
    scale = unit_of(data.objective.metric).scale
    low, high = (scale * min(known), scale * max(known)) if known else (0.0, 1.0)
    widths = [max(2.2, CELL[0] * len(one.column_values)) for one in data.maps]
    height = max(1.4, CELL[1] * max(len(one.row_values) for one in data.maps))
    with styled():
        figure = new_figure(sum(widths) + 1.3 * len(widths) + 0.8, height + 1.1)
        axes = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
        for ax, one in zip(axes, data.maps, strict=True):
            image = _draw(ax, one, data.objective.metric, (low, high if high > low else low + 1.0))
        bar = figure.colorbar(image, ax=list(axes), fraction=0.05, pad=0.02)
        bar.set_label(metric_label(data.objective.metric))
        bar.outline.set_visible(False)
        words = "mean over seeds, below it half the width of its 95 % interval"
        caption(figure, words + ("; averaged over the other axes" if data.averaged else ""))
    return figure


def _draw(ax: Axes, one: HeatMap, metric: str, limits: tuple[float, float]) -> Any:
    scale = unit_of(metric).scale
    means = np.array([[math.nan if at is None else scale * at.mean for at in row] for row in one.cells])
    image = ax.imshow(means, aspect="auto", cmap=density_colours(), vmin=limits[0], vmax=limits[1])
    middle = (limits[0] + limits[1]) / 2
    for row, cells in enumerate(one.cells):
        for column, at in enumerate(cells):
            dark = at is not None and scale * at.mean > middle
            ax.text(
                column,
                row,
                _cell(at, metric),
                ha="center",
                va="center",
                fontsize=7.5,
                color="#FFFFFF" if dark else "#10243A" if at else None,
            )
    ax.set_xticks(range(len(one.column_values)), [shortened(value, LABEL) for value in one.column_values])
    ax.set_yticks(range(len(one.row_values)), [shortened(value, LABEL) for value in one.row_values])
    ax.set_xlabel(shortened(one.columns, 40))
    ax.set_ylabel(shortened(one.rows, 40))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return image


def _cell(at: SeedMean | None, metric: str) -> str:
    if at is None:
        return "no number"
    half = f"\n± {bare(at.halfwidth, metric)}" if at.known else ""
    return bare(at.mean, metric) + half
