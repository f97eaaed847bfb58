"""``asyppo sweep ls``: named studies and existing studies."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import typer

from asyppo_cli.commands.sweep.options import RunsDir, Storage

EXAMPLES = """Examples:

asyppo sweep ls

asyppo sweep ls --storage postgresql://user@host/studies
"""
app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def ls(runs_dir: RunsDir = Path("runs"), storage: Storage = None) -> None:
    """List the paper's studies with their questions, and the studies that have been started."""
    from asyppo_cli import console
    from asyppo_cli.console import Column
    from sweeps.definition.study_files import read_study, study_names

    console.heading("Studies of the paper: asyppo sweep NAME [--scale paper]")
    rows = [(name, read_study(name).question) for name in study_names()]
    console.table([Column("", style="bold"), Column("", wrap=True)], rows)
    if started := started_studies(runs_dir, storage):
        console.heading("Started: asyppo sweep show NAME")
        console.table([Column("", style="bold"), Column(""), Column("", wrap=True)], started)


def started_studies(runs_dir: Path, storage: str | None) -> list[tuple[str, str, str]]:
    """Name, kind and trial states of every existing study."""
    from asyppo_cli.commands.sweep.resources import find_study, studies_in
    from sweeps.execution.listing import study_of
    from sweeps.execution.storage import open_storage

    if storage is None:
        names = studies_in(runs_dir)
    else:
        names = [study.study_name for study in open_storage(storage).get_all_studies()]
    rows: list[tuple[str, str, str]] = []
    for name in names:
        try:
            study = study_of(find_study(name, runs_dir, storage))
        except (OSError, ValueError) as error:
            rows.append((name, "", f"cannot be read: {error}"))
            continue
        counts = Counter(trial.state for trial in study.trials)
        rows.append((name, study.kind, ", ".join(f"{number} {state}" for state, number in counts.items())))
    return rows
