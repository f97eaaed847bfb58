"""Options that the sweep commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Jobs = Annotated[int, typer.Option(min=1, help="Number of simultaneous trials; they share cores and GPUs.")]
RunsDir = Annotated[Path, typer.Option(help="Folder of all runs; the study is a folder in it.")]
Storage = Annotated[
    str | None,
    typer.Option(
        help="Storage of the study: an Optuna URL (postgresql://, mysql://, sqlite:///FILE), or a journal file; "
        "default: a journal in the study's folder.",
        show_default=False,
    ),
]
Trials = Annotated[int | None, typer.Option(help="Search: number of trials.", show_default=False)]
Sampler = Annotated[str | None, typer.Option(help="Search: tpe, random, grid, cmaes, gp or nsga2; default: tpe.")]
Pruner = Annotated[str | None, typer.Option(help="Search: none, median or hyperband, by the metric during training.")]
Metric = Annotated[list[str] | None, typer.Option(help="Objective, such as eval/accuracy or seconds; repeatable.")]
Directions = Annotated[
    list[str] | None, typer.Option(help="maximize or minimize, for each metric; needed for a search.")
]
Budget = Annotated[
    str | None, typer.Option(help="Start no trial after this time: seconds, or 30m, 2h.", show_default=False)
]

ScaleName = Annotated[Literal["embedded", "paper"], typer.Option(help="Size at which a named study is run.")]
Reuse = Annotated[
    list[Path] | None,
    typer.Option(help="Folder of finished runs to be reused where a trial has the same configuration; repeatable."),
]


def complete_study(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of existing studies for the shell."""
    from asyppo_cli.commands.sweep.resources import studies_in

    return [name for name in studies_in(Path(ctx.params.get("runs_dir") or "runs")) if name.startswith(incomplete)]


StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study.", autocompletion=complete_study)]
