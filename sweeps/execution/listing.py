"""A study as the rest of the house knows it: the storage's turns as trials, in the records of ``runs.studies``."""

from __future__ import annotations

from collections.abc import Sequence

from asyppo_cli.runs.studies import Study, StudyTrial
from sweeps.execution.attempts import Turn, current, trial_state
from sweeps.execution.study_store import Book


def study_of(book: Book) -> Study:
    """The study as it stands now."""
    definition = book.definition
    return Study(
        name=definition.name,
        kind=definition.kind,
        objectives=definition.objectives,
        trials=tuple(_trial(book, name, turns) for name, turns in book.turns().items()),
        question=definition.question,
        baseline=definition.baseline,
        paper=definition.paper,
        overrides=definition.fixed,
    )


def _trial(book: Book, name: str, turns: Sequence[Turn]) -> StudyTrial:
    turn = current(turns)
    state = trial_state(turns)
    trial = book.trial_of(name, turn or (turns[-1] if turns else None))
    spent = [each.seconds for each in turns if each.seconds is not None]
    if turn is not None and turn.spent is not None:
        spent = [turn.spent]
    return StudyTrial(
        name=name,
        point=trial.point,
        seed=trial.seed,
        state=state,
        values=turn.values if turn is not None and state == "finished" else (),
        reason=turn.reason if turn is not None else None,
        seconds=sum(spent) if spent else None,
        label=trial.label,
    )
