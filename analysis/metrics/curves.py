"""Curves of any metrics: a panel a metric, a line a setting, its band the 95 % t interval over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.figures.csv_export import csv_text
from analysis.figures.style import caption, grid, look, new_figure, styled
from analysis.metrics.series import Axis, Group, Series, find_metrics, series
from analysis.stats.intervals import Interval, paired_difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXIS_LABELS = {
    "step": "training step",
    "tokens": "response tokens sampled",
    "samples": "responses sampled",
    "hours": "time (hours)",
}
COLUMNS = 3
PANEL = (3.5, 2.5)
MARKED = 30


@dataclass(frozen=True)
class Unit:
    """What a metric is shown in: its value times ``scale``, with the sign after it."""

    sign: str
    scale: float = 1.0


@dataclass(frozen=True)
class Curves:
    """``panels``: the series of every group, by metric."""

    panels: Mapping[str, Sequence[Series]]
    labels: Sequence[str]
    axis: Axis
    smooth: str


def unit_of(metric: str) -> Unit:
    """The unit of a metric, from its name."""
    group, _, quantity = metric.partition("/")
    if quantity.endswith("_share") or "accuracy" in quantity:
        return Unit("%", 100.0)
    if group == "time":
        return Unit("s")
    if quantity.endswith("_bytes"):
        return Unit("GiB", 2.0**-30)
    if "length" in quantity:
        return Unit("tokens")
    if quantity == "tokens_per_second":
        return Unit("tokens/s")
    if quantity.endswith(("entropy", "kl", "logprob_diff_mean")):
        return Unit("nats")
    return Unit("reward" if group == "reward" or quantity in ("value_mean", "disagreement_mean") else "")


def curves(groups: Sequence[Group], typed: Sequence[str], axis: Axis, smooth: str) -> Curves:
    """The metrics typed, of all groups.

    Raises:
        ValueError: there is no such metric, or no such smoothing.
    """
    panels = {}
    for metric in find_metrics(typed, groups):
        found = (series(group, metric, axis, smooth) for group in groups)
        panels[metric] = [one for one in found if one is not None]
    return Curves(panels, [group.label for group in groups], axis, smooth)


def curves_csv(data: Curves) -> str:
    """Twin of :func:`draw_metrics`, in the metrics' own units."""
    rows = [
        [metric, one.label, int(step), x, raw, at.mean, at.low, at.high, at.n]
        for metric, panel in data.panels.items()
        for one in panel
        for step, x, raw, at in zip(one.steps, one.x, one.raw, one.smooth, strict=True)
    ]
    return csv_text(["metric", "setting", "step", data.axis + "_x", "raw", "smooth", "low", "high", "seeds"], rows)


def draw_metrics(data: Curves) -> Figure:
    """A panel for every metric, smoothed lines over faint raw ones."""
    columns = min(COLUMNS, len(data.panels))
    rows = -(-len(data.panels) // columns)
    with styled():
        figure = new_figure(max(PANEL[0] * columns, 5.0), PANEL[1] * rows + 0.7)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, (metric, panel) in zip(axes, data.panels.items(), strict=False):
            _draw_panel(ax, metric, panel, data)
        for ax in axes[len(data.panels) :]:
            ax.set_axis_off()
        _legend(figure, axes, data)
        caption(figure, _smoothing_words(data))
    return figure


def _draw_panel(ax: Axes, metric: str, panel: Sequence[Series], data: Curves) -> None:
    unit = unit_of(metric)
    for one in panel:
        colour, marker = look(data.labels.index(one.label))
        mean, low, high = (unit.scale * np.array(part) for part in zip(*_points(one.smooth), strict=True))
        raw = unit.scale * one.raw
        if data.smooth != "none" and not np.allclose(raw, mean):
            ax.plot(one.x, raw, color=colour, alpha=0.25, linewidth=0.8)
        ax.fill_between(one.x, low, high, color=colour, alpha=0.15, linewidth=0, where=np.isfinite(low).tolist())
        marks: dict[str, Any] = {"marker": marker, "markersize": 3.5} if len(one.x) <= MARKED else {}
        ax.plot(one.x, mean, color=colour, label=one.label, **marks)
    ax.set_title(metric + (f" ({unit.sign})" if unit.sign else ""))
    ax.set_xlabel(AXIS_LABELS[data.axis])
    ax.set_xlim(left=0)
    _limit(ax, panel, unit)
    grid(ax)


def _limit(ax: Axes, panel: Sequence[Series], unit: Unit) -> None:
    """The band of two seeds, or one wild raw value, would squeeze the curves into a line."""
    means = [unit.scale * at.mean for one in panel for at in one.smooth]
    raw = [unit.scale * end for one in panel for end in np.quantile(one.raw, (0.02, 0.98))]
    if means:
        lowest, highest = min(means + raw), max(means + raw)
        room = 0.3 * (highest - lowest) or 0.1 * abs(highest) or 1.0
        bottom, top = ax.get_ylim()
        ax.set_ylim(max(bottom, lowest - room), min(top, highest + room))


def _points(smooth: Sequence[Interval]) -> list[tuple[float, float, float]]:
    return [(at.mean, at.low, at.high) for at in smooth]


def _legend(figure: Figure, axes: Any, data: Curves) -> None:
    handles = {
        label: handle
        for ax in axes
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }  # fmt: skip
    if len(data.labels) > 1:
        figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=min(4, len(handles)))


def _smoothing_words(data: Curves) -> str:
    seeds = {one.smooth[0].n for panel in data.panels.values() for one in panel}
    words = {
        "paper": "smoothed as in the paper's C.1 (11 steps, factor 0.6; then 4 and 2), raw faint",
        "none": "not smoothed",
    }
    smoothing = words.get(data.smooth, f"mean of the last {data.smooth} steps, raw faint")
    band = "; band: 95 % interval over seeds" if max(seeds, default=1) > 1 else ""
    named = f"{data.labels[0]}; " if len(data.labels) == 1 else ""
    return f"{named}{smoothing}{band}"


def curves_findings(data: Curves) -> list[str]:
    """The last value of every metric and setting, and differences to the first setting where both have a seed."""
    lines = []
    for metric, panel in data.panels.items():
        for one in panel:
            at, unit = one.smooth[-1], unit_of(metric)
            kind = "smoothed " if abs(at.mean - one.raw[-1]) > 1e-9 * abs(at.mean) else ""
            line = f"{metric}, {one.label}: {kind}{_amount(at.mean, unit)} at step {one.steps[-1]}"
            ends = f"{unit.scale * at.low:.4g} to {unit.scale * at.high:.4g}"
            line += f" (95 % interval {ends}, {at.n} seeds)" if at.known else ""
            line += f", while seeds go on to step {one.longest}" if one.longest > one.steps[-1] else ""
            difference = None if one is panel[0] else paired_difference(panel[0].last, one.last)
            lines.append(f"{line}.{_difference_words(panel[0].label, difference, unit)}")
        missing = [label for label in data.labels if label not in {one.label for one in panel}]
        lines += [f"{metric}, {label}: no value at a step that all its seeds have." for label in missing]
    return lines


def _amount(value: float, unit: Unit) -> str:
    return f"{unit.scale * value:.4g}{' ' + unit.sign if unit.sign else ''}"


def _difference_words(reference: str, difference: Interval | None, unit: Unit) -> str:
    if difference is None:
        return ""
    unit = Unit("points", unit.scale) if unit.sign == "%" else unit
    amount = f"{unit.scale * difference.mean:+.4g}{' ' + unit.sign if unit.sign else ''} against {reference}"
    if not difference.known:
        return f" {amount} on one common seed: cannot tell, add seeds."
    span = f"95 % interval {unit.scale * difference.low:+.4g} to {unit.scale * difference.high:+.4g}"
    told = "No difference at this number of seeds: " if difference.holds(0.0) else ""
    return f" {told}{amount} ({span}, {difference.n} common seeds)."
