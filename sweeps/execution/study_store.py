"""A study in Optuna's storage: which trials there are, who runs them, and their results.

Optuna and its dashboard can read all of it: parameters by their keys, values by their metrics; trial name, worker and
reason as attributes. The protocol is in :mod:`sweeps.execution.attempts`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyppo_cli.keys import did_you_mean
from sweeps.definition.definition import SearchOptions, StudyDefinition, extended, from_json
from sweeps.definition.grid import Trial, grid_trials, make_trial, search_name, search_trial, shuffled_points
from sweeps.definition.optuna_samplers import (
    distribution,
    make_pruner,
    make_sampler,
    search_space,
    suggest,
    to_stored,
    to_typed,
)
from sweeps.execution.attempts import Attempt, Attempts, AttemptState, by_trial, current, trial_state

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

# Attributes in the storage. Their names are a file format: existing studies have them.
DEFINITION = "definition"
TRIAL, OWNER, HEARTBEAT, REASON, NOTE, RETRIES, RUN_SECONDS = (
    *("run", "owner", "beat", "reason", "note", "retries", "spent"),
)
STATES: Mapping[str, AttemptState] = {
    "WAITING": "waiting",
    "RUNNING": "running",
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
}


@dataclass
class ClaimedAttempt:
    """An attempt of this worker: the trial to run, its ``id`` in the storage, Optuna's handle, and what was written."""

    attempt: Attempt
    id: int
    trial: Trial
    handle: optuna.trial.Trial
    heartbeat: int = 0
    reported_step: int = 0


class ClaimLost(Exception):
    """Another worker has ended the attempt, because this one missed the heartbeat timeout."""


class StudyStore:
    """A stored study; made by :func:`create` or :func:`find`."""

    def __init__(self, storage: BaseStorage, definition: StudyDefinition) -> None:
        import optuna

        self.storage = storage
        self.definition = definition
        # A search replaces the sampler for every trial.
        sampler = optuna.samplers.RandomSampler()
        self._study = optuna.load_study(
            study_name=definition.name, storage=storage, pruner=make_pruner(definition), sampler=sampler
        )
        self._id = storage.get_study_id_from_name(definition.name)
        self._trials: dict[str, Trial] = {}

    def names(self) -> list[str]:
        """The names of all trials, in order."""
        if self.definition.search is None:
            return list(self._grid())
        return [search_name(number) for number in range(1, self.definition.search.trials + 1)]

    def attempts(self) -> Attempts:
        """All attempts of every trial, in the order of the trials; trials without attempts included."""
        # Optuna reads only trials that were not over at the last call.
        frozen = self._study.get_trials(deepcopy=False)
        found = by_trial(attempt for attempt in map(to_attempt, frozen) if attempt is not None)
        if not found.keys() <= set(self.names()):
            # Another worker has extended the study.
            self.definition, self._trials = read_definition(self.storage, self._id, self.definition.name), {}
        return {name: found.get(name, []) for name in self.names()}

    def over(self) -> frozenset[str]:
        """The trials that are finished or pruned."""
        states = {name: trial_state(attempts) for name, attempts in self.attempts().items()}
        return frozenset(name for name, state in states.items() if state in ("finished", "pruned"))

    def trial_of(self, name: str, attempt: Attempt | None) -> Trial:
        """The trial of that name; its point is empty where the sampler has not chosen it yet."""
        if self.definition.search is None and name in self._grid():
            return self._grid()[name]
        params = {} if attempt is None else attempt.params
        known = {key: to_typed(axis, params[key]) for key, axis in self.definition.axes.items() if key in params}
        return make_trial(name, known, self.definition)

    def add_attempts(self, attempts: Attempts) -> int:
        """Add an attempt for each of the trials that has no current one; returns how many."""
        missing = {name: of_trial for name, of_trial in attempts.items() if current(of_trial) is None}
        for name, of_trial in missing.items():
            self._study.add_trial(self._new_attempt(name, of_trial))
        return len(missing)

    def retry_failed(self) -> int:
        """Add an attempt for each failed trial; returns how many."""
        failed = [
            (of_trial, attempt)
            for of_trial in self.attempts().values()
            if (attempt := current(of_trial)) is not None and attempt.state == "failed"
        ]
        for of_trial, attempt in failed:
            self._study.add_trial(self._new_attempt(attempt.trial, of_trial, {RETRIES: attempt.number}))
        return len(failed)

    def claim(self, attempt: Attempt, owner: str) -> ClaimedAttempt | None:
        """Claim a waiting attempt; None if another worker was faster, or it has been ended."""
        import optuna

        id_ = self._id_of(attempt)
        try:
            if not self.storage.set_trial_state_values(id_, optuna.trial.TrialState.RUNNING):
                return None
        except optuna.exceptions.UpdateFinishedTrialError:
            return None
        self.storage.set_trial_user_attr(id_, OWNER, owner)
        # Fills the cache in front of a database for the sampler; a grid needs none.
        if self.definition.search is not None:
            self._study.sampler = make_sampler(self.definition, attempt.trial)
            self._study.get_trials(deepcopy=False)
        handle = optuna.trial.Trial(self._study, id_)
        return ClaimedAttempt(attempt, id_, self._sample(attempt.trial, handle), handle)

    def heartbeat(self, claimed: ClaimedAttempt) -> None:
        """Increment the heartbeat; :class:`ClaimLost` if another worker has ended the attempt."""
        claimed.heartbeat += 1
        with _checking_claim(claimed):
            self.storage.set_trial_user_attr(claimed.id, HEARTBEAT, claimed.heartbeat)

    def report(self, claimed: ClaimedAttempt, step: int, value: float) -> bool:
        """Store an evaluation; returns whether the trial is to be pruned."""
        if step <= claimed.reported_step:
            return False
        claimed.reported_step = step
        with _checking_claim(claimed):
            claimed.handle.report(value, step)
            return claimed.handle.should_prune()

    def finish(self, claimed: ClaimedAttempt, values: Sequence[float], run_seconds: float | None = None) -> None:
        """The trial is complete: one value for each objective, and the seconds of the run over all attempts."""
        self._end(claimed, "COMPLETE", {} if run_seconds is None else {RUN_SECONDS: run_seconds}, values)

    def prune(self, claimed: ClaimedAttempt) -> None:
        """The trial was pruned; Optuna keeps the last reported value."""
        self._end(claimed, "PRUNED", {})

    def fail(self, claimed: ClaimedAttempt, reason: str) -> None:
        """The trial failed."""
        self._end(claimed, "FAIL", {REASON: reason})

    def release(self, claimed: ClaimedAttempt, note: str) -> None:
        """The trial was interrupted: any worker may continue it."""
        self._end(claimed, "FAIL", {NOTE: note})

    def end_lost(self, attempts: Iterable[Attempt]) -> None:
        """End attempts of workers that are gone, without a reason; those that have ended meanwhile keep their state."""
        import optuna

        for attempt in attempts:
            with suppress(optuna.exceptions.UpdateFinishedTrialError):
                self.storage.set_trial_state_values(self._id_of(attempt), optuna.trial.TrialState.FAIL)

    def _end(
        self, claimed: ClaimedAttempt, state: str, attributes: Mapping[str, Any], values: Sequence[float] | None = None
    ) -> None:
        from optuna.trial import TrialState

        with _checking_claim(claimed):
            for name, value in attributes.items():
                self.storage.set_trial_user_attr(claimed.id, name, value)
            self._study.tell(claimed.handle, values, TrialState[state])

    def _grid(self) -> dict[str, Trial]:
        if not self._trials:
            self._trials = {trial.name: trial for trial in grid_trials(self.definition)}
        return self._trials

    def _id_of(self, attempt: Attempt) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._id, attempt.number)

    def _new_attempt(
        self, name: str, before: Sequence[Attempt], attributes: Mapping[str, Any] | None = None
    ) -> FrozenTrial:
        from optuna.trial import TrialState, create_trial

        if before:
            # The point of earlier attempts is kept, and what the sampler stored with it.
            last = self.storage.get_trial(self._id_of(before[-1]))
            params, distributions, system = last.params, last.distributions, last.system_attrs
        else:
            axes, point = self.definition.axes, self._known_point(name)
            params = {key: to_stored(axes[key], value) for key, value in point.items()}
            distributions, system = {key: distribution(axes[key]) for key in point}, {}
        return create_trial(
            state=TrialState.WAITING,
            params=params,
            distributions=distributions,
            user_attrs={TRIAL: name, **(attributes or {})},
            system_attrs=system,
        )

    def _known_point(self, name: str) -> Mapping[str, str]:
        """The point of a trial before its first attempt; empty where a sampler chooses it."""
        match self.definition.search:
            case None:
                return self._grid()[name].axes
            case SearchOptions(sampler="grid"):
                return shuffled_points(self.definition)[int(name.rpartition("-")[2]) - 1]
            case _:
                return {}

    def _sample(self, name: str, handle: optuna.trial.Trial) -> Trial:
        """The trial at its point; the sampler chooses what is still open."""
        definition = self.definition
        if definition.search is None:
            return self._grid()[name]
        point = self._known_point(name) or {
            key: to_typed(axis, suggest(handle, key, search_space(axis))) for key, axis in definition.axes.items()
        }
        return search_trial(definition, int(name.rpartition("-")[2]), point)


def create(storage: BaseStorage, definition: StudyDefinition) -> StudyStore:
    """The study, created or extended to ``definition``; workers add the attempts.

    Raises:
        ValueError: there is another study of that name.
    """
    import optuna

    directions = [objective.direction for objective in definition.objectives]
    try:
        study = optuna.create_study(study_name=definition.name, storage=storage, directions=directions)
    except optuna.exceptions.DuplicatedStudyError:
        existing = find_existing(storage, definition.name)
        if existing is not None:
            return _extend(existing, definition)
        study = optuna.load_study(study_name=definition.name, storage=storage)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([objective.metric for objective in definition.objectives])
    study.set_user_attr(DEFINITION, definition.to_json())
    return StudyStore(storage, definition)


def _extend(store: StudyStore, requested: StudyDefinition) -> StudyStore:
    both = extended(store.definition, requested)
    if both == store.definition:
        return store
    store.storage.set_study_user_attr(store.storage.get_study_id_from_name(both.name), DEFINITION, both.to_json())
    return StudyStore(store.storage, both)


def find_existing(storage: BaseStorage, name: str) -> StudyStore | None:
    """The study of that name, if there is one whose creation is complete; ValueError if it was not made by asyppo."""
    try:
        study = storage.get_study_id_from_name(name)
    except KeyError:
        return None
    # Without definition and trials, a worker is creating it now, or was killed while doing so.
    if DEFINITION not in storage.get_study_user_attrs(study) and not storage.get_all_trials(study, deepcopy=False):
        return None
    return StudyStore(storage, read_definition(storage, study, name))


def find(storage: BaseStorage, name: str) -> StudyStore:
    """The study of that name.

    Raises:
        ValueError: there is none, or it was not made by asyppo.
    """
    try:
        study = storage.get_study_id_from_name(name)
    except KeyError as error:
        known = [study.study_name for study in storage.get_all_studies()]
        raise ValueError(f"there is no study {name!r} in that storage; {did_you_mean(name, known)}") from error
    return StudyStore(storage, read_definition(storage, study, name))


def read_definition(storage: BaseStorage, study: int, name: str) -> StudyDefinition:
    """The definition of the study with that id; ValueError if it was not made by asyppo."""
    text = storage.get_study_user_attrs(study).get(DEFINITION)
    if not isinstance(text, str):
        raise ValueError(f"study {name} was not made by asyppo sweep: choose another name or storage")
    return from_json(text)


def to_attempt(frozen: FrozenTrial) -> Attempt | None:
    """A stored trial as an attempt; None if it was not added by asyppo."""
    attributes = frozen.user_attrs
    if TRIAL not in attributes:
        return None
    # An attempt that another worker ended has no duration.
    ended = frozen.state.name in ("COMPLETE", "PRUNED") or not {REASON, NOTE}.isdisjoint(attributes)
    return Attempt(
        number=frozen.number,
        trial=attributes[TRIAL],
        state=STATES[frozen.state.name],
        params=frozen.params,
        values=tuple(frozen.values or ()),
        owner=attributes.get(OWNER),
        heartbeat=attributes.get(HEARTBEAT, 0),
        reason=attributes.get(REASON),
        note=attributes.get(NOTE),
        seconds=frozen.duration.total_seconds() if ended and frozen.duration is not None else None,
        run_seconds=attributes.get(RUN_SECONDS),
        retries=attributes.get(RETRIES),
    )


@contextmanager
def _checking_claim(claimed: ClaimedAttempt) -> Iterator[None]:
    """Turn Optuna's refusal to change a finished trial into :class:`ClaimLost`."""
    import optuna

    try:
        yield
    except optuna.exceptions.UpdateFinishedTrialError as error:
        raise ClaimLost(claimed.trial.name) from error
    except ValueError as error:
        # What tell says of a trial that is not running.
        if "Cannot tell a" not in str(error):
            raise
        raise ClaimLost(claimed.trial.name) from error
