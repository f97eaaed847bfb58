"""A study in Optuna's storage: the one truth on which runs there are, who has them, and what came out.

What Optuna shows of it (its dashboard too) is readable: parameters by their keys, values by their metrics, and the
run's name, worker and reason as the trial's attributes. The protocol is in :mod:`sweeps.execution.attempts`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyppo_cli.keys import did_you_mean
from sweeps.definition.definition import Definition, Search, from_json, grown
from sweeps.definition.grid import Trial, grid_trials, make_trial, search_name, search_trial, shuffled_points
from sweeps.definition.optuna_samplers import chosen_from, distribution, make_pruner, make_sampler, stored, typed
from sweeps.execution.attempts import Turn, TurnState, by_run, current

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

DEFINITION = "definition"
# Attributes of a turn.
RUN, OWNER, BEAT, REASON, NOTE, RETRIES, SPENT = "run", "owner", "beat", "reason", "note", "retries", "spent"
STATES: Mapping[str, TurnState] = {
    "WAITING": "waiting",
    "RUNNING": "running",
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
}


@dataclass
class Held:
    """A turn that this worker has: its ``id`` in the storage, the trial to run, Optuna's handle."""

    turn: Turn
    id: int
    trial: Trial
    handle: optuna.trial.Trial
    beat: int = 0
    reported: int = 0


class Lost(Exception):
    """A turn was ended by another worker that took this one for dead."""


class Book:
    """A study that exists; made by :func:`create` or :func:`find`."""

    def __init__(self, storage: BaseStorage, definition: Definition) -> None:
        import optuna

        self.storage = storage
        self.definition = definition
        # Replaced for every trial that has something to choose.
        sampler = optuna.samplers.RandomSampler()
        self._study = optuna.load_study(
            study_name=definition.name, storage=storage, pruner=make_pruner(definition), sampler=sampler
        )
        self._id = storage.get_study_id_from_name(definition.name)
        self._trials: dict[str, Trial] = {}

    def trials(self) -> dict[str, Trial]:
        """The runs of a grid by name; of a search, names alone say nothing yet: empty."""
        if self.definition.kind == "grid" and not self._trials:
            self._trials = {trial.name: trial for trial in grid_trials(self.definition)}
        return self._trials

    def names(self) -> list[str]:
        """The names of all runs, in order."""
        if self.definition.search is None:
            return list(self.trials())
        return [search_name(number) for number in range(1, self.definition.search.trials + 1)]

    def turns(self) -> dict[str, list[Turn]]:
        """All turns of every run, in the order of the runs; runs without any turn included."""
        # Optuna reads again only what was not over when it last looked.
        frozen = self._study.get_trials(deepcopy=False)
        found = by_run(turn for turn in map(to_turn, frozen) if turn is not None)
        if not found.keys() <= set(self.names()):
            # Another worker has let the study grow.
            self.definition, self._trials = read_definition(self.storage, self._id, self.definition.name), {}
        return {name: found.get(name, []) for name in self.names()}

    def _id_of(self, turn: Turn) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._id, turn.number)

    def running(self) -> list[Turn]:
        """The turns that some worker has."""
        import optuna

        states = (optuna.trial.TrialState.RUNNING,)
        frozen = self.storage.get_all_trials(self._id, deepcopy=False, states=states)
        return [turn for turn in map(to_turn, frozen) if turn is not None]

    def add_missing(self, runs: Mapping[str, Sequence[Turn]]) -> int:
        """Add a turn for each run that has none that counts; returns how many."""
        missing = {name: turns for name, turns in runs.items() if current(turns) is None}
        for name, turns in missing.items():
            self._study.add_trial(self._new_turn(name, turns, None))
        return len(missing)

    def retry_failed(self) -> int:
        """Add a turn for each run that has failed; returns how many."""
        runs = {name: (turns, current(turns)) for name, turns in self.turns().items()}
        failed = {name: (turns, turn) for name, (turns, turn) in runs.items() if turn and turn.state == "failed"}
        for name, (turns, turn) in failed.items():
            self._study.add_trial(self._new_turn(name, turns, turn))
        return len(failed)

    def _new_turn(self, name: str, turns: Sequence[Turn], failed: Turn | None) -> FrozenTrial:
        from optuna.trial import TrialState, create_trial

        attributes: dict[str, Any] = {RUN: name} | ({} if failed is None else {RETRIES: failed.number})
        before = None if not turns else self.storage.get_trial(self._id_of(turns[-1]))
        if before is not None:
            # What was chosen stays chosen, and what a sampler remembers of it.
            params, kinds, kept = before.params, before.distributions, before.system_attrs
        else:
            point = self._first_point(name)
            kinds = {key: distribution(self.definition.axes[key]) for key in point}
            params = {key: stored(self.definition.axes[key], value) for key, value in point.items()}
            kept = {}
        return create_trial(
            state=TrialState.WAITING, params=params, distributions=kinds, user_attrs=attributes, system_attrs=kept
        )

    def _first_point(self, name: str) -> Mapping[str, str]:
        """What is known of a run before it begins: everything in a grid, nothing where a sampler chooses."""
        match self.definition.search:
            case None:
                return self.trials()[name].axes
            case Search(sampler="grid"):
                return shuffled_points(self.definition)[int(name.rpartition("-")[2]) - 1]
            case _:
                return {}

    def claim(self, turn: Turn, owner: str) -> Held | None:
        """Begin a waiting turn; None if another worker was faster, or it has been ended."""
        import optuna

        number = self._id_of(turn)
        try:
            if not self.storage.set_trial_state_values(number, optuna.trial.TrialState.RUNNING):
                return None
        except optuna.exceptions.UpdateFinishedTrialError:
            return None
        self.storage.set_trial_user_attr(number, OWNER, owner)
        # Fills the cache that Optuna puts before a database; a grid has nothing to choose and needs none.
        if self.definition.search is not None:
            self._study.sampler = make_sampler(self.definition, turn.run)
            self._study.get_trials(deepcopy=False)
        handle = optuna.trial.Trial(self._study, number)
        return Held(turn, number, self._choose(turn, handle), handle)

    def _choose(self, turn: Turn, handle: optuna.trial.Trial) -> Trial:
        """The run of a turn, its point chosen by the sampler where that is still open."""
        definition = self.definition
        if definition.search is None:
            return self.trials()[turn.run]
        number = int(turn.run.rpartition("-")[2])
        if definition.search.sampler == "grid":
            return search_trial(definition, number, self._first_point(turn.run))
        chosen = {key: suggest(handle, key, chosen_from(axis)) for key, axis in definition.axes.items()}
        return search_trial(definition, number, {key: typed(definition.axes[key], chosen[key]) for key in chosen})

    def beat(self, held: Held) -> None:
        """Say that this worker lives; :class:`Lost` if another one took it for dead."""
        held.beat += 1
        with kept(held):
            self.storage.set_trial_user_attr(held.id, BEAT, held.beat)

    def report(self, held: Held, step: int, value: float) -> bool:
        """Note an evaluation; returns whether the trial is to be pruned."""
        if step <= held.reported:
            return False
        held.reported = step
        with kept(held):
            held.handle.report(value, step)
            return held.handle.should_prune()

    def finish(self, held: Held, values: Sequence[float], seconds: float | None = None) -> None:
        """The run is complete: one value for each objective, and what it took wherever and whenever it ran."""
        self._tell(held, "COMPLETE", {} if seconds is None else {SPENT: seconds}, values)

    def prune(self, held: Held) -> None:
        """The run was stopped early; Optuna takes the last value that was reported."""
        self._tell(held, "PRUNED", {}, None)

    def fail(self, held: Held, reason: str) -> None:
        """The run failed, and is over."""
        self._tell(held, "FAIL", {REASON: reason}, None)

    def give_back(self, held: Held, note: str) -> None:
        """The run was interrupted: whoever wants may go on with it."""
        self._tell(held, "FAIL", {NOTE: note}, None)

    def _tell(self, held: Held, state: str, attributes: Mapping[str, Any], values: Sequence[float] | None) -> None:
        from optuna.trial import TrialState

        with kept(held):
            for name, value in attributes.items():
                self.storage.set_trial_user_attr(held.id, name, value)
            self._study.tell(held.handle, values, TrialState[state])

    def end_lost(self, turns: Iterable[Turn]) -> None:
        """End turns whose workers are dead, without a reason: so they are lost. One that is over already stays so."""
        import optuna

        for turn in turns:
            try:
                self.storage.set_trial_state_values(self._id_of(turn), optuna.trial.TrialState.FAIL)
            except optuna.exceptions.UpdateFinishedTrialError:
                continue

    def trial_of(self, name: str, turn: Turn | None) -> Trial:
        """The run of that name; where a sampler has not chosen yet, at no point."""
        if self.definition.search is None and name in self.trials():
            return self.trials()[name]
        params = {} if turn is None else turn.params
        known = {key: typed(axis, params[key]) for key, axis in self.definition.axes.items() if key in params}
        return make_trial(name, known, self.definition)


def create(storage: BaseStorage, definition: Definition) -> Book:
    """The study, made or grown to what is asked for; turns are added by those who want to take them.

    Raises:
        ValueError: a study of that name is another one.
    """
    import optuna

    directions = [objective.direction for objective in definition.objectives]
    try:
        study = optuna.create_study(study_name=definition.name, storage=storage, directions=directions)
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(study_name=definition.name, storage=storage)
        # Without any trial, it may be half made: by a worker that has died since, or is at it just now.
        if DEFINITION in study.user_attrs or study.get_trials(deepcopy=False):
            return _grow(find(storage, definition.name), definition)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([objective.metric for objective in definition.objectives])
    study.set_user_attr(DEFINITION, definition.to_json())
    return Book(storage, definition)


def _grow(book: Book, asked: Definition) -> Book:
    both = grown(book.definition, asked)
    if both == book.definition:
        return book
    number = book.storage.get_study_id_from_name(both.name)
    book.storage.set_study_user_attr(number, DEFINITION, both.to_json())
    return Book(book.storage, both)


def find(storage: BaseStorage, name: str) -> Book:
    """The study of that name.

    Raises:
        ValueError: there is none, or it is no study of ours.
    """
    try:
        study = storage.get_study_id_from_name(name)
    except KeyError as error:
        known = [study.study_name for study in storage.get_all_studies()]
        raise ValueError(f"there is no study {name!r} in that storage; {did_you_mean(name, known)}") from error
    return Book(storage, read_definition(storage, study, name))


def read_definition(storage: BaseStorage, study: int, name: str) -> Definition:
    """The definition of the study with that number; ValueError if it is no study of ours."""
    text = storage.get_study_user_attrs(study).get(DEFINITION)
    if not isinstance(text, str):
        raise ValueError(f"study {name} was not made by asyppo sweep: choose another name or storage")
    return from_json(text)


def to_turn(frozen: FrozenTrial) -> Turn | None:
    """A trial of Optuna's as a turn; None if somebody else has added it."""
    attributes = frozen.user_attrs
    if RUN not in attributes:
        return None
    return Turn(
        number=frozen.number,
        run=attributes[RUN],
        state=STATES[frozen.state.name],
        params=frozen.params,
        values=tuple(frozen.values or ()),
        owner=attributes.get(OWNER),
        beat=attributes.get(BEAT, 0),
        reason=attributes.get(REASON),
        note=attributes.get(NOTE),
        seconds=_seconds(frozen),
        spent=attributes.get(SPENT),
        retries=attributes.get(RETRIES),
    )


def _seconds(frozen: FrozenTrial) -> float | None:
    """How long a worker had the turn; None where it did not end it itself, or has not yet."""
    told = frozen.state.name in ("COMPLETE", "PRUNED") or not {REASON, NOTE}.isdisjoint(frozen.user_attrs)
    took = frozen.duration
    return took.total_seconds() if told and took is not None else None


def suggest(handle: optuna.trial.Trial, key: str, kind: Any) -> str | int | float:
    """A value that the sampler chooses."""
    from optuna.distributions import FloatDistribution, IntDistribution

    match kind:
        case IntDistribution():
            return handle.suggest_int(key, kind.low, kind.high, step=kind.step, log=kind.log)
        case FloatDistribution():
            return handle.suggest_float(key, kind.low, kind.high, step=kind.step, log=kind.log)
        case _:
            return str(handle.suggest_categorical(key, kind.choices))


@contextmanager
def kept(held: Held) -> Iterator[None]:
    """Turn Optuna's refusal to change what is over into :class:`Lost`."""
    import optuna

    try:
        yield
    except optuna.exceptions.UpdateFinishedTrialError as error:
        raise Lost(held.trial.name) from error
    except ValueError as error:
        # What tell says of a trial that is not running.
        if "Cannot tell a" not in str(error):
            raise
        raise Lost(held.trial.name) from error
