"""``asyppo sweep join``: another worker for a study, from another terminal or machine."""

from __future__ import annotations

import math
from pathlib import Path

import typer

from asyppo_cli.commands.config import ConfigDir
from asyppo_cli.commands.sweep.options import Budget, Jobs, RunsDir, Storage, StudyName

EXAMPLES = """Examples:

asyppo sweep join critic_count

asyppo sweep join critic_count --storage postgresql://user@host/studies --jobs 2
"""

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def join(
    study: StudyName,
    storage: Storage = None,
    jobs: Jobs = 1,
    runs_dir: RunsDir = Path("runs"),
    time_budget: Budget = None,
    config_dir: ConfigDir = None,
) -> None:
    """Run trials of an existing study until all are over.

    The trials are read from the storage; their runs are stored below this machine's --runs-dir.
    """
    from asyppo_cli.commands.sweep.prepare import make_plan
    from asyppo_cli.commands.sweep.resources import find_study, shares
    from asyppo_cli.commands.sweep.run import execute
    from sweeps.definition.request import parse_duration

    seconds = math.inf if time_budget is None else parse_duration(time_budget)
    store = find_study(study, runs_dir, storage)
    plan = make_plan(store.definition, runs_dir, config_dir, storage)
    execute(store, runs_dir / study, shares(jobs, list(plan.by_devices.values())), config_dir, seconds)
