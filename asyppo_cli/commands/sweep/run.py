"""``asyppo sweep run``, or ``asyppo sweep`` alone: a grid, a search, or a study of the paper's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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
    from asyppo_cli.commands.sweep.checking import Checked
    from asyppo_cli.commands.sweep.costs import Cost
    from asyppo_cli.config.schema import Config
    from asyppo_cli.runs.directory import RunDirectory
    from sweeps.book import Book
    from sweeps.definition import Definition
    from sweeps.devices import Share
    from sweeps.grid import Trial

# Of trials that are taken over, so many are named.
SHOWN = 4
EXAMPLES = """Examples:

asyppo sweep mask_pct=0.1,0.2,0.3 --seeds 3

asyppo sweep algorithm=asyppo,grpo utd=one,four --seeds 3 --jobs 2 --name baselines

asyppo sweep critic_count max_steps=40 --dry-run

asyppo sweep 'mask_pct=interval(0,0.5)' --trials 20 --direction maximize --pruner median
"""


def complete_words(ctx: typer.Context, incomplete: str) -> list[str]:
    """Studies and overrides for the shell."""
    from sweeps.specs import spec_names

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
    from asyppo_cli.commands.sweep.places import shares
    from asyppo_cli.commands.sweep.rehearsal import rehearse
    from sweeps import asking

    budget = math.inf if time_budget is None else asking.seconds(time_budget)
    asked = asking.Asked(
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
    examined = examine(asking.define(asked), runs_dir, config_dir, reuse or ())
    if dry_run:
        return rehearse(examined, jobs, runs_dir)
    parts = shares(jobs, examined.configs)
    book = open_book(examined, runs_dir, storage)
    carry_out(book, runs_dir / examined.definition.name, parts, config_dir, budget)


@dataclass(frozen=True)
class Examined:
    """A definition with the steps of a trial, the cost of what is to be run, the configurations that want different
    devices, and trials that have been run elsewhere, with their runs.
    """

    definition: Definition
    cost: Cost
    configs: list[Config]
    known: list[tuple[Trial, RunDirectory]]

    @property
    def known_names(self) -> str:
        """The first of the trials that have been run elsewhere, and how many more there are."""
        names = [trial.name for trial, _ in self.known[:SHOWN]]
        more = len(self.known) - len(names)
        return ", ".join(names) + (f" and {more:,} more" if more else "")


def examine(definition: Definition, runs_dir: Path, config_dir: Path | None, reuse: Sequence[Path] = ()) -> Examined:
    """Check every trial, before anything starts.

    Raises:
        ValueError: a trial is wrong, or its folder holds another run.
    """
    from asyppo_cli.commands.sweep.checking import check
    from asyppo_cli.commands.sweep.costs import Cost
    from asyppo_cli.runs.directory import check_name, check_runs_dir
    from sweeps.reuse import Finished
    from sweeps.standing import run_of

    check_runs_dir(runs_dir)
    if reuse and definition.search is not None:
        raise ValueError("--reuse is for grids: which trials a search makes is not known before it runs")
    finished = Finished(reuse)
    known: list[tuple[Trial, RunDirectory]] = []
    cost, steps = Cost(), 0
    different: dict[str, Config] = {}
    for one in vacant(check(definition, config_dir), runs_dir / definition.name):
        if definition.search is None:
            check_name(one.trial.name)
        twin = finished.like(one.resolved)
        if twin is not None and not run_of(runs_dir / definition.name, one.trial.name).path.exists():
            known.append((one.trial, twin))
        else:
            cost.add(one)
        steps = max(steps, one.config.max_steps)
        different.setdefault(
            repr((one.config.cluster, one.config.learner.device, one.config.critics.count)), one.config
        )
    if definition.search is not None:
        cost = scaled(cost, definition.search.trials)
        definition = replace(definition, search=replace(definition.search, max_steps=steps))
    return Examined(definition, cost, list(different.values()), known)


def vacant(checked: Iterable[Checked], folder: Path) -> Iterable[Checked]:
    """The same, each looked at whether its folder holds another run; ValueError if one does."""
    from sweeps.standing import check_same, run_of

    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    for one in checked:
        if one.trial.name in there:
            check_same(run_of(folder, one.trial.name), one.resolved)
        yield one


def scaled(cost: Cost, trials: int) -> Cost:
    """The cost of so many trials like those looked at."""
    from collections import Counter

    share = trials / cost.trials
    return replace(
        cost,
        trials=trials,
        steps=round(cost.steps * share),
        responses=round(cost.responses * share),
        evaluated=round(cost.evaluated * share),
        shapes=Counter({shape: round(steps * share) for shape, steps in cost.shapes.items()}),
    )


def open_book(examined: Examined, runs_dir: Path, storage: str | None) -> Book:
    """The study in its storage, made or grown; what has failed is tried once more, what is known taken over."""
    from asyppo_cli import console
    from asyppo_cli.commands.sweep.places import storage_of
    from sweeps.book import create
    from sweeps.reuse import take_over
    from sweeps.storage import open_storage

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
    from asyppo_cli.commands.sweep.places import unfinished
    from asyppo_cli.commands.sweep.telling import tell_and_write
    from asyppo_cli.commands.sweep.watching import Watcher
    from sweeps.jobs import Place
    from sweeps.listing import study_of
    from sweeps.process import TrainLauncher
    from sweeps.runner import work

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
