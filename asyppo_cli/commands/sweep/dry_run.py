"""``asyppo sweep --dry-run``: the trials and their cost."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from asyppo_cli import console
from asyppo_cli.commands.sweep.costs import seconds
from asyppo_cli.commands.sweep.prepare import listed
from asyppo_cli.console import Column
from asyppo_cli.display.drawing import format_duration
from sweeps.definition.definition import StudyDefinition
from sweeps.definition.grammar import Axis, RangeAxis
from sweeps.definition.grid import grid_size, grid_trials

if TYPE_CHECKING:
    from asyppo_cli.commands.sweep.prepare import SweepPlan

# Only the first trials are listed.
MAX_ROWS = 20


def show_plan(plan: SweepPlan, jobs: int, runs_dir: Path) -> None:
    """Print the trials or the search space, and the cost."""
    if plan.definition.search is None:
        list_trials(plan.definition)
    else:
        list_axes(plan.definition)
    if plan.reused:
        console.print(f"already run, to be reused: {listed([trial.name for trial, _ in plan.reused])}")
    if plan.over:
        console.print(f"finished before, not repeated: {len(plan.over):,} trials")
    cost, duration = plan.cost, seconds(plan.cost, runs_dir)
    time = "unknown: no finished run of this shape"
    if duration is not None:
        time = f"about {format_duration(duration)} by finished runs of this shape"
        time += f", divided among {jobs} jobs" if jobs > 1 else ""
    console.heading("Cost")
    console.pairs(
        [
            ("trials", f"{cost.trials:,}, {jobs} at once"),
            ("steps", f"{cost.steps:,}"),
            ("responses", f"{cost.responses:,} to train on, {cost.evaluated:,} to evaluate"),
            ("time", time),
        ]
    )
    console.note("nothing was started")


def list_trials(definition: StudyDefinition) -> None:
    """The names and points of the first trials of a grid."""
    columns = [Column("trial", style="bold"), *map(Column, definition.axes)]
    console.table(columns, [[t.name, *t.axes.values()] for t in islice(grid_trials(definition), MAX_ROWS)])
    if (size := grid_size(definition.axes)) > MAX_ROWS:
        console.print(f"and {size - MAX_ROWS:,} more")


def list_axes(definition: StudyDefinition) -> None:
    """The space, objectives and options of a search."""
    search = definition.search
    assert search is not None, definition.name
    rows = [(key, describe_axis(axis)) for key, axis in definition.axes.items()]
    goals = ", ".join(f"{objective.direction} {objective.metric}" for objective in definition.objectives)
    console.pairs([*rows, ("objective", goals), ("sampler", search.sampler), ("pruner", search.pruner)])


def describe_axis(axis: Axis) -> str:
    """The values of an axis in words."""
    if not isinstance(axis, RangeAxis):
        return ", ".join(axis.values)
    kinds = [kind for kind, holds in (("whole numbers", axis.whole), ("log scale", axis.log)) if holds]
    return ", ".join([f"{axis.low:g} to {axis.high:g}", *kinds])
