"""What a run measures, read while it grows: rows of its metrics that are new, and what it is judged by in the end."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asyppo_cli.keys import did_you_mean
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.files.jsonl import whole_lines
from asyppo_cli.runs.metric_log import MetricRows, read_metrics
from asyppo_cli.runs.studies import Direction, Objective

# An objective besides the metrics: seconds of training and evaluation, over all attempts.
SECONDS = "seconds"
DEFAULT = Objective(names.ACCURACY, "maximize")


@dataclass
class Tail:
    """Reads a file of metrics as it grows; a file that was replaced, as a resumed run does, is read anew."""

    path: Path
    offset: int = 0
    inode: int = 0
    last: dict[str, float] = field(default_factory=dict)

    def rows(self) -> list[dict[str, float]]:
        """The rows that were completed since the last call."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return []
        if stat.st_ino != self.inode or stat.st_size < self.offset:
            self.offset, self.inode = 0, stat.st_ino
        if stat.st_size == self.offset:
            return []
        whole = whole_lines(self.path, self.offset)
        self.offset += len(whole)
        rows = [_row(line) for line in whole.split(b"\n") if line]
        for row in rows:
            self.last |= row
        return rows


def _row(line: bytes) -> dict[str, float]:
    try:
        return {name: math.nan if value is None else float(value) for name, value in json.loads(line).items()}
    except (ValueError, AttributeError, TypeError):
        # A damaged line is told by whoever reads the whole file in the end.
        return {}


def measure(run: RunDirectory, objectives: Sequence[Objective]) -> tuple[float, ...]:
    """The last value of each objective.

    Raises:
        ValueError: one of them is not there, or not a number.
    """
    metrics = read_metrics(run.metrics)
    return tuple(_value(metrics, objective.metric) for objective in objectives)


def _value(metrics: MetricRows, metric: str) -> float:
    if metric == SECONDS:
        return metrics.seconds()
    found = [(row[names.STEP], row[metric]) for row in metrics.rows if metric in row]
    if not found:
        raise ValueError(f"the run has no {metric}")
    step, value = found[-1]
    if not math.isfinite(value):
        raise ValueError(f"{metric} is not a number after step {step:g}")
    return value


def objectives(metrics: Sequence[str], directions: Sequence[str], search: bool) -> tuple[Objective, ...]:
    """The objectives asked for, held-out accuracy where none is.

    Raises:
        ValueError: a metric that there is none of, or a direction that is missing or no direction.
    """
    if not metrics and not directions and not search:
        return (DEFAULT,)
    metrics = metrics or [DEFAULT.metric]
    if len(directions) != len(metrics):
        missing = metrics[len(directions)] if len(directions) < len(metrics) else metrics[-1]
        raise ValueError(
            f"{len(metrics)} metrics and {len(directions)} directions: {missing} needs "
            f"{'one' if len(directions) > len(metrics) else 'a'} --direction, maximize or minimize"
        )
    if len(set(metrics)) < len(metrics):
        raise ValueError("--metric: one metric is given twice; leave it out")
    for metric in metrics:
        _check_metric(metric)
    return tuple(
        Objective(metric, _direction(direction)) for metric, direction in zip(metrics, directions, strict=True)
    )


def _check_metric(metric: str) -> None:
    known = [*names.known(8), SECONDS]
    # Phases and processes of a run have names of their own.
    if metric not in known and not metric.startswith((names.time(""), "memory/")):
        raise ValueError(f"--metric {metric}: no run measures that; {did_you_mean(metric, known)}")


def _direction(text: str) -> Direction:
    for direction in ("maximize", "minimize"):
        if text == direction:
            return direction
    raise ValueError(f"--direction {text!r}: write maximize or minimize")
