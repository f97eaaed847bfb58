"""Held-out accuracy by step: what is drawn as data, the figure, and its twin as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.figures.style import GROUND, grid, look, new_figure, save, save_text, styled
from analysis.stats.intervals import Interval, mean_interval
from analysis.stats.results import Result, by_setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = (3.8, 3.1)
# Least distance between two labels at the end of curves, as a share of the axis.
LABEL_GAP = 0.066


@dataclass(frozen=True)
class Curve:
    """Accuracy in [0, 1] of one setting: at each step that all its seeds were evaluated at, mean and interval."""

    setting: str
    steps: tuple[int, ...]
    accuracy: tuple[Interval, ...]


def learning_curves(results: Iterable[Result]) -> list[Curve]:
    """A curve for every setting, in the order met."""
    return [_curve(setting, runs) for setting, runs in by_setting(results).items()]


def _curve(setting: str, runs: Sequence[Result]) -> Curve:
    tables = [dict(zip(run.steps, run.accuracy, strict=True)) for run in runs]
    steps = sorted(set.intersection(*(set(table) for table in tables)))
    return Curve(setting, tuple(steps), tuple(mean_interval([table[step] for table in tables]) for step in steps))


def curves_csv(panels: Mapping[str, Sequence[Curve]]) -> str:
    """All points as CSV, one a line; an interval that is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["panel", "setting", "step", "accuracy", "low", "high", "seeds"])
    for panel, curves in panels.items():
        for curve in curves:
            for step, at in zip(curve.steps, curve.accuracy, strict=True):
                ends = [f"{end:.6f}" if at.known else "" for end in (at.low, at.high)]
                writer.writerow([panel, curve.setting, step, f"{at.mean:.6f}", *ends, at.n])
    return text.getvalue()


def draw_curves(panels: Mapping[str, Sequence[Curve]]) -> Figure:
    """Panels side by side on one scale: a line for each setting, its band the 95 % interval over seeds.

    Raises:
        ValueError: matplotlib is not installed.
    """
    settings = list(dict.fromkeys(curve.setting for curves in panels.values() for curve in curves))
    with styled():
        figure = new_figure(PANEL_INCHES[0] * len(panels), PANEL_INCHES[1])
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, (panel, curves) in zip(axes, panels.items(), strict=True):
            _draw_panel(ax, panel, curves, settings)
        axes[0].set_ylabel("held-out accuracy (%)")
        _label_ends(axes, panels, settings)
    return figure


def save_curves(panels: Mapping[str, Sequence[Curve]], stem: Path) -> list[Path]:
    """Write ``stem``.png, ``stem``.svg and ``stem``.csv; returns their paths.

    Raises:
        ValueError: matplotlib is not installed.
    """
    paths = save(draw_curves(panels), stem, ("png", "svg"))
    return [*paths, save_text(stem.with_name(f"{stem.name}.csv"), curves_csv(panels))]


def _draw_panel(ax: Axes, panel: str, curves: Sequence[Curve], settings: Sequence[str]) -> None:
    for curve in curves:
        colour, marker = look(settings.index(curve.setting))
        means = [100 * at.mean for at in curve.accuracy]
        if any(at.known for at in curve.accuracy):
            low, high = ([100 * end for end in ends] for ends in _ends(curve))
            ax.fill_between(curve.steps, low, high, color=colour, alpha=0.13, linewidth=0)
        line: dict[str, Any] = {
            "linewidth": 1.6,
            "marker": marker,
            "markersize": 5,
            "markeredgecolor": GROUND,
            "markeredgewidth": 0.6,
        }
        # The first setting is what the others are held against: it lies on top.
        ax.plot(curve.steps, means, color=colour, clip_on=False, zorder=4 - settings.index(curve.setting) / 10, **line)
    ax.set_xlabel("training step")
    ax.set_xlim(left=0)
    grid(ax)
    if panel:
        ax.set_title(panel)


def _ends(curve: Curve) -> tuple[list[float], list[float]]:
    """Both ends of the band, which is as far as accuracy can be: from 0 to 1."""
    return [max(0.0, at.low) for at in curve.accuracy], [min(1.0, at.high) for at in curve.accuracy]


def _label_ends(axes: Any, panels: Mapping[str, Sequence[Curve]], settings: Sequence[str]) -> None:
    """Each curve's name beside its last point, moved apart where they would lie on each other."""
    low, high = axes[0].get_ylim()
    for ax, curves in zip(axes, panels.values(), strict=True):
        wanted = [100 * curve.accuracy[-1].mean for curve in curves]
        heights = spread(wanted, LABEL_GAP * (high - low))
        for curve, value, height in zip(curves, wanted, heights, strict=True):
            colour, _ = look(settings.index(curve.setting))
            ax.annotate(
                curve.setting,
                xy=(curve.steps[-1], value),
                xytext=(1.06, height),
                textcoords=("axes fraction", "data"),
                color=colour,
                va="center",
                annotation_clip=False,
                arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 4},
            )
    axes[0].set_ylim(low, high)


def spread(values: Sequence[float], gap: float) -> list[float]:
    """The values in their order, moved as little as possible so that neighbours are at least ``gap`` apart.

    Those that touch form a block around the mean of where they wanted to be.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    blocks: list[list[int]] = []
    for index in order:
        blocks.append([index])
        while len(blocks) > 1 and _low(blocks[-1], values, gap) < _high(blocks[-2], values, gap) + gap:
            last = blocks.pop()
            blocks[-1] += last
    placed = {i: _low(block, values, gap) + n * gap for block in blocks for n, i in enumerate(block)}
    return [placed[index] for index in range(len(values))]


def _low(block: Sequence[int], values: Sequence[float], gap: float) -> float:
    return sum(values[i] for i in block) / len(block) - gap * (len(block) - 1) / 2


def _high(block: Sequence[int], values: Sequence[float], gap: float) -> float:
    return _low(block, values, gap) + gap * (len(block) - 1)
