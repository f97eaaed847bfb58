"""A stored study as the record that results are computed from."""

from __future__ import annotations

from collections.abc import Sequence

from asyppo_cli.runs.studies import Study, StudyTrial
from sweeps.execution.attempts import Attempt, current, trial_state
from sweeps.execution.study_store import StudyStore


def study_of(store: StudyStore) -> Study:
    """The study in its present state."""
    definition = store.definition
    return Study(
        name=definition.name,
        kind=definition.kind,
        objectives=definition.objectives,
        trials=tuple(_trial(store, name, attempts) for name, attempts in store.attempts().items()),
        question=definition.question,
        baseline=definition.baseline,
        paper=definition.paper,
        overrides=definition.fixed,
    )


def _trial(store: StudyStore, name: str, attempts: Sequence[Attempt]) -> StudyTrial:
    attempt, state = current(attempts), trial_state(attempts)
    trial = store.trial_of(name, attempt or (attempts[-1] if attempts else None))
    seconds = [each.seconds for each in attempts if each.seconds is not None]
    if attempt is not None and attempt.run_seconds is not None:
        seconds = [attempt.run_seconds]
    return trial.record(
        state,
        values=attempt.values if attempt is not None and state == "finished" else (),
        reason=attempt.reason if attempt is not None else None,
        seconds=sum(seconds) if seconds else None,
    )
