"""A study as one page that needs nothing but itself: question, verdict, figures, tables, failures, how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.pages.html import Markup, page, tag, template
from analysis.run_report.tables import table
from analysis.study.commands import sweep_commands
from analysis.study.findings import StudyAnswer
from analysis.study.notes import how_to_read
from analysis.study.reproduce import machines
from analysis.study.settings import Gap
from analysis.study.tables import TextTable, seeds_table
from asyppo_cli.display.drawing import format_duration
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.studies import Study

MOST_SEED_ROWS = 60
MOST_GAPS = 200


def study_report(said: StudyAnswer, folder: Path, figures: Mapping[str, tuple[Markup, str]]) -> str:
    """The page as HTML; ``figures`` are pictures with a sentence on how each is read, by title.

    Raises:
        ValueError: a file of a run is damaged.
    """
    study = said.study
    sections = [("Answer", _answer(said)), *((title, _figure(*one)) for title, one in figures.items())]
    sections += [(one.title, text_table(one)) for one in said.tables()]
    sections += [("Every difference", _differences(said)), ("Seed by seed", _seeds(said))]
    sections += [("Trials without a number", _gaps(said.gaps))] * bool(said.gaps)
    sections += [("How it was made", _made(said, folder))]
    head = tag(
        "header",
        tag("p", f"Study {study.name}", class_="kicker"),
        tag("h1", study.question or study.name),
        tag("p", _size(study), class_="muted small"),
    )
    body = [tag("section", tag("h2", name), content) for name, content in sections]
    styles = template("base.css") + template("report.css")
    return page(f"Study: {study.name}", tag("main", head, *body), styles)


def _size(study: Study) -> str:
    done = sum(trial.state == "finished" for trial in study.trials)
    settings = len({trial.setting for trial in study.trials})
    seconds = sum(trial.seconds or 0.0 for trial in study.trials)
    judged = " and ".join(f"{o.metric} ({o.direction})" for o in study.objectives)
    trials = f"{done} of {len(study.trials)} trials finished, {format_duration(seconds)} one after the other"
    return f"{settings} settings, {trials}; {judged}"


def _answer(said: StudyAnswer) -> Markup:
    """The verdicts large, what else was found below."""
    first, *rest = said.findings()
    return tag("", tag("p", first, class_="lead"), *(tag("p", line) for line in rest))


def _figure(drawn: Markup, words: str) -> Markup:
    return tag("figure", drawn, tag("figcaption", tag("p", words)))


def text_table(one: TextTable) -> Markup:
    """A table whose empty columns are left out."""
    kept = [i for i in range(len(one.header)) if i == 0 or any(row[i] for row in one.rows)]
    rows = [[row[i] for i in kept] for row in one.rows]
    return table([one.header[i] for i in kept], rows, "numbers")


def _differences(said: StudyAnswer) -> Markup:
    lines = said.differences()
    note = tag("p", how_to_read(said), class_="muted")
    if not lines:
        return tag("", tag("p", "There is nothing to hold against each other."), note)
    axes = said.axis_differences()
    more = [tag("h4", "Axes, averaged over the others"), tag("ul", *(tag("li", line) for line in axes))] if axes else []
    return tag("", tag("ul", *(tag("li", line) for line in lines)), *more, note)


def _seeds(said: StudyAnswer) -> Markup:
    parts = []
    for n, objective in enumerate(said.study.objectives):
        found = seeds_table(said.settings[:MOST_SEED_ROWS], n, objective)
        parts += [tag("h4", found.title), text_table(found)]
    left = len(said.settings) - MOST_SEED_ROWS
    parts += [tag("p", f"{left} more settings are in trials.csv.", class_="muted")] * (left > 0)
    return Markup("".join(parts))


def _gaps(gaps: Sequence[Gap]) -> Markup:
    rows = [
        [gap.name or "-", gap.setting, "-" if gap.seed is None else gap.seed, gap.state, gap.reason or ""]
        for gap in gaps
    ]
    left = len(rows) - MOST_GAPS
    note = [tag("p", f"{left} more are in trials.csv.", class_="muted")] * (left > 0)
    return tag("", table(["trial", "setting", "seed", "state", "reason"], rows[:MOST_GAPS]), *note)


def _made(said: StudyAnswer, folder: Path) -> Markup:
    runs = [run for trial in said.study.trials if (run := RunDirectory(folder / trial.name)).exists()]
    best = [one for found in said.searched[:1] for one in found.best]
    ordered = best if said.study.kind == "search" else said.settings
    commands = [tag("p", tag("code", command)) for command in sweep_commands(said.study, ordered)]
    return tag("", *commands, tag("ul", *(tag("li", line) for line in machines(runs[:MOST_GAPS]))))
