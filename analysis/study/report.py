"""A study as one self-contained page: question, verdict, figures, tables, failures, how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from analysis.pages.html import joined, report_page, table, tag
from analysis.stats.seed_bootstrap import MIN_BOOTSTRAPPED
from analysis.study.findings import StudyAnswer
from analysis.study.reproduce import machines, sweep_commands
from analysis.study.settings import MissingTrial
from analysis.study.tables import TextTable, filled_columns, seeds_table
from asyppo_cli.display.drawing import format_duration
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.studies import Study

MAX_SEED_ROWS = 60
MAX_MISSING = 200


def study_report(answer: StudyAnswer, folder: Path, figures: Mapping[str, tuple[Markup, str]]) -> str:
    """The page as HTML; ``figures`` are pictures with a sentence on how each is read, by title.

    Raises:
        ValueError: a file of a run is damaged.
    """
    first, *rest = answer.findings()
    sections = {"Answer": joined(tag("p", first, class_="lead"), *(tag("p", line) for line in rest))}
    sections |= {t: tag("figure", image, tag("figcaption", tag("p", w))) for t, (image, w) in figures.items()}
    sections |= {one.title: text_table(one) for one in answer.tables()}
    sections |= {"Every difference": _differences(answer), "Seed by seed": _seeds(answer)}
    if answer.missing:
        sections["Trials without a number"] = _missing(answer.missing)
    sections["How it was made"] = _reproduction(answer, folder)
    study = answer.study
    return report_page(
        f"Study: {study.name}", f"Study {study.name}", study.question or study.name, _size(study), sections
    )


def how_to_read(answer: StudyAnswer, measured: str = "docs/studies.md") -> str:
    """The methods behind the intervals; ``measured`` is where their coverage is documented."""
    used = {s.mean.method for one in answer.objectives for s in one.settings if s.mean is not None}
    parts = []
    if "bootstrap" in used:
        parts.append("Intervals of means are studentized bootstraps over seeds.")
    if "t" in used:
        few = f"of fewer than {MIN_BOOTSTRAPPED} seeds " if "bootstrap" in used else ""
        parts.append(f"Intervals {few}are Student's t over seeds: a bootstrap would cover far less than it promises.")
    if used - {"none"}:
        parts.append(f"What each covers was measured ({measured}).")
    if any(one.effects for one in answer.objectives):
        parts.append(
            "Differences are paired by seed, their intervals Student's t. What could be seen is the least true "
            "difference that so many seeds show in four of five cases. Of many comparisons some look resolved by "
            "chance: Holm's p allows for their number."
        )
    return " ".join(parts)


def _size(study: Study) -> str:
    done = sum(trial.state == "finished" for trial in study.trials)
    settings = len({trial.setting for trial in study.trials})
    seconds = sum(trial.seconds or 0.0 for trial in study.trials)
    judged = " and ".join(f"{o.metric} ({o.direction})" for o in study.objectives)
    trials = f"{done} of {len(study.trials)} trials finished, {format_duration(seconds)} one after the other"
    return f"{settings} settings, {trials}; {judged}"


def text_table(one: TextTable) -> Markup:
    """A table whose empty columns are left out."""
    kept = filled_columns(one)
    return table([one.header[i] for i in kept], [[row[i] for i in kept] for row in one.rows], "numbers")


def _differences(answer: StudyAnswer) -> Markup:
    lines, axes = answer.differences(), answer.axis_differences()
    note = tag("p", how_to_read(answer), class_="muted")
    if not lines:
        return joined(tag("p", "There is nothing to compare."), note)
    more = [tag("h4", "Axes, averaged over the others"), _list(axes)] if axes else []
    return joined(_list(lines), *more, note)


def _list(lines: Sequence[str]) -> Markup:
    return tag("ul", *(tag("li", line) for line in lines))


def _seeds(answer: StudyAnswer) -> Markup:
    parts: list[Markup] = []
    for one in answer.objectives:
        found = seeds_table(one.settings[:MAX_SEED_ROWS], one.objective)
        parts += [tag("h4", found.title), text_table(found)]
    return joined(*parts, _left_out(len(answer.objectives[0].settings) - MAX_SEED_ROWS, "settings"))


def _missing(missing: Sequence[MissingTrial]) -> Markup:
    rows = [[m.name or "-", m.setting, "-" if m.seed is None else m.seed, m.state, m.reason or ""] for m in missing]
    shown = table(["trial", "setting", "seed", "state", "reason"], rows[:MAX_MISSING])
    return joined(shown, _left_out(len(rows) - MAX_MISSING, "trials"))


def _left_out(count: int, what: str) -> Markup:
    return tag("p", f"{count} more {what} are in trials.csv.", class_="muted") if count > 0 else joined()


def _reproduction(answer: StudyAnswer, folder: Path) -> Markup:
    runs = [run for trial in answer.study.trials if (run := RunDirectory(folder / trial.name)).exists()]
    commands = [tag("p", tag("code", command)) for command in sweep_commands(answer)]
    return joined(*commands, _list(machines(runs[:MAX_MISSING])))
