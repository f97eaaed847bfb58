"""Problems made by reasoning-gym: training items on demand, and a held-out set that all runs share."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from numbers import Number
from typing import Any, overload

from asyppo_cli.keys import did_you_mean
from asyppo_cli.tasks.data.names import task_names as task_names
from asyppo_cli.types import Problem

# Independent of a run's seed, so that all runs are scored on the same problems; the number itself means nothing.
HELDOUT_SEED = 251_001_656
# Items per seed of the held-out set. Fixed, as some tasks choose their items by the size of the whole.
_HELDOUT_BLOCK = 1024
# Draws per problem wanted before a task is taken to have too few different problems.
_MOST_DRAWS = 20


class GeneratedProblems(Sequence[Problem]):
    """``size`` training problems of one task, made when asked for and fixed by ``seed``.

    One whose question is in ``excluded`` is replaced by the same item under another seed.
    """

    def __init__(self, task: str, params: Mapping[str, Any], size: int, seed: int, excluded: frozenset[str]) -> None:
        """No item is made yet, but ValueError for a task or parameters that reasoning-gym does not take."""
        self._task = task
        self._params = params
        self._size = size
        self._seed = seed
        self._excluded = excluded
        self._sources: dict[int, Any] = {}
        self._source(0)

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> list[Problem]: ...
    def __getitem__(self, index: int | slice) -> Problem | list[Problem]:
        if isinstance(index, slice):
            return [self[i] for i in range(self._size)[index]]
        number = range(self._size)[index]
        for attempt in range(_MOST_DRAWS):
            entry = self._source(attempt)[number]
            if entry["question"] not in self._excluded:
                return _problem(f"{self._task}-{number}", entry, self._params)
        raise ValueError(
            f"task.params: nearly all problems of {self._task} are held out: "
            "make the task harder, or lower evaluation.problems"
        )

    def _source(self, attempt: int) -> Any:
        if attempt not in self._sources:
            seed = _item_seed(f"train/{self._seed}/{attempt}")
            self._sources[attempt] = create(self._task, self._params, self._size, seed)
        return self._sources[attempt]


def heldout_problems(task: str, params: Mapping[str, Any], count: int) -> list[Problem]:
    """The first ``count`` different problems of the task under :data:`HELDOUT_SEED`.

    Raises ValueError if the task, with these parameters, has not as many.
    """
    found = available_heldout(task, params, count)
    if len(found) == count:
        return found
    raise ValueError(
        f"evaluation.problems is {count}, but only {len(found)} different problems of {task} were found with these "
        f"task.params: lower evaluation.problems to {len(found)}, or make the task harder"
    )


def available_heldout(task: str, params: Mapping[str, Any], count: int) -> list[Problem]:
    """As :func:`heldout_problems`, but fewer where the task has fewer."""
    found: dict[str, Problem] = {}
    for draw, entry in enumerate(_heldout_entries(task, params)):
        if len(found) == count or draw >= _MOST_DRAWS * count:
            break
        found.setdefault(entry["question"], _problem(f"{task}-heldout-{draw}", entry, params))
    return list(found.values())


def create(task: str, params: Mapping[str, Any], size: int, seed: int) -> Any:
    """A reasoning-gym dataset; ValueError for a task or parameters that it does not take."""
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    if task not in DATASETS:
        raise ValueError(f"task.name: reasoning-gym has no {task!r}; {did_you_mean(task, DATASETS)}")
    allowed = [field.name for field in dataclasses.fields(DATASETS[task][1])]
    for name in params:
        if name in ("seed", "size"):
            raise ValueError(f"task.params.{name}: leave it out: {'seed' if name == 'seed' else 'task.size'} gives it")
        if name not in allowed:
            raise ValueError(
                f"task.params.{name}: reasoning-gym's {task} has no such parameter; {did_you_mean(name, allowed)}"
            )
    try:
        return reasoning_gym.create_dataset(task, seed=seed, size=size, **params)
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"{_blamed(params, str(error))}: reasoning-gym's {task} says: {error}") from error


def plain(value: Any) -> Any:
    """JSON values only: tuples become lists, keys and fractions text, subclasses of text and numbers themselves.

    Raises TypeError for anything else.
    """
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "item"):  # a number of numpy
        return plain(value.item())
    if isinstance(value, Number):  # a fraction or decimal
        return str(value)
    raise TypeError(f"{value!r} of type {type(value).__name__} has no form in JSON")


def _heldout_entries(task: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    block = 0
    while True:
        source = create(task, params, _HELDOUT_BLOCK, _item_seed(f"heldout/{HELDOUT_SEED}/{block}"))
        yield from (source[index] for index in range(_HELDOUT_BLOCK))
        block += 1


def _item_seed(text: str) -> int:
    """reasoning-gym seeds item i with seed + i, so neighbouring seeds share nearly all items: scatter them.

    31 bits, as some tasks hand it to numpy.
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def _problem(name: str, entry: Mapping[str, Any], params: Mapping[str, Any]) -> Problem:
    """The verifier needs the whole entry, and some verifiers the parameters too."""
    answer = "" if entry["answer"] is None else str(entry["answer"])
    return Problem(name, entry["question"], answer, {**plain(entry), "params": plain(params)})


def _blamed(params: Mapping[str, Any], message: str) -> str:
    """The keys that reasoning-gym's message mentions, or all that were given."""
    named = [name for name in params if name in message] or list(params)
    return ", ".join(f"task.params.{name}" for name in named) or "task.params"
