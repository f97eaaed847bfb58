"""The comparison that a reader asks for first: accuracy, seconds per step and peak memory of several settings."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.figures.csv_export import csv_text
from analysis.figures.style import INK, caption, grid, look, new_figure, styled
from analysis.metrics.curves import Unit, unit_of
from analysis.metrics.series import Group
from analysis.stats.intervals import Interval, mean_interval
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.metric_log import MetricRows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What is compared, the title of its panel, and whether more of it is better.
QUANTITIES = {
    names.ACCURACY: "held-out accuracy after training",
    names.STEP_TIME: "time of the median step",
    names.PEAK_MEMORY: "peak memory",
}


@dataclass(frozen=True)
class Headline:
    """Of every setting the three quantities over its seeds, in their metrics' units; None where no seed has it."""

    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    quantities: dict[str, tuple[Interval | None, ...]]


def headline(groups: Sequence[Group]) -> Headline:
    """The comparison of all groups.

    Raises:
        ValueError: no run has been evaluated or timed.
    """
    quantities = {name: tuple(_over_seeds(group, name) for group in groups) for name in QUANTITIES}
    known = {name: found for name, found in quantities.items() if any(found)}
    if not known:
        raise ValueError("these runs have no accuracy, step time or memory yet: their first step is not done")
    return Headline(tuple(g.label for g in groups), tuple(len(g.runs) for g in groups), known)


def _over_seeds(group: Group, name: str) -> Interval | None:
    values = [value for metrics in group.metrics.values() if (value := _of_run(metrics, name)) is not None]
    return mean_interval(values) if values else None


def _of_run(metrics: MetricRows, name: str) -> float | None:
    found = metrics.series(name)
    if not found:
        return None
    match name:
        case names.ACCURACY:
            return found[-1]
        case names.STEP_TIME:
            return statistics.median(found)
        case _:
            return max(found)


def headline_csv(data: Headline) -> str:
    """Twin of :func:`draw_headline`, in the metrics' own units."""
    rows = [
        [name, label, at.mean, at.low, at.high, at.n]
        for name, found in data.quantities.items()
        for label, at in zip(data.labels, found, strict=True)
        if at is not None
    ]
    return csv_text(["metric", "setting", "mean", "low", "high", "seeds"], rows)


def draw_headline(data: Headline) -> Figure:
    """A panel for each quantity, a bar for each setting with its number and interval."""
    with styled():
        height = 0.9 + 0.42 * len(data.labels)
        figure = new_figure(3.2 * len(data.quantities) + 1.0, height + 0.3)
        axes = figure.subplots(1, len(data.quantities), sharey=True, squeeze=False)[0]
        for ax, (name, found) in zip(axes, data.quantities.items(), strict=True):
            _draw_quantity(ax, name, found)
        axes[0].set_yticks(range(len(data.labels)), data.labels)
        axes[0].invert_yaxis()
        counts = sorted(set(data.seeds))
        seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        bars = "; lines: 95 % intervals over seeds" if counts[-1] > 1 else ""
        caption(figure, f"{seeds} {'seed' if counts == [1] else 'seeds'} of each setting{bars}")
    return figure


def _draw_quantity(ax: Axes, name: str, found: Sequence[Interval | None]) -> None:
    unit = unit_of(name)
    known = [at for at in found if at is not None]
    reach = max([at.mean for at in known] + [min(at.high, 2 * at.mean) for at in known if at.known]) * unit.scale
    for row, at in enumerate(found):
        if at is None:
            continue
        ax.barh(row, unit.scale * at.mean, height=0.62, color=look(row)[0], alpha=0.75)
        if at.known:
            ax.hlines(row, unit.scale * max(at.low, 0.0), unit.scale * at.high, color=INK, linewidth=1.4)
        beside = ("axes fraction", "data")
        ax.annotate(words(at, unit), (1.03, row), xycoords=beside, va="center", fontsize=8, annotation_clip=False)
    ax.set_xlim(0, (100.0 if unit.sign == "%" and reach > 60 else 1.0 * reach))
    ax.set_xlabel(f"{QUANTITIES[name]} ({unit.sign})")
    ax.tick_params(axis="y", length=0)
    grid(ax, "x")


def words(at: Interval, unit: Unit) -> str:
    """``83.1 ± 2.4``, or the mean alone where one seed gives no interval."""
    mean = f"{unit.scale * at.mean:.3g}"
    return f"{mean} ± {unit.scale * at.halfwidth:.2g}" if at.known else mean


def headline_findings(data: Headline) -> list[str]:
    """The three numbers of each setting in words."""
    lines = []
    for row, label in enumerate(data.labels):
        parts = [
            f"{QUANTITIES[name]} {words(at, unit_of(name))} {unit_of(name).sign}"
            for name, found in data.quantities.items()
            if (at := found[row]) is not None
        ]
        lines.append(f"{label} ({data.seeds[row]} seed{'s' if data.seeds[row] > 1 else ''}): {', '.join(parts)}.")
    return lines
