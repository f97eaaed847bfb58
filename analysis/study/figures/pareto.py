"""Settings by two objectives, and the front of those that no other one beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.figures.csv_export import csv_text
from analysis.figures.labels import shortened
from analysis.figures.style import BLUE, FAINT, GROUND, INK, ORANGE, caption, grid, new_figure, styled
from analysis.figures.units import objective_label, unit_of
from analysis.study.search import front, front_points
from analysis.study.settings import StudySetting
from asyppo_cli.runs.studies import Objective

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_LABELS = 12


@dataclass(frozen=True)
class Pareto:
    """Means ``[x, y]`` of every setting that has both, by name; ``front`` names, sorted by x; ``baseline`` if known."""

    objectives: tuple[Objective, Objective]
    points: tuple[tuple[str, float, float], ...]
    front: tuple[str, ...]
    baseline: str | None


def pareto(
    by_objective: Sequence[Sequence[StudySetting]], objectives: Sequence[Objective], baseline: str | None
) -> Pareto:
    """The first two objectives of a study, from all settings under each."""
    points = front_points(by_objective[:2])
    kept = front(points, objectives[:2])
    names = [point.name for point in sorted(kept, key=lambda point: point.means)]
    rows = [(point.name, point.means[0], point.means[1]) for point in points]
    return Pareto((objectives[0], objectives[1]), tuple(rows), tuple(names), baseline)


def pareto_csv(data: Pareto) -> str:
    """The numbers of :func:`draw_pareto`, in the objectives' own units."""
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
            ax.set(**{f"{name}label": objective_label(objective)})
        ax.margins(0.12)
        grid(ax, "both")
        caption(figure, _words(data))
    return figure


def _label(ax: Axes, data: Pareto, places: dict[str, tuple[float, float]]) -> None:
    for name in data.front[:MAX_LABELS]:
        ax.annotate(shortened(name, 26), places[name], xytext=(6, 6), textcoords="offset points", fontsize=7)


def _words(data: Pareto) -> str:
    parts = ["diamonds: no other setting is as good in both and better in one"]
    parts += [f"square: {shortened(data.baseline, 40)}"] * (data.baseline in {name for name, *_ in data.points})
    return "; ".join(parts)
