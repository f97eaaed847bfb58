"""Settings by two objectives, and the front of those that no other one beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.figures.csv_export import csv_text
from analysis.figures.labels import shown
from analysis.figures.style import BLUE, FAINT, GROUND, INK, ORANGE, caption, grid, new_figure, styled
from analysis.metrics.curves import unit_of
from analysis.study.search import front
from analysis.study.settings import Setting
from asyppo_cli.runs.studies import Objective

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LABELS = 12


@dataclass(frozen=True)
class Pareto:
    """Means ``[x, y]`` of every setting that has both, by name; ``front`` names, sorted by x; ``baseline`` if known."""

    objectives: tuple[Objective, Objective]
    points: tuple[tuple[str, float, float], ...]
    front: tuple[str, ...]
    baseline: str | None


def pareto(settings: Sequence[Setting], objectives: Sequence[Objective], baseline: str | None) -> Pareto:
    """The first two objectives of a study."""
    first, second = objectives[:2]
    points = [
        (s.name, s.means[0].mean, s.means[1].mean)
        for s in settings
        if s.means[0] is not None and s.means[1] is not None
    ]
    two = [_of_two(setting) for setting in settings]
    kept = {setting.name for setting in front(two, (first, second))}
    names = [name for name, *_ in sorted(points, key=lambda point: (point[1], point[2])) if name in kept]
    return Pareto((first, second), tuple(points), tuple(names), baseline)


def _of_two(setting: Setting) -> Setting:
    return Setting(setting.name, setting.point, setting.trials, setting.values[:2], setting.means[:2], setting.seconds)


def pareto_csv(data: Pareto) -> str:
    """Twin of :func:`draw_pareto`, in the objectives' own units."""
    kept = set(data.front)
    rows = [[name, x, y, int(name in kept)] for name, x, y in data.points]
    return csv_text(["setting", *(o.metric for o in data.objectives), "on_front"], rows)


def draw_pareto(data: Pareto) -> Figure:
    """All settings as dots, the front as a staircase with names."""
    across, up = (unit_of(objective.metric).scale for objective in data.objectives)
    places = {name: (across * x, up * y) for name, x, y in data.points}
    with styled():
        figure = new_figure(6.0, 4.0)
        ax = figure.subplots()
        kept = [places[name] for name in data.front]
        rest = [place for name, place in places.items() if name not in set(data.front)]
        ax.plot(
            [x for x, _ in rest], [y for _, y in rest], "o", color=FAINT, markersize=4, markeredgewidth=0, alpha=0.7
        )
        # Between two settings of the front nothing better is known than the worse end of the step.
        both = data.objectives[0].direction, data.objectives[1].direction
        where = "steps-post" if both[0] == "minimize" else "steps-pre"
        ax.plot([x for x, _ in kept], [y for _, y in kept], color=BLUE, drawstyle=where, linewidth=1.2)
        ax.plot([x for x, _ in kept], [y for _, y in kept], "D", color=BLUE, markersize=6, markeredgecolor=GROUND)
        if data.baseline in places:
            ax.plot(*places[data.baseline], "s", color=ORANGE, markersize=7, markeredgecolor=INK, zorder=4)
        _label(ax, data, places)
        for name, objective in zip(("x", "y"), data.objectives, strict=True):
            sign = unit_of(objective.metric).sign
            better = "more" if objective.direction == "maximize" else "less"
            ax.set(**{f"{name}label": f"{objective.metric} ({sign + '; ' if sign else ''}{better} is better)"})
        ax.margins(0.12)
        grid(ax, "both")
        caption(figure, _words(data))
    return figure


def _label(ax: Axes, data: Pareto, places: dict[str, tuple[float, float]]) -> None:
    for name in data.front[:MOST_LABELS]:
        ax.annotate(shown(name, 26), places[name], xytext=(6, 6), textcoords="offset points", fontsize=7)


def _words(data: Pareto) -> str:
    parts = ["diamonds: no other setting is as good in both and better in one"]
    parts += [f"square: {shown(data.baseline, 40)}"] * (data.baseline in {name for name, *_ in data.points})
    return "; ".join(parts)
