"""Problems with answers in JSONL or Parquet files, under any of the names that such columns usually have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from asyppo_cli.tasks.data.jsonl import read_lines
from asyppo_cli.types import Problem

QUESTION_FIELDS = ("problem", "question", "prompt")
ANSWER_FIELDS = ("answer", "final_answer", "gold", "ground_truth", "target")
ID_FIELDS = ("id", "unique_id")
READ_FIELDS = {*QUESTION_FIELDS, *ANSWER_FIELDS, *ID_FIELDS, "difficulty"}


def read_problem_file(path: Path, key: str, entry: Mapping[str, Any]) -> list[Problem]:
    """All problems of a file, in order; ``key`` is the option that gave the path, ``entry`` goes to each problem,
    and with it its difficulty where the file tells one.

    A problem without an id is called after its place. Raises ValueError, naming file and line, for a file or line
    that cannot serve.
    """
    rows = _parquet_rows(path, key) if path.suffix == ".parquet" else read_lines(str(path), (), key)
    seen: dict[str, str] = {}
    problems = []
    for index, (place, row) in enumerate(rows):
        name = _id(row, f"{path.stem}-{index}")
        if name in seen:
            raise ValueError(f"{place}: id {name!r} was given before, in {seen[name]}: ids must differ")
        seen[name] = place
        told = {"difficulty": row["difficulty"]} if row.get("difficulty") is not None else {}
        problems.append(Problem(name, _question(row, place), _answer(row, place), {**entry, **told}))
    return problems


def answer_text(value: Any) -> str | None:
    """An answer as text: whole floats as integers, a list's items between commas; None for what is no answer."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list) and value:
        items = [answer_text(item) for item in value]
        return None if None in items else ", ".join(item for item in items if item is not None)
    return None


def _question(row: Mapping[str, Any], place: str) -> str:
    name = _first(row, QUESTION_FIELDS, place)
    if not isinstance(row[name], str) or not row[name].strip():
        raise ValueError(f'{place}: "{name}" is {_shown(row[name])}: it must be text')
    return str(row[name])


def _answer(row: Mapping[str, Any], place: str) -> str:
    name = _first(row, ANSWER_FIELDS, place)
    text = answer_text(row[name])
    if text is None:
        raise ValueError(f'{place}: "{name}" is {_shown(row[name])}: it must be text, a number, or a list of them')
    return text


def _first(row: Mapping[str, Any], names: tuple[str, ...], place: str) -> str:
    found = next((name for name in names if name in row), None)
    if found is None:
        has = ", ".join(map(str, row)) or "nothing"
        raise ValueError(f'{place}: has no "{names[0]}" (or {", ".join(names[1:])}); it has: {has[:200]}')
    return found


def _id(row: Mapping[str, Any], default: str) -> str:
    value = next((row[name] for name in ID_FIELDS if isinstance(row.get(name), str | int)), default)
    return str(value)


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)[:40]


def _parquet_rows(path: Path, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow.parquet
    from pyarrow import ArrowInvalid

    try:
        # Data sets carry worked solutions too, which may be a thousand times as long.
        with path.open("rb") as file:
            there = pyarrow.parquet.read_schema(file).names
        table = pyarrow.parquet.read_table(path, columns=[name for name in there if name in READ_FIELDS] or None)
    except ArrowInvalid as error:
        raise ValueError(f"{key}: {path} is no Parquet file: {error}") from error
    except OSError as error:
        raise ValueError(f"{key}: cannot read {path}: {error.strerror or error}") from error
    if table.num_rows == 0:
        raise ValueError(f"{key}: {path} is empty: each row must be a problem with its answer")
    return ((f"{path} row {number}", row) for number, row in enumerate(table.to_pylist(), 1))
