"""What a sweep would do, and what that costs, before it does it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from asyppo_cli import console
from asyppo_cli.commands.sweep.costs import seconds
from asyppo_cli.console import Column
from asyppo_cli.display.drawing import format_duration
from sweeps.definition.definition import Definition
from sweeps.definition.grammar import Span
from sweeps.definition.grid import grid_size, grid_trials

if TYPE_CHECKING:
    from asyppo_cli.commands.sweep.prepare import Examined

# Of a long list, the beginning is enough to see what it is.
SHOWN = 20


def rehearse(examined: Examined, jobs: int, runs_dir: Path) -> None:
    """List the trials and what they cost."""
    definition, cost = examined.definition, examined.cost
    if definition.search is None:
        list_trials(definition)
    else:
        list_axes(definition)
    if examined.known:
        console.print(f"run before, and to be taken over: {examined.known_names}")
    took = seconds(cost, runs_dir)
    console.heading("Cost")
    console.pairs(
        [
            ("trials", f"{cost.trials:,}, {jobs} at once"),
            ("steps", f"{cost.steps:,}"),
            ("responses", f"{cost.responses:,} to train on, {cost.evaluated:,} to evaluate"),
            ("time", "unknown: no finished run of this shape" if took is None else told_time(took, jobs)),
        ]
    )
    console.note("nothing was started")


def told_time(seconds: float, jobs: int) -> str:
    """About how long it takes."""
    one = f"about {format_duration(seconds)} by finished runs of this shape"
    return one if jobs == 1 else f"{one}, divided among {jobs} jobs"


def list_trials(definition: Definition) -> None:
    """The names of the first trials and their points."""
    columns = [Column("trial", style="bold"), *map(Column, definition.axes)]
    console.table(columns, [[t.name, *t.axes.values()] for t in islice(grid_trials(definition), SHOWN)])
    if (size := grid_size(definition.axes)) > SHOWN:
        console.print(f"and {size - SHOWN:,} more")


def list_axes(definition: Definition) -> None:
    """What a search looks through, and how."""
    search = definition.search
    assert search is not None, definition.name
    rows = [
        (
            key,
            f"{axis.low:g} to {axis.high:g}{', whole' if axis.whole else ''}{', by its logarithm' if axis.log else ''}"
            if isinstance(axis, Span)
            else ", ".join(axis.values),
        )
        for key, axis in definition.axes.items()
    ]
    goals = ", ".join(f"{objective.direction} {objective.metric}" for objective in definition.objectives)
    console.pairs([*rows, ("objective", goals), ("sampler", search.sampler), ("pruner", search.pruner)])
