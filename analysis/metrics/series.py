"""A metric of one setting by step: read, smoothed, and its seeds joined into means with intervals."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.metrics.run_groups import RunGroup
from analysis.stats.effects import Seed
from analysis.stats.seed_bootstrap import SeedMean, seed_means
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.listing import lookup
from asyppo_cli.runs.metric_log import MetricRows

Array = NDArray[Any]
Axis = Literal["step", "tokens", "samples", "hours"]
# Appendix C.1 of the AsyPPO paper: "11-step moving mean with exponential factor 0.6; smooth windows 4 and 2". Our
# reading: weights 0.6^age over 11 steps, then plain means over 4 and over 2.
PAPER_WINDOW, PAPER_FACTOR, PAPER_WINDOWS = 11, 0.6, (4, 2)


@dataclass(frozen=True)
class Curve:
    """A metric of one setting: every seed's own values by step, and the S ``steps`` that all seeds have.

    ``x`` and ``raw`` ``[S]`` are means over seeds of the place on the axis and of the value, ``means`` those of the
    smoothed values; ``last`` is the smoothed value of each seed at the last of the steps.
    """

    setting: str
    seeds: Mapping[Seed, Mapping[int, float]]
    steps: tuple[int, ...]
    x: Array
    raw: Array
    means: tuple[SeedMean, ...]
    last: Mapping[Seed, float]


def values_by_step(metrics: MetricRows, name: str) -> dict[int, float]:
    """Finite values of a metric."""
    return {int(row[names.STEP]): row[name] for row in metrics.rows if math.isfinite(row.get(name, math.nan))}


def series(group: RunGroup, metric: str, axis: Axis, smooth: str) -> Curve:
    """A metric of a group of runs; evaluations, which are exact measurements at few steps, are never smoothed.

    Raises:
        ValueError: ``smooth`` is no smoothing.
    """
    tables: dict[Seed, Mapping[int, float]] = {
        seed: values_by_step(metrics, metric) for seed, metrics in group.metrics.items()
    }
    places = [_places(metrics, group.config, axis) for metrics in group.metrics.values()]
    evaluation = metric.partition("/")[0] == names.ACCURACY.partition("/")[0]
    return join_seeds(group.label, tables, "none" if evaluation else smooth, places)


def join_seeds(
    setting: str,
    seeds: Mapping[Seed, Mapping[int, float]],
    smooth: str = "none",
    places: Sequence[Mapping[int, float]] | None = None,
) -> Curve:
    """The curve of a setting from its seeds' values by step; ``places`` of each on the axis, default: the steps."""
    steps = sorted(set.intersection(*map(set, seeds.values()))) if seeds else []
    if not steps:
        return Curve(setting, seeds, (), np.zeros(0), np.zeros(0), (), {})
    smoothed = [smoothed_at(steps, table, smooth) for table in seeds.values()]
    x = [[place[step] for step in steps] for place in places] if places else [steps]
    return Curve(
        setting=setting,
        seeds=seeds,
        steps=tuple(steps),
        x=np.array(x).mean(0),
        raw=np.array([[table[step] for step in steps] for table in seeds.values()]).mean(0),
        means=tuple(seed_means(list(zip(*smoothed, strict=True)), "bands")),
        last={seed: values[-1] for seed, values in zip(seeds, smoothed, strict=True)},
    )


def _places(metrics: MetricRows, config: Mapping[str, Any], axis: Axis) -> dict[int, float]:
    """The place of each step on the axis: what had been spent at its end."""
    per_round = lookup(config, "rollout.prompts", 0) * lookup(config, "rollout.responses", 0)
    total, places = 0.0, {}
    for row in metrics.rows:
        samples = per_round * row.get(names.RESAMPLES, 0.0)
        match axis:
            case "step":
                total = row[names.STEP]
            case "samples":
                total += samples
            case "tokens":
                total += samples * row.get(names.LENGTH_MEAN, 0.0)
            case "hours":
                total += (row.get(names.STEP_TIME, 0.0) + row.get(names.time("evaluate"), 0.0)) / 3600
        places[int(row[names.STEP])] = total
    return places


def smoothed_at(steps: Sequence[int], table: Mapping[int, float], smooth: str) -> list[float]:
    """The values at the steps, smoothed: ``paper`` (appendix C.1), ``none``, or a plain mean over that many steps.

    Windows look back and count steps, not points.

    Raises:
        ValueError: it is none of these.
    """
    values = [table[step] for step in steps]
    if smooth == "none":
        return values
    if smooth == "paper":
        values = moving_mean(steps, values, PAPER_WINDOW, PAPER_FACTOR)
        for window in PAPER_WINDOWS:
            values = moving_mean(steps, values, window)
        return values
    if not re.fullmatch(r"[1-9]\d{0,5}", smooth):
        raise ValueError(f"--smooth {smooth!r} is no smoothing: write paper, none, or a number of steps")
    return moving_mean(steps, values, int(smooth))


def moving_mean(steps: Sequence[int], values: Sequence[float], window: int, factor: float = 1.0) -> list[float]:
    """Mean of the values of the last ``window`` steps, each weighted by ``factor`` to the power of its age in steps."""
    result, first = [], 0
    for i, step in enumerate(steps):
        while steps[first] <= step - window:
            first += 1
        weights = [factor ** (step - steps[j]) for j in range(first, i + 1)]
        result.append(sum(w * v for w, v in zip(weights, values[first : i + 1], strict=True)) / sum(weights))
    return result
