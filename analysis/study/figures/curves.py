"""Learning curves of a study's settings: a panel for each, seeds as thin lines, their mean with its band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.figures.csv_export import csv_text
from analysis.figures.labels import shortened
from analysis.figures.style import FAINT, GROUND, caption, grid, new_figure, series_style, step_axis, styled
from analysis.figures.units import metric_label, unit_of
from analysis.metrics.curves import draw_means, limit
from analysis.metrics.series import Curve, join_seeds, values_by_step
from analysis.stats.effects import Seed, seed_order
from analysis.study.settings import StudySetting
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.metric_log import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CURVES = 12
MAX_COLUMNS = 4
PANEL = (2.7, 2.2)


@dataclass(frozen=True)
class StudyCurves:
    """Curves of one metric, the baseline's first where there is one; ``left_out`` settings have none here."""

    metric: str
    baseline: str | None
    curves: tuple[Curve, ...]
    left_out: int


def study_curves(settings: Sequence[StudySetting], folder: Path, metric: str, baseline: str | None) -> StudyCurves:
    """Curves of the finished trials, read from ``folder/TRIAL``; of many settings the baseline and the first others.

    Raises:
        ValueError: a metrics file is damaged.
    """
    able = [s for s in settings if any(t.state == "finished" for t in s.trials)]
    able.sort(key=lambda setting: setting.name != baseline)
    curves = [join_seeds(setting.name, _seeds(setting, folder, metric)) for setting in able[:MAX_CURVES]]
    known = tuple(curve for curve in curves if len(curve.steps) > 1)
    return StudyCurves(metric, baseline, known, len(settings) - len(known))


def _seeds(setting: StudySetting, folder: Path, metric: str) -> dict[Seed, Mapping[int, float]]:
    """Values by step of the first finished trial of each seed."""
    seeds: dict[Seed, Mapping[int, float]] = {}
    for trial in sorted(setting.trials, key=lambda trial: (seed_order(trial.seed), trial.name)):
        if trial.state == "finished" and trial.seed not in seeds:
            found = values_by_step(read_metrics(RunDirectory(folder / trial.name).metrics), metric)
            if found:
                seeds[trial.seed] = found
    return seeds


def study_curves_csv(data: StudyCurves) -> str:
    """The numbers of :func:`draw_study_curves`, in the metric's own unit: means, and every seed's own values."""
    rows: list[Sequence[Any]] = []
    for curve in data.curves:
        for step, at in zip(curve.steps, curve.means, strict=True):
            rows.append([data.metric, curve.setting, step, "mean", at.mean, at.low, at.high])
        for seed, table in curve.seeds.items():
            rows += [[data.metric, curve.setting, step, seed, value, None, None] for step, value in table.items()]
    return csv_text(["metric", "setting", "step", "seed", "value", "low", "high"], rows)


def draw_study_curves(data: StudyCurves) -> Figure:
    """A panel for each setting on one scale; the baseline's mean lies faint behind all others."""
    rows = max(1, -(-len(data.curves) // MAX_COLUMNS))
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
            step_axis(above)
        scale = unit_of(data.metric).scale
        values = [v for curve in data.curves for table in curve.seeds.values() for v in table.values()]
        limit(axes[0, 0], [scale * value for value in values], 0.15)
        figure.supylabel(metric_label(data.metric), fontsize=9)
        caption(figure, _caption(data))
    return figure


def _draw(ax: Axes, curve: Curve, number: int, metric: str, reference: Curve | None) -> None:
    scale = unit_of(metric).scale
    if reference is not None:
        means = [scale * at.mean for at in reference.means]
        ax.plot(reference.steps, means, color=FAINT, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1.5)
    for table in curve.seeds.values():
        values = [scale * value for value in table.values()]
        ax.plot(list(table), values, color=series_style(number)[0], linewidth=0.7, alpha=0.45)
    marks = {"markersize": 4.5, "markeredgecolor": GROUND, "markeredgewidth": 0.5}
    draw_means(ax, curve, metric, number, linewidth=1.8, **marks)
    ax.set_title(shortened(curve.setting, 30), fontsize=8)
    step_axis(ax)
    ax.label_outer()
    grid(ax)


def _caption(data: StudyCurves) -> str:
    several = any(len(curve.seeds) > 1 for curve in data.curves)
    parts = ["thin lines: seeds; thick: their mean; band: 95 % t interval over seeds" if several else "one seed each"]
    parts += [f"dashed: {shortened(data.baseline, 40)}"] * (data.baseline is not None and len(data.curves) > 1)
    parts += [f"{data.left_out} settings are not drawn"] * (data.left_out > 0)
    return "; ".join(parts)
