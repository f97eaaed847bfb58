"""Bars that compare settings: accuracy, seconds per step and peak memory."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.figures.csv_export import csv_text
from analysis.figures.labels import shortened
from analysis.figures.style import INK, caption, grid, series_style, side_by_side, styled
from analysis.figures.units import Unit, shown_end, unit_of
from analysis.metrics.run_groups import RunGroup
from analysis.stats.seed_bootstrap import SeedMean, seed_mean
from asyppo_cli.runs import metrics as names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The metrics, the title of each panel, and how a run's values become one number.
QUANTITIES: dict[str, tuple[str, Callable[[Sequence[float]], float]]] = {
    names.ACCURACY: ("held-out accuracy after training", lambda values: values[-1]),
    names.STEP_TIME: ("time of the median step", statistics.median),
    names.PEAK_MEMORY: ("peak memory", max),
}


@dataclass(frozen=True)
class SummaryBars:
    """Of every setting the quantities over its seeds, in their metrics' units; None where no seed has one."""

    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    quantities: dict[str, tuple[SeedMean | None, ...]]


def summary_bars(groups: Sequence[RunGroup]) -> SummaryBars:
    """The comparison of all groups.

    Raises:
        ValueError: no run has been evaluated or timed.
    """
    quantities = {name: tuple(_over_seeds(group, name) for group in groups) for name in QUANTITIES}
    known = {name: found for name, found in quantities.items() if any(found)}
    if not known:
        raise ValueError("these runs have no accuracy, step time or memory yet: their first step is not done")
    return SummaryBars(tuple(g.label for g in groups), tuple(len(g.runs) for g in groups), known)


def _over_seeds(group: RunGroup, name: str) -> SeedMean | None:
    series = [found for metrics in group.metrics.values() if (found := metrics.series(name))]
    return seed_mean([QUANTITIES[name][1](values) for values in series]) if series else None


def summary_csv(data: SummaryBars) -> str:
    """The numbers of :func:`draw_summary`, in the metrics' own units."""
    rows = [
        [name, label, at.mean, at.low, at.high, at.seeds]
        for name, found in data.quantities.items()
        for label, at in zip(data.labels, found, strict=True)
        if at is not None
    ]
    return csv_text(["metric", "setting", "mean", "low", "high", "seeds"], rows)


def draw_summary(data: SummaryBars, width: float | None = None) -> Figure:
    """A panel for each quantity, a bar for each setting with its number and interval."""
    with styled():
        size = (3.2 * len(data.quantities) + 1.0, 1.2 + 0.42 * len(data.labels))
        figure, axes = side_by_side(len(data.quantities), size, width, sharey=True)
        for ax, (name, found) in zip(axes, data.quantities.items(), strict=True):
            _draw_quantity(ax, name, found)
        axes[0].set_yticks(range(len(data.labels)), [shortened(label, 40) for label in data.labels])
        axes[0].invert_yaxis()
        counts = sorted(set(data.seeds))
        seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        bars = "; lines: 95 % intervals over seeds" if counts[-1] > 1 else ""
        caption(figure, f"{seeds} {'seed' if counts == [1] else 'seeds'} of each setting{bars}")
    return figure


def _draw_quantity(ax: Axes, name: str, found: Sequence[SeedMean | None]) -> None:
    unit = unit_of(name)
    known = [at for at in found if at is not None]
    reach = max([at.mean for at in known] + [min(at.high, 2 * at.mean) for at in known if at.known]) * unit.scale
    for row, at in enumerate(found):
        if at is None:
            continue
        ax.barh(row, unit.scale * at.mean, height=0.62, color=series_style(row)[0], alpha=0.75)
        if at.known:
            ax.hlines(row, max(0.0, shown_end(name, at.low)), shown_end(name, at.high), color=INK, linewidth=1.4)
        beside = ("axes fraction", "data")
        ax.annotate(words(at, unit), (1.03, row), xycoords=beside, va="center", fontsize=8, annotation_clip=False)
    ax.set_xlim(0, (100.0 if unit.sign == "%" and reach > 60 else 1.0 * reach))
    ax.set_xlabel(f"{QUANTITIES[name][0]} ({unit.sign})")
    ax.tick_params(axis="y", length=0)
    grid(ax, "x")


def words(at: SeedMean, unit: Unit) -> str:
    """``83.1 ± 2.4``, or the mean alone where one seed gives no interval."""
    mean = f"{unit.scale * at.mean:.3g}"
    return f"{mean} ± {unit.scale * at.halfwidth:.2g}" if at.known else mean


def summary_findings(data: SummaryBars) -> list[str]:
    """The three numbers of each setting in words."""
    lines = []
    for row, label in enumerate(data.labels):
        parts = [
            f"{QUANTITIES[name][0]} {words(at, unit_of(name))} {unit_of(name).sign}"
            for name, found in data.quantities.items()
            if (at := found[row]) is not None
        ]
        lines.append(f"{label} ({data.seeds[row]} seed{'s' if data.seeds[row] > 1 else ''}): {', '.join(parts)}.")
    return lines
