"""Token records of a run as plain arrays: only the columns asked for, read file by file into memory of the final size.

Legend: ``N`` response tokens, ``R`` responses, ``M`` critics. Rows are in the order written: by step, then response,
then position.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asyppo_cli.keys import did_you_mean
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.files.disk import unusable
from asyppo_cli.runs.records import BOOLEANS, INTEGERS, STRINGS, recorded_steps

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

Array = NDArray[Any]
Words = Mapping[str, tuple[float, float]]
# Parts of the recorded steps that have a name: from and to, as shares of their number.
PARTS: Words = {"early": (0.0, 0.25), "late": (0.75, 1.0), "all": (0.0, 1.0)}
ORDER = ("response_id", "position")


@dataclass(frozen=True)
class TokenTable:
    """Records of some steps of one run.

    ``columns``: arrays ``[N]``, float32, int32 or bool; ``prompt_id`` and ``token`` are int32 codes into ``texts``.
    ``starts`` int64 ``[R + 1]``: the first token of each response, and N. ``response_steps`` int32 ``[R]``.
    """

    run: str
    critics: int
    steps: tuple[int, ...]
    columns: Mapping[str, Array]
    texts: Mapping[str, tuple[str, ...]]
    starts: Array
    response_steps: Array

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def responses(self) -> int:
        """R."""
        return len(self.starts) - 1

    @cached_property
    def lengths(self) -> Array:
        """Tokens of each response, int64 ``[R]``."""
        return np.diff(self.starts)

    @cached_property
    def response(self) -> Array:
        """The number of each token's response, int32 ``[N]``."""
        return np.repeat(np.arange(self.responses, dtype=np.int32), self.lengths)

    def of_response(self, name: str) -> Array:
        """A column that is the same for all tokens of a response (reward, prompt_id), ``[R]``."""
        return self.columns[name][self.starts[:-1]]

    def values(self) -> list[Array]:
        """Each critic's value, M arrays ``[N]``."""
        return [self.columns[f"value_{m}"] for m in range(self.critics)]

    def part(self, steps: Sequence[int]) -> TokenTable:
        """The records of neighbouring steps among these, as views."""
        first, last = np.searchsorted(self.response_steps, (steps[0], steps[-1] + 1))
        starts = self.starts[first : last + 1]
        rows = slice(int(starts[0]), int(starts[-1]))
        return replace(
            self,
            steps=tuple(steps),
            columns={name: column[rows] for name, column in self.columns.items()},
            starts=starts - starts[0],
            response_steps=self.response_steps[first:last],
        )

    def slices(self) -> Iterator[tuple[int, slice]]:
        """Each step with its tokens."""
        for step in self.steps:
            first, last = np.searchsorted(self.response_steps, (step, step + 1))
            yield step, slice(int(self.starts[first]), int(self.starts[last]))


def load(run: RunDirectory, steps: Sequence[int], columns: Sequence[str]) -> TokenTable:
    """Columns of these recorded steps; ``values`` among them stands for every critic's.

    Raises:
        ValueError: a file is damaged, no token record, or holds no token.
    """
    # Each file is opened twice, for its size and for its contents: a run has more files than a process may open.
    sizes = [_size(run.records(step)) for step in steps]
    critics = sum(re.fullmatch(r"value_\d+", name) is not None for name in _columns(run.records(steps[0])))
    names = _expand(columns, critics)
    total = sum(sizes)
    arrays: dict[str, Array] = {name: np.empty(total, _type(name)) for name in names}
    codes: dict[str, dict[str, int]] = {name: {} for name in names if name in STRINGS}
    starts: list[Array] = []
    response_steps: list[Array] = []
    done = 0
    for step, size in zip(steps, sizes, strict=True):
        path = run.records(step)
        with _open(path) as file:
            begun = _fill(path, file, slice(done, done + size), arrays, codes)
        starts.append(begun + done)
        response_steps.append(np.full(len(begun), step, np.int32))
        done += size
    return TokenTable(
        run=run.name,
        critics=critics,
        steps=tuple(steps),
        columns=arrays,
        texts={name: tuple(known) for name, known in codes.items()},
        starts=np.concatenate([*starts, [total]]),
        response_steps=np.concatenate(response_steps),
    )


def _expand(columns: Sequence[str], critics: int) -> list[str]:
    wanted = [[f"value_{m}" for m in range(critics)] if name == "values" else [name] for name in columns]
    return [name for part in wanted for name in part]


def _type(name: str) -> type[np.generic]:
    if name in BOOLEANS:
        return np.bool_
    return np.int32 if name in INTEGERS or name in STRINGS else np.float32


def _open(path: Path) -> ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, memory_map=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise unusable(path, error) from error


def _size(path: Path) -> int:
    with _open(path) as file:
        return int(file.metadata.num_rows)


def _columns(path: Path) -> list[str]:
    with _open(path) as file:
        return list(file.schema_arrow.names)


def _fill(path: Path, file: ParquetFile, rows: slice, arrays: Mapping[str, Array], codes: dict[str, Any]) -> Array:
    """Read one file into its rows of the arrays; returns where its responses begin, from 0."""
    import pyarrow as pa

    names = list(dict.fromkeys([*arrays, *ORDER]))
    missing = [name for name in names if name not in file.schema_arrow.names]
    if missing:
        raise ValueError(f"{path} is no token record of this run: it has no {', '.join(missing)}: delete it")
    if not file.metadata.num_rows:
        raise ValueError(f"{path} holds no token: leave its step out with --steps, or delete it")
    try:
        table = file.read(columns=names)
        for name, array in arrays.items():
            if name in codes:
                _copy_codes(table[name], array[rows], codes[name])
            else:
                _copy(table[name], array[rows])
        order = {name: np.empty(len(table), np.int32) for name in ORDER}
        for name, array in order.items():
            _copy(table[name], array)
        return _starts(path, *order.values())
    except (pa.ArrowException, OSError, TypeError) as error:
        raise unusable(path, error) from error


def _copy(column: Any, target: Array) -> None:
    import pyarrow.types as kinds

    number = kinds.is_floating(column.type) or kinds.is_integer(column.type) or kinds.is_boolean(column.type)
    if not number or column.null_count:
        raise TypeError("not a column of numbers")
    done = 0
    for chunk in column.chunks:
        target[done : done + len(chunk)] = _numbers(chunk)
        done += len(chunk)


def _numbers(chunk: Any) -> Array:
    """An Arrow array without nulls as numbers; its own ``to_numpy`` would import pandas wherever that is installed."""
    import pyarrow as pa

    return np.from_dlpack(chunk.cast(pa.uint8()) if pa.types.is_boolean(chunk.type) else chunk)


def _copy_codes(column: Any, target: Array, known: dict[str, int]) -> None:
    """Each file has a dictionary of its own: its codes are put into those of all files."""
    if column.null_count:
        raise TypeError("not a column of texts")
    done = 0
    for chunk in column.chunks:
        encoded = chunk if hasattr(chunk, "dictionary") else chunk.dictionary_encode()
        new = np.array([known.setdefault(text, len(known)) for text in encoded.dictionary.to_pylist()], np.int32)
        target[done : done + len(chunk)] = new[_numbers(encoded.indices)]
        done += len(chunk)


def _starts(path: Path, response: Array, position: Array) -> Array:
    """Where a response begins. Everything that is counted by response rests on whole responses, one after the other."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(response)) + 1])
    in_order = position[starts].max() == 0 and len(np.unique(response[starts])) == len(starts)
    if not in_order:
        raise ValueError(f"{path} is no token record of this run: its rows are not in order: delete it")
    return starts


def choose_steps(run: RunDirectory, text: str) -> list[int]:
    """Recorded steps by ``text``: numbers and ranges with commas, or first, early, middle, late, last, all.

    ``early`` and ``late`` are the first and the last quarter, at least one step.

    Raises:
        ValueError: there are no records, the text says no step, or one that was not recorded (the nearest is named).
    """
    recorded = recorded_steps(run)
    if not recorded:
        raise ValueError(f"run {run.name} has no token records: train with records.every=N")
    chosen = {step for part in text.split(",") for step in _steps_of(part.strip(), recorded, run.name)}
    return sorted(chosen)


def _steps_of(part: str, recorded: list[int], run: str) -> list[int]:
    number = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
    if number is None:
        return _named(part, recorded)
    low, high = int(number[1]), int(number[2] or number[1])
    within = [step for step in recorded if low <= step <= high]
    if not within:
        nearest = min(recorded, key=lambda step: min(abs(step - low), abs(step - high)))
        raise ValueError(
            f"step {part} of run {run} was not recorded; nearest: {nearest} (recorded: {step_list(recorded)})"
        )
    return within


def _named(word: str, recorded: list[int]) -> list[int]:
    places = {"first": 0, "middle": (len(recorded) - 1) // 2, "last": -1}
    if word in places:
        return [recorded[places[word]]]
    if word in PARTS:
        low, high = (round(share * len(recorded)) for share in PARTS[word])
        return recorded[low:high] or [recorded[0 if low == 0 else -1]]
    raise ValueError(
        f"--steps {word!r} is no step: write 40, 10,20, 10-60, first, early, middle, late, last or all; "
        f"{did_you_mean(word, [*places, *PARTS])}"
    )


def steps_words(steps: Sequence[int]) -> str:
    """``step 40``, ``steps 10, 20``, ``steps 5 to 80, every 5``."""
    return f"step{'' if len(steps) == 1 else 's'} {step_list(steps)}"


def step_list(steps: Sequence[int]) -> str:
    """Steps in few words: a regular series by its ends, many by the first and last."""
    gaps = {b - a for a, b in pairwise(steps)}
    if len(steps) > 3 and len(gaps) == 1:
        gap = gaps.pop()
        return f"{steps[0]} to {steps[-1]}" + (f", every {gap}" if gap > 1 else "")
    if len(steps) > 6:
        return f"{', '.join(map(str, steps[:3]))}, ... {steps[-1]}"
    return ", ".join(map(str, steps))


def require_disagreement(run: RunDirectory) -> None:
    """Nothing if the run's records hold several critics.

    Raises:
        ValueError: they hold none or one, so that there is no disagreement.
    """
    from asyppo_cli.runs.listing import read_config, whole_number

    critics = whole_number(read_config(run), "critics.count")
    if critics < 2:
        count = "one critic only" if critics == 1 else "no critics"
        raise ValueError(f"run {run.name} has {count}: there is no disagreement to look at; train with critics.count=2")
