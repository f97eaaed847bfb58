"""The objectives of a study, and their values in a finished run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asyppo_cli.keys import did_you_mean
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.metric_log import MetricRows, read_metrics
from asyppo_cli.runs.studies import Direction, Objective

# An objective besides the metrics: seconds of training and evaluation over all attempts.
SECONDS = "seconds"
DEFAULT = Objective(names.ACCURACY, "maximize")
# Metrics of this many critics are accepted before the configurations are known.
MAX_CRITICS = 8


def measure(run: RunDirectory, objectives: Sequence[Objective]) -> tuple[tuple[float, ...], float]:
    """The last value of each objective, and the seconds that the run took.

    Raises:
        ValueError: an objective was not measured, or is not finite.
    """
    metrics = read_metrics(run.metrics)
    return tuple(_value(metrics, objective.metric) for objective in objectives), metrics.seconds()


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


def make_objectives(metrics: Sequence[str], directions: Sequence[str], search: bool) -> tuple[Objective, ...]:
    """The objectives requested; held-out accuracy by default.

    Raises:
        ValueError: an unknown metric, or a missing or unknown direction.
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
        raise ValueError("--metric: a metric is given twice; leave it out")
    for metric in metrics:
        _check_metric(metric)
    return tuple(
        Objective(metric, _direction(direction)) for metric, direction in zip(metrics, directions, strict=True)
    )


def _check_metric(metric: str) -> None:
    known = [*names.known(MAX_CRITICS), SECONDS]
    # Components of rewards, phases and processes of a run have metrics of their own.
    if metric not in known and not names.is_component(metric) and not metric.startswith((names.time(""), "memory/")):
        raise ValueError(f"--metric {metric}: there is no such metric; {did_you_mean(metric, known)}")


def _direction(text: str) -> Direction:
    for direction in ("maximize", "minimize"):
        if text == direction:
            return direction
    raise ValueError(f"--direction {text!r}: write maximize or minimize")
