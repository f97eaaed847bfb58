"""``metrics.jsonl``: one JSON object a step, numbers only; a value that is not finite is written as null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from asyppo_cli.runs.files.atomic import replace_text
from asyppo_cli.runs.files.jsonl import damaged, drop_torn_line, read_objects, whole_lines
from asyppo_cli.runs.metrics import STEP, STEP_TIME, time


@dataclass(frozen=True)
class MetricRows:
    """Rows in the order written (null read as NaN), and what was noticed while reading."""

    rows: list[dict[str, float]]
    notices: list[str]

    def series(self, name: str) -> list[float]:
        """All finite values of a metric, in order."""
        return [row[name] for row in self.rows if name in row and math.isfinite(row[name])]

    def seconds(self) -> float:
        """What training and evaluation have taken, over all attempts at the run."""
        return math.fsum(self.series(STEP_TIME)) + math.fsum(self.series(time("evaluate")))


class MetricLog:
    """Appends rows; each is in the file when :meth:`append` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        drop_torn_line(path)
        self._file = path.open("a", encoding="utf-8")

    def append(self, row: Mapping[str, float]) -> None:
        """Write one row."""
        self._file.write(metrics_line(row))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def metrics_line(row: Mapping[str, float]) -> str:
    """A row as a line of JSON."""
    return json.dumps({name: _number(name, value) for name, value in row.items()}, allow_nan=False) + "\n"


def _number(name: str, value: float) -> float | None:
    assert isinstance(value, Real), f"metric {name} is not a number: {value!r}"
    if isinstance(value, Integral):
        return int(value)
    return float(value) if math.isfinite(value) else None


def read_metrics(path: Path) -> MetricRows:
    """All rows of a file; none if it is not there. A torn last line (the process died while writing) is left out.

    Raises:
        ValueError: another line is damaged.
    """
    rows = [_row(path, number, row) for number, row in read_objects(path)]
    torn = path.exists() and len(whole_lines(path)) < path.stat().st_size
    return MetricRows(rows, [f"{path.name}: the last line is torn and left out"] if torn else [])


def _row(path: Path, number: int, values: Mapping[str, Any]) -> dict[str, float]:
    row = {name: math.nan if value is None else value for name, value in values.items()}
    if not all(isinstance(value, Real) for value in row.values()) or not math.isfinite(row.get(STEP, math.nan)):
        raise damaged(path, number)
    return row


def truncate_metrics(path: Path, step: int) -> None:
    """Drop the rows after ``step``, as a resumed run writes them again; the file is replaced in one stroke."""
    rows = [row for row in read_metrics(path).rows if row[STEP] <= step]
    replace_text(path, "".join(metrics_line(row) for row in rows))
