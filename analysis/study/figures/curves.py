"""Learning curves of a study's settings: a panel for each, seeds as thin lines, their mean with its band."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.figures.csv_export import csv_text
from analysis.figures.labels import shown
from analysis.figures.style import FAINT, GROUND, caption, grid, look, new_figure, styled
from analysis.metrics.curves import unit_of
from analysis.stats.seed_bootstrap import SeedMean, seed_means
from analysis.study.settings import Seed, Setting, seed_order
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.metric_log import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CURVES = 12
MOST_COLUMNS = 4
PANEL = (2.7, 2.2)
MARKED = 30
STEP_LABEL = "training step"


@dataclass(frozen=True)
class StudyCurve:
    """A metric of one setting by step: each seed's own values, and the mean at ``steps``, which all seeds have."""

    setting: str
    seeds: Mapping[Seed, Mapping[int, float]]
    steps: tuple[int, ...]
    means: tuple[SeedMean, ...]


@dataclass(frozen=True)
class StudyCurves:
    """Curves of one metric, the baseline's first where there is one; ``left_out`` settings have none here."""

    metric: str
    baseline: str | None
    curves: tuple[StudyCurve, ...]
    left_out: int


def study_curves(settings: Sequence[Setting], folder: Path, metric: str, baseline: str | None) -> StudyCurves:
    """Curves of the finished trials, read from ``folder/TRIAL``; of many settings the baseline and the first others.

    Raises:
        ValueError: a metrics file is damaged.
    """
    able = [s for s in settings if any(t.state == "finished" for t in s.trials)]
    able.sort(key=lambda setting: setting.name != baseline)
    curves = [_curve(setting, folder, metric) for setting in able[:MOST_CURVES]]
    known = tuple(curve for curve in curves if len(curve.steps) > 1)
    return StudyCurves(metric, baseline, known, len(settings) - len(known))


def _curve(setting: Setting, folder: Path, metric: str) -> StudyCurve:
    seeds: dict[Seed, Mapping[int, float]] = {}
    for trial in sorted(setting.trials, key=lambda trial: (seed_order(trial.seed), trial.name)):
        if trial.state == "finished":
            found = _by_step(folder / trial.name, metric)
            if found:
                seeds.setdefault(trial.seed, found)
    steps = sorted(set.intersection(*map(set, seeds.values()))) if seeds else []
    means = seed_means([[table[step] for table in seeds.values()] for step in steps], "bands")
    return StudyCurve(setting.name, seeds, tuple(steps), tuple(means))


def _by_step(run: Path, metric: str) -> dict[int, float]:
    rows = read_metrics(RunDirectory(run).metrics).rows
    return {int(row[names.STEP]): row[metric] for row in rows if math.isfinite(row.get(metric, math.nan))}


def study_curves_csv(data: StudyCurves) -> str:
    """Twin of :func:`draw_study_curves`, in the metric's own unit: means, and every seed's own values."""
    rows: list[Sequence[Any]] = []
    for curve in data.curves:
        for step, at in zip(curve.steps, curve.means, strict=True):
            rows.append([data.metric, curve.setting, step, "mean", at.mean, at.interval.low, at.interval.high])
        for seed, table in curve.seeds.items():
            rows += [[data.metric, curve.setting, step, seed, value, None, None] for step, value in table.items()]
    return csv_text(["metric", "setting", "step", "seed", "value", "low", "high"], rows)


def draw_study_curves(data: StudyCurves) -> Figure:
    """A panel for each setting on one scale; the baseline's mean lies faint behind all others."""
    rows = max(1, -(-len(data.curves) // MOST_COLUMNS))
    columns = max(1, -(-len(data.curves) // rows))
    with styled():
        figure = new_figure(max(PANEL[0] * columns, 4.6) + 0.3, PANEL[1] * rows + 0.5)
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        reference = next((curve for curve in data.curves if curve.setting == data.baseline), None)
        for number, (ax, curve) in enumerate(zip(axes.ravel(), data.curves, strict=False)):
            _draw(ax, curve, number, data.metric, None if curve is reference else reference)
        for ax in axes.ravel()[len(data.curves) :]:
            ax.set_axis_off()
        for above in axes[-2:-1, len(data.curves) - (rows - 1) * columns :].ravel():
            above.tick_params(labelbottom=True)
            above.set_xlabel(STEP_LABEL, fontsize=8)
        _limit(axes[0, 0], data)
        unit = unit_of(data.metric)
        figure.supylabel(data.metric + (f" ({unit.sign})" if unit.sign else ""), fontsize=9)
        caption(figure, _words(data))
    return figure


def _draw(ax: Axes, curve: StudyCurve, number: int, metric: str, reference: StudyCurve | None) -> None:
    scale, (colour, marker) = unit_of(metric).scale, look(number)
    if reference is not None:
        means = [scale * at.mean for at in reference.means]
        ax.plot(reference.steps, means, color=FAINT, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1.5)
    for table in curve.seeds.values():
        ax.plot(list(table), [scale * v for v in table.values()], color=colour, linewidth=0.7, alpha=0.45)
    if all(at.interval.known for at in curve.means):
        low, high = ([scale * end for end in ends] for ends in _ends(curve))
        ax.fill_between(curve.steps, low, high, color=colour, alpha=0.14, linewidth=0)
    marks: dict[str, Any] = {"marker": marker, "markersize": 4.5, "markeredgecolor": GROUND, "markeredgewidth": 0.5}
    means = [scale * at.mean for at in curve.means]
    ax.plot(curve.steps, means, color=colour, linewidth=1.8, **(marks if len(means) <= MARKED else {}))
    ax.set_title(shown(curve.setting, 30), fontsize=8)
    ax.set_xlabel(STEP_LABEL, fontsize=8)
    ax.label_outer()
    grid(ax)


def _ends(curve: StudyCurve) -> tuple[list[float], list[float]]:
    return [at.interval.low for at in curve.means], [at.interval.high for at in curve.means]


def _limit(ax: Axes, data: StudyCurves) -> None:
    """The band of two seeds, or one wild seed, would squeeze the curves into a line: the scale is that of the data."""
    scale = unit_of(data.metric).scale
    values = [scale * v for curve in data.curves for table in curve.seeds.values() for v in table.values()]
    if values:
        room = 0.15 * (max(values) - min(values)) or 0.05 * abs(max(values)) or 1.0
        bottom, top = ax.get_ylim()
        ax.set_ylim(max(bottom, min(values) - room), min(top, max(values) + room))


def _words(data: StudyCurves) -> str:
    counts = {len(curve.seeds) for curve in data.curves}
    parts = ["thin lines: seeds; thick: their mean" if max(counts, default=1) > 1 else "one seed each"]
    parts += ["band: 95 % t interval over seeds"] * (max(counts, default=1) > 1)
    parts += [f"dashed: {shown(data.baseline, 40)}"] * (data.baseline is not None and len(data.curves) > 1)
    parts += [f"{data.left_out} settings are not drawn"] * (data.left_out > 0)
    return "; ".join(parts)
