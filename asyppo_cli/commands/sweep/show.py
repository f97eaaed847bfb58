"""``asyppo sweep show``: the state and results of a study."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asyppo_cli.commands.sweep.options import RunsDir, Storage, StudyName

if TYPE_CHECKING:
    from asyppo_cli.runs.studies import Study

EXAMPLES = """Examples:

asyppo sweep show critic_count

asyppo sweep show critic_count --trials

asyppo sweep show critic_count --storage postgresql://user@host/studies --json
"""
app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def show(
    study: StudyName,
    storage: Storage = None,
    runs_dir: RunsDir = Path("runs"),
    trials: Annotated[bool, typer.Option("--trials", help="List every trial.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show the state and the results of a study."""
    from asyppo_cli.commands.sweep.output import print_results
    from asyppo_cli.commands.sweep.resources import find_study
    from sweeps.execution.listing import study_of

    if storage is None and not (runs_dir / study).is_dir() and Path(study).is_dir():
        runs_dir, study = Path(study).resolve().parent, Path(study).resolve().name
    found = study_of(find_study(study, runs_dir, storage))
    if as_json:
        sys.stdout.write(json.dumps(asdict(found), indent=1) + "\n")
        return
    if trials:
        list_trials(found)
    print_results(found, runs_dir / study)


def list_trials(study: Study) -> None:
    """Print every trial with its state and values."""
    from asyppo_cli import console
    from asyppo_cli.console import Column

    metrics = [objective.metric for objective in study.objectives]
    columns = [Column("trial", style="bold"), Column("setting"), Column("seed", "right"), Column("state")]
    columns += [*(Column(metric, "right") for metric in metrics), Column("seconds", "right"), Column("", wrap=True)]
    rows = []
    for trial in study.trials:
        values = [f"{value:.4g}" for value in trial.values] or [""] * len(metrics)
        seconds = "" if trial.seconds is None else f"{trial.seconds:.0f}"
        seed = "" if trial.seed is None else str(trial.seed)
        rows.append([trial.name, trial.setting, seed, trial.state, *values, seconds, trial.reason or ""])
    console.table(columns, rows)
