"""How a metric is shown: its unit, and its label in figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.studies import Objective


@dataclass(frozen=True)
class Unit:
    """A metric's value times ``scale``, with the sign after it."""

    sign: str
    scale: float = 1.0


def unit_of(metric: str) -> Unit:
    """The unit of a metric, from its name."""
    group, _, quantity = metric.partition("/")
    if quantity.endswith("_share") or "accuracy" in quantity:
        return Unit("%", 100.0)
    if group == "time":
        return Unit("s")
    if quantity.endswith("_bytes"):
        return Unit("GiB", 2.0**-30)
    if "length" in quantity:
        return Unit("tokens")
    if quantity == "tokens_per_second":
        return Unit("tokens/s")
    if quantity.endswith(("entropy", "kl", "logprob_diff_mean")):
        return Unit("nats")
    return Unit("reward" if group == "reward" or quantity in ("value_mean", "disagreement_mean") else "")


def with_unit(text: str, metric: str | None = None) -> str:
    """The text, a metric's name unless ``metric`` is given, with the unit's sign in brackets."""
    sign = unit_of(text if metric is None else metric).sign
    return f"{text} ({sign})" if sign else text


# What figures call the metrics that are drawn most.
LABELS = {
    names.ACCURACY: "held-out accuracy",
    names.REWARD_MEAN: "mean reward",
    names.LENGTH_MEAN: "response length",
    names.TRUNCATED: "truncated responses",
    names.UNPARSEABLE: "responses without an answer",
    names.ENTROPY: "policy entropy",
    names.CLIP_SHARE: "clipped tokens",
    names.KL: "KL of the update",
    names.REFERENCE_KL: "KL to the reference",
    names.EXPLAINED_VARIANCE: "explained variance of returns",
    names.DISAGREEMENT: "disagreement σ of the critics",
    names.CORRELATION: "correlation of the critics",
    names.ADVANTAGE_MASKED: "masked advantages",
    names.ENTROPY_FILTERED: "filtered entropy bonuses",
    names.LOGPROB_DIFF: "sampler against trainer",
    names.PEAK_MEMORY: "peak memory",
    names.STEP_TIME: "time of a step",
    names.TOKENS_PER_SECOND: "throughput",
}


def metric_label(metric: str) -> str:
    """A metric as a figure names it, with its unit."""
    group, _, quantity = metric.replace("_", " ").partition("/")
    return with_unit(LABELS.get(metric) or (f"{group}: {quantity}" if quantity else group), metric)


def objective_label(objective: Objective) -> str:
    """The label of an axis: the metric, its unit, and which direction is better."""
    label, better = metric_label(objective.metric), "more" if objective.direction == "maximize" else "less"
    return f"{label.removesuffix(')')}; {better} is better)" if label.endswith(")") else f"{label} ({better} is better)"


def shown_end(metric: str, end: Any) -> Any:
    """The end of an interval, or an array of ends, as it is drawn: in the metric's unit, a share within 0 and 100 %."""
    unit = unit_of(metric)
    return np.clip(unit.scale * end, 0.0, 100.0) if unit.sign == "%" else unit.scale * end
