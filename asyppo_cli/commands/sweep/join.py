"""``asyppo sweep join``: one more worker at a study, from another terminal or machine."""

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
    """Work at a study that was begun elsewhere, until all its trials are over.

    What is to be run is read from the storage; the runs lie below this machine's --runs-dir.
    """
    from asyppo_cli.commands.sweep.prepare import examine
    from asyppo_cli.commands.sweep.resources import find_book, shares
    from asyppo_cli.commands.sweep.run import carry_out
    from sweeps.definition import request

    budget = math.inf if time_budget is None else request.seconds(time_budget)
    book = find_book(study, runs_dir, storage)
    configs = examine(book.definition, runs_dir, config_dir).configs
    carry_out(book, runs_dir / study, shares(jobs, configs), config_dir, budget)
