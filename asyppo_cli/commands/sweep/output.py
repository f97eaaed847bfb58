"""What came out of a sweep, in words and tables."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from asyppo_cli import console
from asyppo_cli.console import Column

if TYPE_CHECKING:
    from analysis.study.findings import StudyAnswer
    from asyppo_cli.runs.studies import Study

# Of a study of thousands, a few are enough to see what goes wrong.
MOST = 10


def tell_and_write(study: Study, folder: Path) -> None:
    """The answer of a study as far as it has got, with figures, tables and one page below its folder."""
    from analysis.study.write import FOLDER, write_answer

    if any(trial.state == "finished" for trial in study.trials):
        console.note("drawing the figures")
        tell(study, write_answer(study, folder))
        console.note(f"figures, tables and one page with everything: {folder / FOLDER / 'report.html'}")
    else:
        tell_states(study)
        tell_failures(study)


def tell_standing(study: Study, folder: Path) -> None:
    """The answer of a study as far as it has got; nothing is written."""
    from analysis.study.findings import answer, weigh
    from analysis.study.write import FOLDER

    tell(study, weigh(answer(study)))
    page = folder / FOLDER / "report.html"
    if page.is_file():
        console.note(f"figures, tables and one page with everything, as of the last sweep: {page}")


def tell(study: Study, said: StudyAnswer) -> None:
    """Question, states, tables and verdict."""
    if study.question:
        console.heading(study.question)
    for table in said.tables():
        console.heading(table.title)
        # What was worked out for no row has no column.
        used = [n for n, title in enumerate(table.header) if any(row[n] for row in table.rows) and is_shown(title)]
        columns = [Column(table.header[n], "right" if n else "left", "" if n else "bold", wrap=n > 0) for n in used]
        console.table(columns, [[row[n] for n in used] for row in table.rows])
    console.print()
    tell_states(study)
    # Those that failed are among the findings.
    for line in said.findings():
        console.print(line)


def is_shown(title: str) -> bool:
    """Whether a terminal has room for a column; the page has all of them, and the verdict says what the others mean."""
    return title != "p" and not title.startswith("could be seen")


def tell_states(study: Study) -> None:
    """How many trials stand how."""
    counts = Counter(trial.state for trial in study.trials)
    console.print(f"{study.name}: " + ", ".join(f"{number} {state}" for state, number in counts.items()))


def tell_failures(study: Study) -> None:
    """Why trials have failed."""
    failed = [trial for trial in study.trials if trial.state == "failed"]
    for trial in failed[:MOST]:
        console.warn(f"{trial.name} failed: {trial.reason}")
    if len(failed) > MOST:
        console.warn(f"and {len(failed) - MOST} more failed")
