"""``asyppo sweep run``, or ``asyppo sweep`` alone: a grid, a search, or a study of the paper's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asyppo_cli.commands.config import ConfigDir, complete_overrides
from asyppo_cli.commands.sweep.options import (
    Budget,
    Directions,
    Jobs,
    Metric,
    Pruner,
    RunsDir,
    Sampler,
    Storage,
    Trials,
)

if TYPE_CHECKING:
    from asyppo_cli.commands.sweep.prepare import Examined
    from sweeps.execution.devices import Share
    from sweeps.execution.study_store import Book

EXAMPLES = """Examples:

asyppo sweep mask_pct=0.1,0.2,0.3 --seeds 3

asyppo sweep algorithm=asyppo,grpo utd=one,four --seeds 3 --jobs 2 --name baselines

asyppo sweep critic_count max_steps=40 --dry-run

asyppo sweep 'mask_pct=interval(0,0.5)' --trials 20 --direction maximize --pruner median
"""


def complete_words(ctx: typer.Context, incomplete: str) -> list[str]:
    """Studies and overrides for the shell."""
    from sweeps.definition.study_files import spec_names

    return [*(name for name in spec_names() if name.startswith(incomplete)), *complete_overrides(ctx, incomplete)]


app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def run(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY|KEY=VALUE,VALUE",
            help="A study of asyppo sweep ls; settings as for train; commas are a grid, interval(a,b) opens a search.",
            show_default=False,
            autocompletion=complete_words,
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Run every setting with seeds 1 to N.")] = None,
    jobs: Jobs = 1,
    name: Annotated[str | None, typer.Option(help="Name of the sweep; default: what is swept.")] = None,
    runs_dir: RunsDir = Path("runs"),
    scale: Annotated[
        Literal["embedded", "paper"], typer.Option(help="Size at which a named study is run.")
    ] = "embedded",
    trials: Trials = None,
    sampler: Sampler = None,
    pruner: Pruner = None,
    metric: Metric = None,
    direction: Directions = None,
    time_budget: Budget = None,
    storage: Storage = None,
    reuse: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of runs: what has finished there under a trial's configuration is not run again."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and list all trials and their cost.")] = False,
    config_dir: ConfigDir = None,
) -> None:
    """Run a grid of settings and seeds, a search, or a study of the paper's, and compare what came out.

    The same command goes on where a sweep stopped: a trial that is finished is not repeated.
    """
    from asyppo_cli.commands.sweep.dry_run import rehearse
    from asyppo_cli.commands.sweep.prepare import examine
    from asyppo_cli.commands.sweep.resources import shares
    from sweeps.definition import request

    budget = math.inf if time_budget is None else request.seconds(time_budget)
    asked = request.Asked(
        words=overrides or [],
        seeds=seeds,
        name=name,
        scale=scale,
        sampler=sampler,
        pruner=pruner,
        metrics=metric or (),
        directions=direction or (),
        trials=trials,
    )
    examined = examine(request.define(asked), runs_dir, config_dir, reuse or ())
    if dry_run:
        return rehearse(examined, jobs, runs_dir)
    parts = shares(jobs, examined.configs)
    book = open_book(examined, runs_dir, storage)
    carry_out(book, runs_dir / examined.definition.name, parts, config_dir, budget)


def open_book(examined: Examined, runs_dir: Path, storage: str | None) -> Book:
    """The study in its storage, made or grown; what has failed is tried once more, what is known taken over."""
    from asyppo_cli import console
    from asyppo_cli.commands.sweep.resources import storage_of
    from sweeps.execution.finished_runs import take_over
    from sweeps.execution.storage import open_storage
    from sweeps.execution.study_store import create

    folder = runs_dir / examined.definition.name
    book = create(open_storage(storage_of(storage, folder)), examined.definition)
    book.retry_failed()
    for trial, finished in examined.known:
        take_over(trial, finished, folder)
    if examined.known:
        console.print(f"run before, and taken over: {examined.known_names}")
    return book


def carry_out(book: Book, folder: Path, parts: list[Share], config_dir: Path | None, seconds: float) -> None:
    """Work at a study until it is over, and tell what came out.

    Raises:
        typer.Exit: with code 1 if a trial has failed or was interrupted.
    """
    from asyppo_cli import console
    from asyppo_cli.commands.sweep.output import tell_and_write
    from asyppo_cli.commands.sweep.progress import Watcher
    from asyppo_cli.commands.sweep.resources import unfinished
    from sweeps.execution.jobs import Place
    from sweeps.execution.listing import study_of
    from sweeps.execution.process import TrainLauncher
    from sweeps.execution.worker import work

    name = book.definition.name
    console.print(f"{folder}/: {len(book.names())} trials, {len(parts)} at once")
    launcher = TrainLauncher(folder, name, config_dir)
    watcher = Watcher(name, book.definition.objectives[0].metric, len(parts))
    try:
        stopped = work(book, Place(folder, launcher, launcher.why, parts), watcher, seconds)
    finally:
        watcher.close()
    study = study_of(book)
    tell_and_write(study, folder)
    if left := unfinished(study):
        console.warn(f"{left} of {len(study.trials)} trials are not finished; go on with the same command")
        if stopped != "budget":
            raise typer.Exit(1)
