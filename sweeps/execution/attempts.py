"""Who may run what: the protocol by which workers share a study, as functions of what the storage holds.

A *run* is one trial of the study as the user sees it: a name, a point, a run directory. A *turn* is one worker's go at
it, and one trial of the Optuna study. A turn ends once: complete, pruned, or failed; the storage lets only one worker
begin it (waiting to running) and only one end it. From that alone follows everything else:

* A turn that failed with a ``reason`` is the run's result. One that failed without was *lost*: its worker died and
  another one noticed, or gave it back (Ctrl-C). A failed turn with a reason counts as lost too once a later turn says
  that it ``retries`` it.
* A run's *current* turn is its first that is not lost. Turns are numbered in the order in which they were added and
  what is lost stays lost, so whoever sees a turn as current is right for as long as the turn is not over, however old
  the listing it was seen in. Only current turns are begun: no run is ever in two hands.
* A run that has no turn yet, or lost ones only, has no current one: any worker that notices adds one. If two do so at
  once, the second turn is no run's current one and is never begun. No run is ever forgotten.

Time enters in one place alone: when a worker that is silent counts as dead (:mod:`sweeps.execution.liveness`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from asyppo_cli.runs.studies import TrialState

TurnState = Literal["waiting", "running", "complete", "pruned", "failed"]


@dataclass(frozen=True)
class Turn:
    """One worker's go at a run; ``number`` is its place in the order.

    ``owner`` is the worker that began it, ``beat`` what it last counted to, ``retries`` the number of a failed turn.
    ``params`` are the values that the storage knows, ``note`` says why it was given back. ``seconds`` is how long its
    worker had it, ``spent`` what the finished run took in all.
    """

    number: int
    run: str
    state: TurnState
    params: Mapping[str, str | float]
    values: tuple[float, ...] = ()
    owner: str | None = None
    beat: int = 0
    reason: str | None = None
    note: str | None = None
    seconds: float | None = None
    spent: float | None = None
    retries: int | None = None


def by_run(turns: Iterable[Turn]) -> dict[str, list[Turn]]:
    """The turns of each run in their order."""
    runs: dict[str, list[Turn]] = {}
    for turn in sorted(turns, key=lambda turn: turn.number):
        runs.setdefault(turn.run, []).append(turn)
    return runs


def current(turns: Sequence[Turn]) -> Turn | None:
    """The turn of a run that counts, of all its turns in order; None if all are lost."""
    if len(turns) == 1 and turns[0].state != "failed":
        return turns[0]
    retried = {turn.retries for turn in turns}
    return next((turn for turn in turns if not _lost(turn) and turn.number not in retried), None)


def _lost(turn: Turn) -> bool:
    return turn.state == "failed" and turn.reason is None


def trial_state(turns: Sequence[Turn]) -> TrialState:
    """How a run stands, in the words of a study."""
    turn = current(turns)
    begun = any(other.state != "waiting" for other in turns)
    if turn is None:
        return "interrupted" if turns else "waiting"
    match turn.state:
        case "waiting":
            return "interrupted" if begun else "waiting"
        case "complete":
            return "finished"
        case state:
            return state


def is_over(turns: Sequence[Turn]) -> bool:
    """Whether nobody needs to do anything about a run."""
    turn = current(turns)
    return turn is not None and turn.state in ("complete", "pruned", "failed")


def times_killed(turns: Sequence[Turn], note: str) -> int:
    """How often the run was given back for that reason."""
    return sum(turn.note == note for turn in turns)
