"""Curves of any metrics: a panel a metric, a line a setting, its band the 95 % t interval over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.figures.csv_export import csv_text
from analysis.figures.labels import shortened
from analysis.figures.style import MIN_PANEL, caption, grid, new_figure, series_style, step_axis, styled
from analysis.figures.units import metric_label, shown_end, unit_of
from analysis.metrics.run_groups import RunGroup, find_metrics
from analysis.metrics.series import Axis, Curve, series, smoothed_at
from analysis.stats.effects import effects
from analysis.stats.wording import effect_sentence, level, span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXIS_LABELS = {
    "tokens": "response tokens sampled",
    "samples": "responses sampled",
    "hours": "time (hours)",
}
COLUMNS = 3
PANEL = (3.5, 2.5)
# Beyond this number of points markers would hide the line.
MAX_MARKED = 30


@dataclass(frozen=True)
class Curves:
    """``panels``: the curves of every group that has one, by metric."""

    panels: Mapping[str, Sequence[Curve]]
    labels: Sequence[str]
    axis: Axis
    smooth: str


def curves(groups: Sequence[RunGroup], typed: Sequence[str], axis: Axis, smooth: str) -> Curves:
    """The metrics typed, of all groups.

    Raises:
        ValueError: there is no such metric, or no such smoothing.
    """
    # A wrong name is refused also where only evaluations, which are not smoothed, are drawn.
    smoothed_at([], {}, smooth)
    found = {m: [series(group, m, axis, smooth) for group in groups] for m in find_metrics(typed, groups)}
    panels = {metric: [one for one in panel if one.steps] for metric, panel in found.items()}
    return Curves(panels, [group.label for group in groups], axis, smooth)


def curves_csv(data: Curves) -> str:
    """The numbers of :func:`draw_metrics`, in the metrics' own units."""
    rows = [
        [metric, one.setting, step, x, raw, at.mean, at.low, at.high, at.seeds]
        for metric, panel in data.panels.items()
        for one in panel
        for step, x, raw, at in zip(one.steps, one.x, one.raw, one.means, strict=True)
    ]
    return csv_text(["metric", "setting", "step", data.axis + "_x", "raw", "smooth", "low", "high", "seeds"], rows)


def draw_metrics(data: Curves, width: float | None = None) -> Figure:
    """A panel for every metric, smoothed lines over faint raw ones; ``width`` inches may hold fewer columns."""
    columns = min(COLUMNS if width is None else max(1, int(width / MIN_PANEL)), COLUMNS, len(data.panels))
    rows = -(-len(data.panels) // columns)
    with styled():
        figure = new_figure(max(PANEL[0] * columns, 5.0), PANEL[1] * rows + 0.7)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, (metric, panel) in zip(axes, data.panels.items(), strict=False):
            _draw_panel(ax, metric, panel, data)
        for ax in axes[len(data.panels) :]:
            ax.set_axis_off()
        handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        if len(data.labels) > 1:
            figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=min(4, len(handles)))
        caption(figure, _caption(data))
    return figure


def _draw_panel(ax: Axes, metric: str, panel: Sequence[Curve], data: Curves) -> None:
    scale = unit_of(metric).scale
    for one in panel:
        number = data.labels.index(one.setting)
        if not np.allclose(one.raw, [at.mean for at in one.means]):
            ax.plot(one.x, scale * one.raw, color=series_style(number)[0], alpha=0.25, linewidth=0.8)
        draw_means(ax, one, metric, number, label=shortened(one.setting, 40), markersize=3.5)
    ax.set_title(metric_label(metric))
    if data.axis == "step":
        step_axis(ax)
    else:
        ax.set_xlabel(AXIS_LABELS[data.axis])
    ax.set_xlim(left=0)
    # Quantiles, so that a single extreme raw value does not flatten the curves.
    raw = [end for one in panel for end in np.quantile(one.raw, (0.02, 0.98))]
    limit(ax, [scale * value for value in [*raw, *(at.mean for one in panel for at in one.means)]], 0.3)
    grid(ax)


def draw_means(ax: Axes, curve: Curve, metric: str, number: int, **line: Any) -> None:
    """The means with their band, in the style of the series of that number; markers where there are few points."""
    scale, (colour, marker) = unit_of(metric).scale, series_style(number)
    mean = scale * np.array([at.mean for at in curve.means])
    low, high = shown_end(metric, np.array([(at.low, at.high) for at in curve.means])).T
    known = np.isfinite(low)
    if known.any():
        ax.fill_between(curve.x, low, high, color=colour, alpha=0.15, linewidth=0, where=known.tolist())
    marks: dict[str, Any] = {"marker": marker} if len(mean) <= MAX_MARKED else {}
    ax.plot(curve.x, mean, color=colour, **marks, **line)


def limit(ax: Axes, values: Sequence[float], room: float) -> None:
    """Cuts the axis to the values and some room: the band of two seeds would flatten the curves."""
    if values:
        lowest, highest = min(values), max(values)
        beyond = room * (highest - lowest) or 0.1 * abs(highest) or 1.0
        bottom, top = ax.get_ylim()
        ax.set_ylim(max(bottom, lowest - beyond), min(top, highest + beyond))


def _caption(data: Curves) -> str:
    seeds = {one.means[0].seeds for panel in data.panels.values() for one in panel}
    words = {
        "paper": "smoothed as in the paper's C.1 (11 steps, factor 0.6; then 4 and 2), raw faint; evaluations are not",
        "none": "not smoothed",
    }
    smoothing = words.get(data.smooth, f"mean of the last {data.smooth} steps, raw faint; evaluations are not")
    band = "; band: 95 % interval over seeds" if max(seeds, default=1) > 1 else ""
    named = f"{data.labels[0]}; " if len(data.labels) == 1 else ""
    return f"{named}{smoothing}{band}"


def curves_findings(data: Curves) -> list[str]:
    """The last value of every metric and setting, and differences to the first setting where both have a seed."""
    lines = []
    for metric, panel in data.panels.items():
        found = effects({one.setting: one.last for one in panel}, panel[0].setting if panel else None)
        said = {effect.setting: effect_sentence(effect, metric, len(found)) for effect in found}
        for one in panel:
            lines.append(_last_value(one, metric))
            lines += [f"  {said[one.setting]}."] if one.setting in said else []
        missing = [label for label in data.labels if label not in {one.setting for one in panel}]
        lines += [f"{metric}, {label}: no value at a step that all its seeds have." for label in missing]
    return lines


def _last_value(one: Curve, metric: str) -> str:
    at, longest = one.means[-1], max(max(table) for table in one.seeds.values())
    kind = "smoothed " if abs(at.mean - one.raw[-1]) > 1e-9 * abs(at.mean) else ""
    line = f"{metric}, {one.setting}: {kind}{level(at.mean, metric)} at step {one.steps[-1]}"
    line += f" (95 % interval {span(at, metric)}, {at.seeds} seeds)" if at.known else ""
    return line + (f", while seeds go on to step {longest}." if longest > one.steps[-1] else ".")
