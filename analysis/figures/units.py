"""The unit in which a metric is shown."""

from __future__ import annotations

from dataclasses import dataclass

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


def objective_label(objective: Objective) -> str:
    """The label of an axis: the metric, its unit, and which direction is better."""
    sign, better = unit_of(objective.metric).sign, "more" if objective.direction == "maximize" else "less"
    return f"{objective.metric} ({sign + '; ' if sign else ''}{better} is better)"
