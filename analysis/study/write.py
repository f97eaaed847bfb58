"""Writes the answer of a study: figures with the numbers they draw, tables, everything as JSON, and one page.

Files, all below ``answer/`` of the study's folder: ``answer.json``, ``trials.csv`` (one line a trial), ``settings.csv``
(one line a setting), ``report.html``, and every figure as PNG, SVG and PDF with its CSV.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.figures.style import save, save_text
from analysis.pages.html import drawn_picture, save_page
from analysis.study.figures.curves import draw_study_curves, study_curves, study_curves_csv
from analysis.study.figures.effects import draw_main_effects, main_effects, main_effects_csv
from analysis.study.figures.heatmap import draw_interactions, interactions, interactions_csv
from analysis.study.figures.parallel import draw_parallel, parallel, parallel_csv
from analysis.study.figures.pareto import draw_pareto, pareto, pareto_csv
from analysis.study.findings import StudyAnswer, answer, shown_settings, weigh
from analysis.study.record import answer_json
from analysis.study.report import study_report
from analysis.study.tables import settings_csv, trials_csv
from asyppo_cli.runs.studies import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "answer"


@dataclass(frozen=True)
class Drawing:
    """A figure to be drawn: its file's stem, its title and how it is read on the page, the numbers as CSV."""

    stem: str
    title: str
    words: str
    csv: str
    draw: Callable[[], Figure]


def write_answer(study: Study, folder: Path) -> StudyAnswer:
    """Answer the study and write everything below ``folder/answer/``; trials' runs lie at ``folder/NAME``.

    Without matplotlib or optuna the figures or the importance are left out, and a notice says so.

    Raises:
        ValueError: the baseline is none of the settings, a run's file is damaged, or a file cannot be written.
    """
    said, output = weigh(answer(study)), folder / FOLDER
    drawings = list(_drawings(said, folder))
    files, pictures = [save_text(output / f"{one.stem}.csv", one.csv) for one in drawings], {}
    if importlib.util.find_spec("matplotlib") is None:
        notice = "figures are left out: they need the package matplotlib: pip install 'asyppo[plots]'"
        said = replace(said, notices=(*said.notices, notice))
    else:
        for one in drawings:
            files += save(one.draw(), output / one.stem)
            drawn = (output / f"{one.stem}.svg").read_text(encoding="utf-8")
            pictures[one.title] = (drawn_picture(drawn, one.title), one.words)
    files += [
        save_text(output / "trials.csv", trials_csv(study)),
        save_text(output / "settings.csv", settings_csv(said.settings, said.effects, study.objectives)),
        save_text(output / "answer.json", answer_json(said)),
        save_page(output / "report.html", study_report(said, folder, pictures)),
    ]
    return replace(said, files=tuple(files))


def _drawings(said: StudyAnswer, folder: Path) -> Iterator[Drawing]:
    """Every figure that has something to show."""
    known = [n for n in range(len(said.study.objectives)) if any(s.means[n] is not None for s in said.settings)]
    for n in known:
        yield from _of_objective(said, n)
    for n in known:
        yield from _curves(said, folder, n)
    if len(said.study.objectives) > 1 and said.front:
        data = pareto(said.settings, said.study.objectives, said.baseline)
        words = (
            "Towards the better corner nothing was found beyond the line. Single seeds may owe their place to chance."
        )
        yield Drawing("pareto", "Pareto front", words, pareto_csv(data), lambda: draw_pareto(data))


def _of_objective(said: StudyAnswer, n: int) -> Iterator[Drawing]:
    objective = said.study.objectives[n]
    end, of = ("", "") if n == 0 else (f"-{n + 1}", f": {objective.metric}")
    if said.study.kind == "search":
        order = [one.key for one in said.importances[n].keys] if said.importances else []
        lines = parallel(said.settings, n, objective, order)
        words = "Where the dark lines run together, that value serves well; where they spread, it does not matter."
        title = f"Parallel coordinates{of}"
        yield Drawing(f"parallel{end}", title, words, parallel_csv(lines), lambda: draw_parallel(lines))
        return
    effect = main_effects(said.settings, n, objective, said.baseline, said.study.paper if n == 0 else None)
    words = "Intervals that overlap may still differ: seeds are shared, so the paired differences in the table decide."
    yield Drawing(
        f"effects{end}", f"Main effects{of}", words, main_effects_csv(effect), lambda: draw_main_effects(effect)
    )
    heat = interactions(said.settings, n, objective)
    if heat.maps:
        words = "Rows that look alike mean that the axes do not interact."
        title = f"Interaction{of}"
        yield Drawing(f"interaction{end}", title, words, interactions_csv(heat), lambda: draw_interactions(heat))


def _curves(said: StudyAnswer, folder: Path, n: int) -> Iterator[Drawing]:
    objective = said.study.objectives[n]
    end, of = ("", "") if n == 0 else (f"-{n + 1}", f": {objective.metric}")
    data = study_curves(shown_settings(said, n), folder, objective.metric, said.baseline)
    if data.curves:
        data = replace(data, left_out=len(said.settings) - len(data.curves))
        words = "Each panel a setting; the dashed line is the baseline's mean."
        title = f"Learning curves{of}"
        yield Drawing(f"curves{end}", title, words, study_curves_csv(data), lambda: draw_study_curves(data))
