"""Writes the answer of a study: figures with the numbers they draw, tables, everything as JSON, and one page.

Files, all below ``answer/`` of the study's folder: ``answer.json``, ``trials.csv`` (one line a trial), ``settings.csv``
(one line a setting), ``report.html``, and every figure as PNG, SVG and PDF with its CSV.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.figures.style import save, save_text
from analysis.pages.html import image, save_page
from analysis.study.figures.curves import draw_study_curves, study_curves, study_curves_csv
from analysis.study.figures.effects import draw_main_effects, main_effects, main_effects_csv
from analysis.study.figures.heatmap import draw_interactions, interactions, interactions_csv
from analysis.study.figures.parallel import draw_parallel, parallel, parallel_csv
from analysis.study.figures.pareto import draw_pareto, pareto, pareto_csv
from analysis.study.findings import ObjectiveAnswer, StudyAnswer, answer_study, with_importance
from analysis.study.record import answer_json, settings_csv, trials_csv
from analysis.study.report import study_report
from asyppo_cli.requirements import install_command
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

    Without matplotlib or optuna the figures or the importance are left out, with a notice.

    Raises:
        ValueError: the baseline is none of the settings, a run's file is damaged, or a file cannot be written.
    """
    answer, output = with_importance(answer_study(study)), folder / FOLDER
    drawings = list(_drawings(answer, folder))
    files, pictures = [save_text(output / f"{one.stem}.csv", one.csv) for one in drawings], {}
    if importlib.util.find_spec("matplotlib") is None:
        notice = f"figures are left out: they need the package matplotlib: {install_command('plots')}"
        answer = replace(answer, notices=(*answer.notices, notice))
    else:
        for one in drawings:
            files += save(one.draw(), output / one.stem)
            drawn = (output / f"{one.stem}.svg").read_text(encoding="utf-8")
            pictures[one.title] = (image(drawn, one.title), one.words)
    files += [
        save_text(output / "trials.csv", trials_csv(study)),
        save_text(output / "settings.csv", settings_csv(answer)),
        save_text(output / "answer.json", answer_json(answer)),
        save_page(output / "report.html", study_report(answer, folder, pictures)),
    ]
    return replace(answer, files=tuple(files))


def _drawings(answer: StudyAnswer, folder: Path) -> Iterator[Drawing]:
    """Every figure that has something to show."""
    # Files of the second objective end in -2, and their titles name it.
    marks = [("", "")] + [(f"-{n}", f": {one.metric}") for n, one in enumerate(answer.objectives[1:], 2)]
    known = [
        (one, *mark)
        for one, mark in zip(answer.objectives, marks, strict=True)
        if any(setting.mean for setting in one.settings)
    ]
    for one, end, of in known:
        yield from _of_objective(answer, one, end, of)
    for one, end, of in known:
        curves = study_curves(answer.shown_settings(one), folder, one.metric, answer.baseline)
        if curves.curves:
            curves = replace(curves, left_out=len(one.settings) - len(curves.curves))
            words = "Each panel a setting; the dashed line is the baseline's mean."
            yield _drawing(f"curves{end}", f"Learning curves{of}", words, curves, study_curves_csv, draw_study_curves)
    if answer.front:
        data = pareto([one.settings for one in answer.objectives], answer.study.objectives, answer.baseline)
        words = "No setting was found beyond the line. The places of single seeds may be due to chance."
        yield _drawing("pareto", "Pareto front", words, data, pareto_csv, draw_pareto)


def _of_objective(answer: StudyAnswer, one: ObjectiveAnswer, end: str, of: str) -> Iterator[Drawing]:
    if one.search is not None:
        order = [key.key for key in one.importances.keys] if one.importances else []
        lines = parallel(one.settings, one.objective, order)
        words = "Where the dark lines run together, that value serves well; where they spread, it does not matter."
        yield _drawing(f"parallel{end}", f"Parallel coordinates{of}", words, lines, parallel_csv, draw_parallel)
        return
    paper = None if end else answer.study.paper
    effect = main_effects(one.settings, one.objective, answer.baseline, paper)
    words = "Intervals that overlap may still differ: seeds are shared, so the paired differences in the table decide."
    yield _drawing(f"effects{end}", f"Main effects{of}", words, effect, main_effects_csv, draw_main_effects)
    heat = interactions(one.settings, one.objective)
    if heat.maps:
        words = "Rows that look alike mean that the axes do not interact."
        yield _drawing(f"interaction{end}", f"Interaction{of}", words, heat, interactions_csv, draw_interactions)


def _drawing(
    stem: str, title: str, words: str, data: Any, csv: Callable[[Any], str], draw: Callable[[Any], Figure]
) -> Drawing:
    return Drawing(stem, title, words, csv(data), lambda: draw(data))
