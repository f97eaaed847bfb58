"""``asyppo sweep run``, or just ``asyppo sweep``: a grid, a search, or one of the paper's studies."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asyppo_cli.commands.config import ConfigDir, complete_overrides
from asyppo_cli.commands.sweep.options import (
    Budget,
    Directions,
    Jobs,
    Metric,
    Pruner,
    Reuse,
    RunsDir,
    Sampler,
    ScaleName,
    Storage,
    Trials,
)

if TYPE_CHECKING:
    from asyppo_cli.commands.sweep.prepare import SweepPlan
    from sweeps.execution.devices import ResourceShare
    from sweeps.execution.study_store import StudyStore

EXAMPLES = """Examples:

asyppo sweep mask_pct=0.1,0.2,0.3 --seeds 3

asyppo sweep algorithm=asyppo,grpo utd=one,four --seeds 3 --jobs 2 --name baselines

asyppo sweep critic_count max_steps=40 --dry-run

asyppo sweep 'mask_pct=interval(0,0.5)' --trials 20 --direction maximize --pruner median
"""


def complete_words(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of studies and overrides for the shell."""
    from sweeps.definition.study_files import study_names

    return [*(name for name in study_names() if name.startswith(incomplete)), *complete_overrides(ctx, incomplete)]


app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def run(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY|KEY=VALUE,VALUE",
            help="A study of asyppo sweep ls, or settings as for train; commas make a grid, interval(a,b) a search.",
            show_default=False,
            autocompletion=complete_words,
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Run every setting with seeds 1 to N.")] = None,
    jobs: Jobs = 1,
    name: Annotated[str | None, typer.Option(help="Name of the sweep; default: what is swept.")] = None,
    runs_dir: RunsDir = Path("runs"),
    scale: ScaleName = "embedded",
    trials: Trials = None,
    sampler: Sampler = None,
    pruner: Pruner = None,
    metric: Metric = None,
    direction: Directions = None,
    time_budget: Budget = None,
    storage: Storage = None,
    reuse: Reuse = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and list all trials and their cost.")] = False,
    config_dir: ConfigDir = None,
) -> None:
    """Run a grid of settings and seeds, a search, or one of the paper's studies, and compare the results.

    The same command continues a stopped sweep: finished trials are not repeated.
    """
    from asyppo_cli import console
    from asyppo_cli.commands.sweep.dry_run import show_plan
    from asyppo_cli.commands.sweep.prepare import make_plan
    from asyppo_cli.commands.sweep.resources import check_models, shares
    from sweeps.definition.request import SweepRequest, define, parse_duration

    seconds = math.inf if time_budget is None else parse_duration(time_budget)
    request = SweepRequest(
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
    plan = make_plan(define(request), runs_dir, config_dir, storage, reuse or ())
    parts = shares(jobs, list(plan.by_devices.values()))
    check_models(plan.by_models.values(), runs_dir, jobs)
    for warning in plan.warnings:
        console.warn(warning)
    if dry_run:
        return show_plan(plan, jobs, runs_dir)
    store = open_study(plan, runs_dir, storage)
    execute(store, runs_dir / plan.definition.name, parts, config_dir, seconds)


def open_study(plan: SweepPlan, runs_dir: Path, storage: str | None) -> StudyStore:
    """Create or extend the study; failed trials get another attempt, finished runs are copied."""
    from asyppo_cli import console
    from asyppo_cli.commands.sweep.prepare import listed
    from asyppo_cli.commands.sweep.resources import storage_of
    from sweeps.execution.finished_runs import adopt_run
    from sweeps.execution.storage import open_storage
    from sweeps.execution.study_store import create

    folder = runs_dir / plan.definition.name
    store = create(open_storage(storage_of(storage, folder)), plan.definition)
    store.retry_failed()
    for trial, finished in plan.reused:
        adopt_run(trial, finished, folder)
    if plan.reused:
        console.print(f"already run, reused: {listed([trial.name for trial, _ in plan.reused])}")
    return store


def execute(
    store: StudyStore, folder: Path, parts: list[ResourceShare], config_dir: Path | None, seconds: float
) -> None:
    """Run the trials of a study and print the results.

    Raises:
        typer.Exit: with code 1 if a trial has failed or was interrupted.
    """
    from asyppo_cli import console
    from asyppo_cli.commands.sweep.output import write_results
    from asyppo_cli.commands.sweep.progress import SweepProgress
    from asyppo_cli.extensions.files import write_copies
    from asyppo_cli.runs.directory import RunDirectory
    from asyppo_cli.runs.files.disk import DISK_FULL
    from sweeps.execution.listing import study_of
    from sweeps.execution.process import TrainLauncher
    from sweeps.execution.worker import run_worker

    name = store.definition.name
    write_copies(store.definition.extensions, RunDirectory(folder).extensions)
    console.print(f"{folder}/: {len(store.names())} trials, {len(parts)} at once")
    progress = SweepProgress(name, store.definition.objectives[0].metric, len(parts))
    try:
        end = run_worker(store, TrainLauncher(folder, name, config_dir), parts, progress, seconds)
    finally:
        progress.close()
    if end == "disk":
        raise RuntimeError(f"{DISK_FULL}: make room for {folder}/, then rerun the same command to continue")
    study = study_of(store)
    write_results(study, folder)
    unfinished = sum(trial.state not in ("finished", "pruned") for trial in study.trials)
    if unfinished:
        console.warn(f"{unfinished} of {len(study.trials)} trials are not finished; rerun the same command to continue")
        if end != "budget":
            raise typer.Exit(1)
