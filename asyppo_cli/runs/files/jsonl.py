"""Files of one JSON object a line that are appended to: a last line without its end was being written at a crash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def whole_lines(path: Path, offset: int = 0) -> bytes:
    """All complete lines from byte ``offset`` on, the last line break included; empty where there is no file."""
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read()
    return content[: content.rfind(b"\n") + 1]


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number (from 1) and object of every complete line.

    Raises:
        ValueError: a line holds no JSON object.
    """
    for number, line in enumerate(whole_lines(path).split(b"\n")[:-1], 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise damaged(path, number) from error
        if not isinstance(row, dict):
            raise damaged(path, number)
        yield number, row


def damaged(path: Path, number: int) -> ValueError:
    """The error for a line that is not what it should be."""
    return ValueError(f"{path}, line {number}, is damaged: delete that line")


def drop_torn_line(path: Path) -> None:
    """Cut off a last line without its end, so that the next row begins on a line of its own."""
    if path.exists() and (length := len(whole_lines(path))) < path.stat().st_size:
        with path.open("rb+") as file:
            file.truncate(length)
