"""The claim protocol: pure functions of the attempts in the storage.

A *trial* is one point of the study with a name and a run directory. An *attempt* is one worker's execution of it, and
one Optuna trial. The storage lets only one worker claim an attempt (waiting to running), and an attempt ends only
once: complete, pruned or failed. The rest follows:

* An attempt that failed with a ``reason`` is the result of its trial. One that failed without a reason was *lost*: its
  worker was killed, or released it (Ctrl-C). A failed attempt also counts as lost once a later one ``retries`` it.
* The *current* attempt of a trial is its first that is not lost. Attempts are numbered in the order in which they were
  added, and a lost one stays lost; so an attempt seen as current stays current until it ends, however old the listing.
  Only current attempts are claimed: no two workers run the same trial.
* A trial without a current attempt gets a new one from any worker. If two workers add one at the same time, the second
  is not current and is never claimed.

Time matters in one place only, the heartbeat timeout (:mod:`sweeps.execution.liveness`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from asyppo_cli.runs.studies import TrialState

AttemptState = Literal["waiting", "running", "complete", "pruned", "failed"]
# No more attempts than this wait to be claimed, whatever the size of the study.
MAX_WAITING = 200


@dataclass(frozen=True)
class Attempt:
    """One worker's execution of a trial; ``number`` is its position in the order.

    ``owner`` is the worker that claimed it, ``heartbeat`` its last count, ``retries`` the number of a failed attempt.
    ``params`` are the stored values, ``note`` says why it was released. ``seconds`` is how long its worker had it,
    ``run_seconds`` the training and evaluation time of the finished run.
    """

    number: int
    trial: str
    state: AttemptState
    params: Mapping[str, str | float]
    values: tuple[float, ...] = ()
    owner: str | None = None
    heartbeat: int = 0
    reason: str | None = None
    note: str | None = None
    seconds: float | None = None
    run_seconds: float | None = None
    retries: int | None = None

    @property
    def is_lost(self) -> bool:
        """Whether it ended without a result."""
        return self.state == "failed" and self.reason is None


Attempts = Mapping[str, Sequence[Attempt]]


def by_trial(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """The attempts of each trial in their order."""
    found: dict[str, list[Attempt]] = {}
    for attempt in sorted(attempts, key=lambda attempt: attempt.number):
        found.setdefault(attempt.trial, []).append(attempt)
    return found


def current(attempts: Sequence[Attempt]) -> Attempt | None:
    """The first attempt of a trial that is not lost, of all its attempts in order."""
    if len(attempts) == 1 and attempts[0].state != "failed":
        return attempts[0]
    retried = {attempt.retries for attempt in attempts}
    return next((each for each in attempts if not each.is_lost and each.number not in retried), None)


def trial_state(attempts: Sequence[Attempt]) -> TrialState:
    """The state of a trial, given all its attempts in order."""
    attempt = current(attempts)
    if attempt is None:
        return "interrupted" if attempts else "waiting"
    match attempt.state:
        case "waiting":
            return "interrupted" if any(other.state != "waiting" for other in attempts) else "waiting"
        case "complete":
            return "finished"
        case state:
            return state


@dataclass(frozen=True)
class PollResult:
    """What a worker learns from reading the study: attempts to end because their workers are gone, trials that need a
    new attempt, attempts to claim, how many trials are not over, and how many are in each state.
    """

    lost: list[Attempt]
    unattempted: list[str]
    waiting: list[Attempt]
    unfinished: int
    counts: Mapping[TrialState, int]


def decide(attempts: Attempts, lost: list[Attempt], skipped: Collection[str]) -> PollResult:
    """What is to be done, given all attempts and the lost ones; ``skipped`` trials are not run by this worker."""
    states = {name: trial_state(of_trial) for name, of_trial in attempts.items()}
    open_trials = {
        name: current(of_trial)
        for name, of_trial in attempts.items()
        if name not in skipped and states[name] not in ("finished", "pruned", "failed")
    }
    waiting = [attempt for attempt in open_trials.values() if attempt is not None and attempt.state == "waiting"]
    unattempted = [name for name, attempt in open_trials.items() if attempt is None]
    return PollResult(
        lost, unattempted[: max(0, MAX_WAITING - len(waiting))], waiting, len(open_trials), Counter(states.values())
    )
