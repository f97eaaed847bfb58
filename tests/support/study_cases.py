"""Small studies with numbers made up for a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asyppo_cli.runs.studies import Objective, Study, StudyTrial, TrialState

ACCURACY = "eval/accuracy"


def trial(point: Mapping[str, str], seed: int | None, *values: float, **more: Any) -> StudyTrial:
    """A finished trial, unless ``state`` says otherwise."""
    name = more.pop("name", "_".join([*(f"{key}-{value}" for key, value in point.items()), f"seed-{seed}"]))
    state: TrialState = more.pop("state", "finished")
    return StudyTrial(name, dict(point), seed, state, tuple(values), **more)


def study(trials: Sequence[StudyTrial], **more: Any) -> Study:
    """Of held-out accuracy, unless ``objectives`` says otherwise."""
    objectives = more.pop("objectives", (Objective(ACCURACY, "maximize"),))
    kind = more.pop("kind", "grid")
    return Study(more.pop("name", "s"), kind, tuple(objectives), tuple(trials), **more)


def grid(values: Mapping[str, Sequence[float]], key: str = "k", **more: Any) -> Study:
    """One axis: the numbers of each of its values by seed, from seed 1."""
    return study([trial({key: v}, seed, x) for v, xs in values.items() for seed, x in enumerate(xs, 1)], **more)
