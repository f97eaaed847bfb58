"""Reading a JSON-lines file while it grows."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from asyppo_cli.runs.files.jsonl import whole_lines


@dataclass
class JsonlTail:
    """Reads the complete new rows of a metrics file; a file that was replaced, as on resume, is read again."""

    path: Path
    offset: int = 0
    inode: int = 0

    def rows(self) -> list[dict[str, float]]:
        """The rows completed since the last call."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return []
        if stat.st_ino != self.inode or stat.st_size < self.offset:
            self.offset, self.inode = 0, stat.st_ino
        if stat.st_size == self.offset:
            return []
        complete = whole_lines(self.path, self.offset)
        self.offset += len(complete)
        return [_row(line) for line in complete.split(b"\n") if line]


def _row(line: bytes) -> dict[str, float]:
    try:
        return {name: math.nan if value is None else float(value) for name, value in json.loads(line).items()}
    except (ValueError, AttributeError, TypeError):
        # Reading the whole file at the end of the trial reports a damaged line.
        return {}
