"""Problems with answers in JSONL, CSV or Parquet files, under the usual names of such columns or those given."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from asyppo_cli.tasks.data.jsonl import read_lines
from asyppo_cli.tasks.grading.boxed import last_boxed
from asyppo_cli.types import Problem

# A dot leads into a nested object.
QUESTION_FIELDS = ("problem", "question", "prompt")
ANSWER_FIELDS = ("answer", "final_answer", "gold", "ground_truth", "target", "solution", "reward_model.ground_truth")
ID_FIELDS = ("id", "unique_id")
DIFFICULTY = "difficulty"
# GSM8K ends a worked solution so; a file may hold the end alone.
_HASHES = re.compile(r"####\s*(\S.*?)\s*\Z", re.DOTALL)
# A list of texts as pandas and others write one into a text column.
_LIST = re.compile(r"""\[\s*['"].*['"]\s*\]""", re.DOTALL)


def read_problem_file(
    path: Path, key: str, entry: Mapping[str, Any], columns: Mapping[str, str] | None = None
) -> list[Problem]:
    """All problems of a file, in order; ``key`` is the option that gave the path, ``entry`` goes to each problem with
    its difficulty, if the file has one. ``columns`` names the columns of ``problem``, ``answer``, ``id`` and
    ``difficulty`` where they are not the usual ones.

    A problem without an id is called after its row. Raises ValueError, with file and line, for an unusable file or row.
    """
    named = columns or {}
    places: dict[str, str] = {}
    problems = []
    for index, (place, row) in enumerate(_rows(path, key, {*named.values()})):
        ids = [_value(row, column) for column in _names(named, "id", ID_FIELDS)]
        name = next(
            (str(value) for value in ids if isinstance(value, str | int) and value != ""), f"{path.stem}-{index}"
        )
        if name in places:
            raise ValueError(f"{place}: id {name!r} is also in {places[name]}: ids must differ")
        places[name] = place
        difficulty = _value(row, named.get(DIFFICULTY, DIFFICULTY))
        more = {} if difficulty in (None, "") else {DIFFICULTY: _number(difficulty)}
        question = _field(row, _names(named, "problem", QUESTION_FIELDS), place, question_text, "text")
        answer = _field(row, _names(named, "answer", ANSWER_FIELDS), place, answer_text, "text, a number, or a list")
        problems.append(Problem(name, question, answer, {**entry, **more}))
    return problems


def question_text(value: Any) -> str | None:
    """A question: text, or the last user's turn of a conversation; None for anything else."""
    if isinstance(value, list):
        turns = [turn.get("content") for turn in value if isinstance(turn, Mapping) and turn.get("role") == "user"]
        value = turns[-1] if turns else None
    return value if isinstance(value, str) and value.strip() else None


def answer_text(value: Any) -> str | None:
    r"""A gold answer as text; None for what is none.

    Numbers are written plainly, a list's items are joined by commas; of a worked solution the part after ``####`` or in
    the last ``\boxed{}`` counts.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        return _answer_in(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return format(value.normalize(), "f") if value.is_finite() else None
    if isinstance(value, list) and value:
        items = [answer_text(item) for item in value]
        return None if None in items else ", ".join(item for item in items if item is not None)
    return None


def _answer_in(text: str) -> str | None:
    if not text.strip():
        return None
    if found := _HASHES.search(text):
        return found[1]
    boxed = last_boxed(text)
    if boxed is not None and boxed.strip():
        return boxed
    if _LIST.fullmatch(text.strip()):
        try:
            return answer_text(ast.literal_eval(text.strip()))
        except (ValueError, SyntaxError):
            return text
    return text


def _names(columns: Mapping[str, str], name: str, usual: tuple[str, ...]) -> tuple[str, ...]:
    return (columns[name],) if name in columns else usual


def _value(row: Mapping[str, Any], name: str) -> Any:
    """The value of a column, or of a dotted path into nested objects; None if there is none."""
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _field(row: Mapping[str, Any], names: tuple[str, ...], place: str, read: Any, wanted: str) -> str:
    """The text of the first column of ``names`` that is there."""
    name = next((name for name in names if name in row or _value(row, name) is not None), None)
    if name is None:
        others = f" (or {', '.join(names[1:])})" if len(names) > 1 else ""
        has = ", ".join(map(str, row)) or "nothing"
        raise ValueError(f'{place}: has no "{names[0]}"{others}; it has: {has[:200]}')
    text = read(_value(row, name))
    if text is None:
        shown = json.dumps(_value(row, name), default=str)[:40]
        raise ValueError(f'{place}: "{name}" is {shown}: it must be {wanted}')
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        character = f"U+{ord(text[error.start]):04X}"
        raise ValueError(f'{place}: "{name}" has half a character ({character}) at {error.start}: remove it') from error
    return str(text)


def _number(value: Any) -> Any:
    """A difficulty, which CSV gives as text."""
    try:
        return float(value) if isinstance(value, str | Decimal) else value
    except ValueError:
        return value


def _rows(path: Path, key: str, columns: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    match path.suffix:
        case ".parquet":
            return _parquet_rows(path, key, columns)
        case ".csv":
            return _csv_rows(path, key)
        case _:
            return read_lines(str(path), (), key)


def _csv_rows(path: Path, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    # A worked solution may be longer than the default limit of 128 KiB.
    csv.field_size_limit(2**31 - 1)
    empty = True
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for row in reader:
                empty = False
                yield f"{path} line {reader.line_num}", {name: text for name, text in row.items() if name is not None}
    except OSError as error:
        raise ValueError(f"{key}: cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{key}: {path} is no CSV file in UTF-8: {error}") from error
    if empty:
        raise ValueError(f"{key}: {path} is empty: it needs a header and a problem with its answer in each row")


def _parquet_rows(path: Path, key: str, columns: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow.parquet
    from pyarrow import ArrowInvalid

    known = {*QUESTION_FIELDS, *ANSWER_FIELDS, *ID_FIELDS, DIFFICULTY, *columns}
    try:
        # Data sets carry worked solutions too, which may be a thousand times as long.
        with path.open("rb") as file:
            present = pyarrow.parquet.read_schema(file).names
        wanted = [name for name in present if name in known | {column.partition(".")[0] for column in known}]
        table = pyarrow.parquet.read_table(path, columns=wanted or None)
    except ArrowInvalid as error:
        raise ValueError(f"{key}: {path} is no Parquet file: {error}") from error
    except OSError as error:
        raise ValueError(f"{key}: cannot read {path}: {error.strerror or error}") from error
    if table.num_rows == 0:
        raise ValueError(f"{key}: {path} is empty: each row must be a problem with its answer")
    return ((f"{path} row {number}", row) for number, row in enumerate(table.to_pylist(), 1))
