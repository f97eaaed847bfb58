"""``asyppo eval grade``: judge responses that were made elsewhere, line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """Examples:

asyppo eval grade answers.jsonl --output graded.jsonl

asyppo eval grade answers.jsonl > graded.jsonl

asyppo eval grade answers.jsonl --explain

asyppo eval grade physics.jsonl --tolerance 0.01 --output graded.jsonl
"""

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def grade(
    file: Annotated[Path, typer.Argument(help='Lines of {"problem", "answer", "response"}; other fields are kept.')],
    output: Annotated[Path | None, typer.Option(help="New file for the graded rows; default: stdout.")] = None,
    tolerance: Annotated[float, typer.Option(min=0, max=1, help="How far a number may be off, relatively.")] = 0.0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that judge.")] = 2,
    explain: Annotated[bool, typer.Option("--explain", help='Add the "reason" of every verdict in words.')] = False,
    deadline: Annotated[float, typer.Option(min=0.1, help="Seconds one answer may take.")] = 10.0,
) -> None:
    """Grade responses made elsewhere.

    Every row comes back in its place with "correct", the "extracted" answer and the "verdict": right, wrong,
    unparseable, unparseable_gold or timed_out.
    """
    from asyppo_cli.evaluation.grading import grade_file

    grade_file(file, output, tolerance, workers, deadline, explain)
