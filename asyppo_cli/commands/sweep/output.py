"""Printing the results of a study."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from asyppo_cli import console
from asyppo_cli.console import Column

if TYPE_CHECKING:
    from analysis.study.findings import StudyAnswer
    from asyppo_cli.runs.studies import Study

# Only the first failures are printed.
MAX_FAILURES = 10


def write_results(study: Study, folder: Path) -> None:
    """Print the results so far, and write figures, tables and a page below the study's folder."""
    from analysis.study.write import FOLDER, write_answer

    if any(trial.state == "finished" for trial in study.trials):
        console.note("drawing the figures")
        print_answer(study, write_answer(study, folder))
        console.note(f"figures, tables and report: {folder / FOLDER / 'report.html'}")
    else:
        print_states(study)
        print_failures(study)


def print_results(study: Study, folder: Path) -> None:
    """Print the results so far; nothing is written."""
    from analysis.study.findings import answer_study, with_importance
    from analysis.study.write import FOLDER

    print_answer(study, with_importance(answer_study(study)))
    page = folder / FOLDER / "report.html"
    if page.is_file():
        console.note(f"figures, tables and report of the last sweep: {page}")


def print_answer(study: Study, found: StudyAnswer) -> None:
    """Question, tables, states and verdict."""
    if study.question:
        console.heading(study.question)
    for table in found.tables():
        console.heading(table.title)
        # Columns without a value in any row are left out.
        used = [n for n, title in enumerate(table.header) if any(row[n] for row in table.rows) and is_shown(title)]
        columns = [Column(table.header[n], "right" if n else "left", "" if n else "bold", wrap=n > 0) for n in used]
        console.table(columns, [[row[n] for n in used] for row in table.rows])
    console.print()
    print_states(study)
    for line in found.findings():
        console.paragraph(line)


def is_shown(title: str) -> bool:
    """Whether a column fits in a terminal; the report has all of them."""
    return title != "p" and not title.startswith("could be seen")


def print_states(study: Study) -> None:
    """How many trials are in each state."""
    counts = Counter(trial.state for trial in study.trials)
    console.print(f"{study.name}: " + ", ".join(f"{number} {state}" for state, number in counts.items()))


def print_failures(study: Study) -> None:
    """The reasons of failed trials."""
    failed = [trial for trial in study.trials if trial.state == "failed"]
    for trial in failed[:MAX_FAILURES]:
        console.warn(f"{trial.name} failed: {trial.reason}")
    if len(failed) > MAX_FAILURES:
        console.warn(f"and {len(failed) - MAX_FAILURES} more failed")
