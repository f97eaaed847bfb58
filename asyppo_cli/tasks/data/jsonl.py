"""Files with one JSON object a line, written by users."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def read_lines(path: str, fields: Sequence[str], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The location (``FILE line N``) and object of each line, lazily; blank lines are skipped.

    ``fields`` must be present and text. All errors, also for an unreadable or empty file, are ValueErrors that name the
    file and line, or the configuration ``key`` that gave the path.
    """
    wanted = "each line must be a JSON object" + (f" with {_names(fields)} as text" if fields else "")
    empty = True
    try:
        with Path(path).expanduser().open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    empty = False
                    yield f"{path} line {number}", _object(f"{path} line {number}", line, fields, wanted)
    except OSError as error:
        raise ValueError(f"{key}: cannot read {path}: {error.strerror}") from error
    if empty:
        raise ValueError(f"{key}: {path} is empty: {wanted}")


def _object(place: str, line: bytes, fields: Sequence[str], wanted: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: is not JSON ({error}): {wanted}") from error
    fault = _fault(value, fields)
    if fault is not None:
        raise ValueError(f"{place}: {fault}: {wanted}")
    found: dict[str, Any] = value
    return found


def _fault(value: object, fields: Sequence[str]) -> str | None:
    if not isinstance(value, dict):
        return f"is a {type(value).__name__}"
    for field in fields:
        if field not in value:
            return f'has no "{field}"'
        if not isinstance(value[field], str):
            return f'"{field}" is {json.dumps(value[field])[:40]}'
    return None


def _names(fields: Sequence[str]) -> str:
    return ", ".join(f'"{field}"' for field in fields)
