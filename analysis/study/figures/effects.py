"""Main effects: a panel for each axis of a study, every value with its mean, interval and single seeds.

Where a grid has several axes, a value's number is the mean over the settings of the other axes, seed by seed, of the
seeds that have all of them. What the paper reports stands beside, on a scale of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.figures.csv_export import csv_text
from analysis.figures.labels import MAX_ROWS, shortened
from analysis.figures.style import AMBER, BLUE, FAINT, GROUND, INK, caption, grid, new_figure, styled
from analysis.figures.units import objective_label, shown_end, unit_of
from analysis.stats.effects import Seed, direction_sign
from analysis.stats.seed_bootstrap import SeedMean, seed_means
from analysis.study.axes import averaged, grid_axes
from analysis.study.settings import StudySetting
from asyppo_cli.keys import short_names
from asyppo_cli.runs.studies import Objective, PaperAblation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_INCHES, WIDTH, PAPER_WIDTH = 0.36, 5.4, 2.3
LABEL, MAX_DOTS = 34, 30


@dataclass(frozen=True)
class AxisValue:
    """One value of an axis: its number of each seed, and the mean; None where no seed has all settings of it."""

    value: str
    seeds: Mapping[Seed, float]
    mean: SeedMean | None
    paper: float | None = None


@dataclass(frozen=True)
class MainEffect:
    """All values of an axis; ``averaged`` over that many settings each."""

    axis: str
    values: tuple[AxisValue, ...]
    averaged: int


@dataclass(frozen=True)
class MainEffects:
    """Of one objective; ``baseline`` is its mean where it is a row of the only axis."""

    objective: Objective
    axes: tuple[MainEffect, ...]
    baseline: float | None
    paper: PaperAblation | None
    left_out: int


def main_effects(
    settings: Sequence[StudySetting], objective: Objective, baseline: str | None, paper: PaperAblation | None
) -> MainEffects:
    """The main effects on the objective under which the settings are."""
    known = None if paper is None or not any(s.name in paper.values for s in settings) else paper
    axes = grid_axes(settings)
    if len(axes) > 1 and known is None:
        short = short_names(list(axes))
        effects = [_marginal(short[key], key, values, settings) for key, values in axes.items()]
        return MainEffects(objective, tuple(effects), None, None, 0)
    rows = list(settings) if len(settings) <= MAX_ROWS else _most_telling(settings, objective, baseline)
    key = next(iter(axes)) if len(axes) == 1 else None
    own = [
        AxisValue(s.point[key] if key else s.name, s.values, s.mean, known.values.get(s.name) if known else None)
        for s in rows
    ]
    reference = next((s.mean for s in rows if s.name == baseline), None)
    effect = MainEffect(short_names([key])[key] if key else "setting", tuple(own), 1)
    return MainEffects(objective, (effect,), reference.mean if reference else None, known, len(settings) - len(rows))


def _most_telling(settings: Sequence[StudySetting], objective: Objective, baseline: str | None) -> list[StudySetting]:
    """The baseline and the best, as many as can be read."""
    sign = direction_sign(objective.direction)
    known = [(s.name != baseline, -sign * m.mean, i) for i, s in enumerate(settings) if (m := s.mean) is not None]
    return [settings[i] for _, _, i in sorted(known)[:MAX_ROWS]]


def _marginal(short: str, key: str, values: Sequence[str], settings: Sequence[StudySetting]) -> MainEffect:
    found = [averaged(settings, {key: value}) for value in values]
    means = iter(seed_means([list(seeds.values()) for seeds in found if seeds], "levels"))
    pairs = zip(values, found, strict=True)
    rows = [AxisValue(value, seeds, next(means) if seeds else None) for value, seeds in pairs]
    return MainEffect(short, tuple(rows), len(settings) // len(values))


def main_effects_csv(data: MainEffects) -> str:
    """The numbers of :func:`draw_main_effects`, in the objective's own unit; the paper's are as it prints them."""
    rows: list[Sequence[Any]] = []
    for effect in data.axes:
        for value in effect.values:
            ends = (value.mean.low, value.mean.high) if value.mean else (None, None)
            rows.append([effect.axis, value.value, "mean", value.mean and value.mean.mean, *ends])
            rows += [[effect.axis, value.value, seed, number, None, None] for seed, number in value.seeds.items()]
            if value.paper is not None:
                rows.append([effect.axis, value.value, "paper", value.paper, None, None])
    return csv_text(["axis", "value", "seed", data.objective.metric, "low", "high"], rows)


def draw_main_effects(data: MainEffects) -> Figure:
    """Panels one below the other on one scale, a row for each value; the paper's numbers to the right."""
    heights = [max(2, len(effect.values)) for effect in data.axes]
    width = WIDTH + (PAPER_WIDTH if data.paper else 0.0)
    with styled():
        figure = new_figure(width, ROW_INCHES * sum(heights) + 0.55 * len(heights) + 0.75)
        ratios = [WIDTH, PAPER_WIDTH] if data.paper else [1.0]
        panels = figure.subplots(
            len(heights), len(ratios), squeeze=False, sharex="col", height_ratios=heights, width_ratios=ratios
        )
        for row, effect in zip(panels, data.axes, strict=True):
            _draw_axis(row[0], effect, data)
        _limit(panels[0][0], data)
        panels[-1][0].set_xlabel(objective_label(data.objective))
        if data.paper is not None:
            _draw_paper(panels[0][1], data.axes[0], data.paper)
        caption(figure, _words(data))
    return figure


def _draw_axis(ax: Axes, effect: MainEffect, data: MainEffects) -> None:
    scale = unit_of(data.objective.metric).scale
    for row, value in enumerate(effect.values):
        dots = [scale * number for number in value.seeds.values()]
        if 1 < len(dots) <= MAX_DOTS:
            ax.plot(dots, [row + 0.22] * len(dots), "o", color=FAINT, markersize=3.2, markeredgewidth=0, zorder=2)
        if value.mean is None:
            ax.annotate(
                "no number", (0.02, row), xycoords=("axes fraction", "data"), va="center", color=FAINT, fontsize=8
            )
            continue
        if value.mean.known:
            low, high = (shown_end(data.objective.metric, end) for end in (value.mean.low, value.mean.high))
            ax.hlines(row, low, high, color=BLUE, linewidth=1.8)
        ax.plot(scale * value.mean.mean, row, "D", color=BLUE, markersize=6, markeredgecolor=GROUND, zorder=3)
    if data.baseline is not None:
        ax.axvline(scale * data.baseline, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    ax.set_yticks(range(len(effect.values)), [shortened(value.value, LABEL) for value in effect.values])
    ax.set_ylim(len(effect.values) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.set_title(shortened(effect.axis, 50))
    grid(ax, "x")


def _limit(ax: Axes, data: MainEffects) -> None:
    """The interval of two seeds is so wide that nothing else could be seen: it runs out of the panel."""
    scale = unit_of(data.objective.metric).scale
    numbers = [scale * n for effect in data.axes for value in effect.values for n in value.seeds.values()]
    if numbers:
        room = 1.5 * (max(numbers) - min(numbers)) or 0.05 * abs(max(numbers)) or 1.0
        left, right = ax.get_xlim()
        ax.set_xlim(max(left, min(numbers) - room), min(right, max(numbers) + room))


def _draw_paper(ax: Axes, effect: MainEffect, paper: PaperAblation) -> None:
    known = [(row, value.paper) for row, value in enumerate(effect.values) if value.paper is not None]
    ax.plot([number for _, number in known], [row for row, _ in known], "s", color=AMBER, markersize=6)
    for row, number in known:
        ax.annotate(f"{number:g}", (number, row), xytext=(0, -11), textcoords="offset points", ha="center", fontsize=7)
    ax.set_yticks(range(len(effect.values)), [""] * len(effect.values))
    ax.set_ylim(len(effect.values) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0.2)
    ax.set_title("the paper\n(other models and data)", fontsize=8)
    ax.set_xlabel(shortened(paper.metric, 40))
    grid(ax, "x")


def _words(data: MainEffects) -> str:
    counts = sorted({v.mean.seeds for effect in data.axes for v in effect.values if v.mean is not None})
    seeds = "no number" if not counts else f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    parts = [f"{seeds} {'seed' if counts == [1] else 'seeds'} of each"]
    parts += ["diamond: mean; line: 95 % interval over seeds; dots: seeds"] * (counts[-1:] > [1])
    parts += ["each averaged over the other axes"] * (len(data.axes) > 1)
    parts += ["dashed: the baseline"] * (data.baseline is not None)
    parts += [f"{data.left_out} settings are not drawn"] * (data.left_out > 0)
    parts += [f"right: {data.paper.source}"] if data.paper else []
    return "; ".join(parts)
