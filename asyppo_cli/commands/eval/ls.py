"""``asyppo eval ls``: the benchmarks, their sources, and which are on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from asyppo_cli.console import Content

EXAMPLES = "Examples:\n\nasyppo eval ls\n\nasyppo eval ls --data-dir benchmarks --json\n\nasyppo eval ls --tasks"

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def ls(
    data_dir: Annotated[Path | None, typer.Option(help="Folder of files NAME.jsonl, .parquet or .csv.")] = None,
    tasks: Annotated[bool, typer.Option("--tasks", help="Also list the tasks of reasoning-gym.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List the benchmarks: sizes, sources, revisions, licences, and whether they are here."""
    from asyppo_cli.evaluation.benchmarks import SUITES

    rows = benchmark_rows(data_dir)
    names = _task_names() if tasks or as_json else []
    if as_json:
        data = {"benchmarks": rows, "suites": {k: list(v) for k, v in SUITES.items()}, "tasks": names}
        sys.stdout.write(json.dumps(data, indent=2) + "\n")
        return
    _print_table(rows)
    _print_others(names)


def benchmark_rows(data_dir: Path | None) -> list[dict[str, Any]]:
    """All data on each benchmark as JSON values; ``here`` is its file on this machine, or None."""
    from asyppo_cli.evaluation.benchmarks import BENCHMARKS, local_file
    from asyppo_cli.tasks.data.hub import cached_files

    rows = []
    for name, benchmark in BENCHMARKS.items():
        cached = cached_files(benchmark.hub_id, benchmark.split, benchmark.revision)
        here = local_file(name, data_dir) or (cached.files[0] if cached is not None and cached.complete else None)
        rows.append(
            {
                "name": name,
                "title": benchmark.title,
                "problems": benchmark.problems,
                "source": benchmark.source,
                "revision": benchmark.revision,
                "licence": benchmark.licence,
                "here": str(here) if here else None,
            }
        )
    return rows


def _print_table(rows: list[dict[str, Any]]) -> None:
    from asyppo_cli import console
    from asyppo_cli.console import Cell, Column

    columns = [Column("name", style="bold"), Column("problems", "right"), Column("source")]
    columns += [Column("revision"), Column("licence"), Column("here")]
    table: list[list[Content]] = []
    for row in rows:
        here = Cell(row["here"], "green") if row["here"] else Cell("no", "dim")
        table.append(
            [row["name"], str(row["problems"]), row["source"], row["revision"][:12], row["licence"], here],
        )
    console.table(columns, table)


def _print_others(tasks: list[str]) -> None:
    from asyppo_cli import console
    from asyppo_cli.evaluation.benchmarks import GENERATED, SUITES

    console.heading("Besides")
    rows: list[tuple[str, Content]] = [(name, " ".join(members)) for name, members in SUITES.items()]
    listed = ": " + " ".join(tasks) if tasks else " (asyppo eval ls --tasks names them)"
    rows.append(("reasoning-gym", f"every task by its name, {GENERATED} held-out problems each{listed}"))
    rows.append(("files", "any PATH.jsonl, .parquet or .csv with a problem and an answer in each row"))
    console.pairs(rows)


def _task_names() -> list[str]:
    from asyppo_cli.tasks.data.names import task_names

    return task_names()
