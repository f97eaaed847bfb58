"""The figure of :mod:`analysis.tokens.quadrant`: density on log axes, medians, share of each cell, margins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.figures.style import (
    BLUE,
    GROUND,
    INK,
    MUTED,
    ORANGE,
    caption,
    density_colours,
    log_ticks,
    new_figure,
    power_of_ten,
    styled,
)
from analysis.tokens.quadrant import LogAxis, Quadrant
from analysis.tokens.table import steps_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]
# Bins between the zeros' own bin and the rest of the axis.
GAP = 2.5


def draw_quadrant(data: Quadrant) -> Figure:
    """Density of the states with both medians and the four shares; the margins above and beside it."""
    with styled():
        figure = new_figure(6.0, 5.2)
        axes: dict[str, Axes] = figure.subplot_mosaic(
            [["top", "."], ["main", "side"]], width_ratios=(5, 1), height_ratios=(1, 5), gridspec_kw={"hspace": 0.0}
        )
        main = axes["main"]
        mesh = _draw_density(main, data)
        _draw_medians(main, data)
        _label_cells(main, data)
        _draw_margin(axes["top"], data.x, data.counts.sum(1), data.medians[0], horizontal=False)
        _draw_margin(axes["side"], data.y, data.counts.sum(0), data.medians[1], horizontal=True)
        _label_axes(main, data)
        axes["top"].set_title("Where critics disagree, is the gradient large?")
        bar = figure.colorbar(mesh, ax=axes["side"], fraction=0.3, pad=0.1, shrink=0.8)
        bar.set_label("states per point of the picture", fontsize=8)
        log_ticks(bar.ax.yaxis)
        bar.outline.set_visible(False)
        caption(figure, _caption(data))
    return figure


def _caption(data: Quadrant) -> str:
    below = max(data.x.below_share, data.y.below_share)
    tail = f"; below an axis, in its first bin: {100 * below:.1g} %" if below else ""
    return f"{data.run}, {steps_words(data.steps)}: {data.states:,} states of {data.responses:,} responses{tail}"


def _edges(axis: LogAxis) -> tuple[Array, float]:
    """Edges of all drawn bins in log10, an empty one between the zeros' and the rest; and the bins' width."""
    width = (axis.high - axis.low) / axis.bins
    if not axis.zero_share:
        return axis.edges, width
    zero = axis.low - GAP * width
    return np.concatenate([[zero - 2 * width, zero], axis.edges]), width


def _drawn(counts: Array, axis: LogAxis, along: int) -> Array:
    """Counts for the bins of :func:`_edges`: an empty bin put in after the zeros, or the zeros' left out."""
    if not axis.zero_share:
        return np.delete(counts, 0, axis=along)
    return np.insert(counts, 1, 0, axis=along)


def _draw_density(ax: Axes, data: Quadrant) -> Any:
    from matplotlib.colors import LogNorm

    counts = _drawn(_drawn(data.counts, data.x, 0), data.y, 1)
    shown = np.where(counts.T > 0, counts.T, np.nan)
    (x, _), (y, _) = _edges(data.x), _edges(data.y)
    highest = max(int(counts.max()), 2)
    return ax.pcolormesh(x, y, shown, norm=LogNorm(1, highest), cmap=density_colours(), rasterized=True)


def _place(value: float, axis: LogAxis) -> float:
    """Where a value stands on the drawn axis."""
    edges, _ = _edges(axis)
    return math.log10(value) if value > 0 else float(edges[1])


def _draw_medians(ax: Axes, data: Quadrant) -> None:
    line: dict[str, Any] = {"color": ORANGE, "linewidth": 1.2, "linestyle": (0, (5, 2))}
    ax.axvline(_place(data.medians[0], data.x), **line)
    ax.axhline(_place(data.medians[1], data.y), **line)


def _label_cells(ax: Axes, data: Quadrant) -> None:
    box = {"facecolor": GROUND, "edgecolor": "none", "alpha": 0.85, "boxstyle": "round,pad=0.3"}
    for i, x, side in ((0, 0.02, "left"), (1, 0.98, "right")):
        for j, y, height in ((0, 0.02, "bottom"), (1, 0.98, "top")):
            weight = "bold" if i == j else "normal"
            text = f"{100 * data.shares[i, j]:.1f} %"
            ax.text(
                x, y, text, transform=ax.transAxes, ha=side, va=height, weight=weight, fontsize=10, bbox=box, color=INK
            )  # fmt: skip


def _draw_margin(ax: Axes, axis: LogAxis, counts: Array, median: float, horizontal: bool) -> None:
    edges, _ = _edges(axis)
    ax.stairs(
        _drawn(counts, axis, 0), edges, fill=True, color=BLUE, alpha=0.55,
        orientation="horizontal" if horizontal else "vertical",
    )  # fmt: skip
    line = ax.axhline if horizontal else ax.axvline
    line(_place(median, axis), color=ORANGE, linewidth=1.2, linestyle=(0, (5, 2)))
    (ax.set_ylim if horizontal else ax.set_xlim)(edges[0], edges[-1])
    ax.set_axis_off()


def _label_axes(ax: Axes, data: Quadrant) -> None:
    unit = ("÷ median of its step", "÷ median of its step") if data.relative else ("reward", "by its logits")
    ax.set_xlabel(f"disagreement σ of the critics ({unit[0]})")
    ax.set_ylabel(f"gradient norm of the state's policy loss ({unit[1]})")
    for axis, set_ticks, limits in ((data.x, ax.set_xticks, ax.set_xlim), (data.y, ax.set_yticks, ax.set_ylim)):
        edges, width = _edges(axis)
        places, labels = _decades(axis)
        if axis.zero_share:
            places, labels = [edges[0] + width, *places], ["0", *labels]
        set_ticks(places, labels)
        limits(edges[0], edges[-1])
    ax.tick_params(color=MUTED)


def _decades(axis: LogAxis) -> tuple[list[float], list[str]]:
    """Powers of ten on the axis, at most eight; of a short one halves and fifths too."""
    powers = list(range(math.ceil(axis.low), math.floor(axis.high) + 1))
    if len(powers) >= 2:
        step = math.ceil(len(powers) / 8)
        chosen = powers[::step]
        return [float(power) for power in chosen], [power_of_ten(10.0**power) for power in chosen]
    values = [m * 10.0**p for p in range(math.floor(axis.low), math.ceil(axis.high) + 1) for m in (1, 2, 5)]
    inside = [value for value in values if axis.low <= math.log10(value) <= axis.high]
    return [math.log10(value) for value in inside], [f"{value:g}" for value in inside]
