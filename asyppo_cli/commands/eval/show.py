"""``asyppo eval show``: the problems of an evaluation with their answers, verdicts and votes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from asyppo_cli import console
from asyppo_cli.commands.eval.stored import ProblemSamples, StoredEvaluation, open_stored
from asyppo_cli.console import Cell, Column, Content
from asyppo_cli.runs.evaluations import FOLDER

EXAMPLES = """Examples:

asyppo eval show

asyppo eval show SmolLM2/math500 --wrong

asyppo eval show math500 --id math500-17 --responses
"""
MARKS = {"right": "+", "wrong": "-", "unparseable": "?", "unparseable_gold": "G", "timed_out": "T", "failed": "x"}
MARK_STYLES = {"right": "green", "wrong": "red"}
SHOWN_QUESTION = 60

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def show(
    evaluation: Annotated[
        str | None, typer.Argument(help="Its folder, or a part of the folder's name; default: the last.")
    ] = None,
    wrong: Annotated[bool, typer.Option("--wrong", help="Problems that no sample got right.")] = False,
    disputed: Annotated[bool, typer.Option("--disputed", help="Problems with both right and other samples.")] = False,
    truncated: Annotated[bool, typer.Option("--truncated", help="Problems with a sample that was cut off.")] = False,
    only: Annotated[list[str] | None, typer.Option("--id", help="This problem; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Most problems shown; 0: all.")] = 50,
    responses: Annotated[
        bool, typer.Option("--responses", help="Show every response in full, with the grader's reason.")
    ] = False,
    runs_dir: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    output: Annotated[Path, typer.Option(help="Folder of evaluations outside runs.")] = Path(FOLDER),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List problems with their gold answer, a mark for each sample, and the votes."""
    stored = open_stored(evaluation, runs_dir, output)
    chosen = [
        answered
        for answered in stored.problems
        if not (wrong and answered.right)
        and not (disputed and not 0 < answered.right < len(answered.rows))
        and not (truncated and not any(sample.truncated for sample, _ in answered.rows))
        and not (only and answered.id not in only)
    ]
    unknown = sorted(set(only or []) - {answered.id for answered in stored.problems})
    if unknown:
        raise ValueError(f"--id {unknown[0]}: there is no such problem in {stored.directory.path}")
    if as_json:
        sys.stdout.write(json.dumps([answered.as_json() for answered in chosen], indent=1) + "\n")
        return
    _print_head(stored, len(chosen))
    shown = chosen[: limit or None]
    if responses or only:
        for answered in shown:
            _print_responses(answered)
    elif shown:
        _print_table(shown)
    if len(chosen) > len(shown):
        console.note(f"{len(chosen) - len(shown)} more: --limit 0 shows all")


def _print_head(stored: StoredEvaluation, chosen: int) -> None:
    settings = stored.settings
    console.print(f"{settings.get('benchmark')}  {settings.get('model')}", "bold")
    rows: list[tuple[str, Content]] = [
        ("folder", str(stored.directory.path)),
        ("problems", f"{chosen} of {len(stored.problems)} shown"),
        ("samples", f"{stored.samples} stored, {stored.ungraded} without a verdict"),
    ]
    console.pairs(rows)
    marks = ", ".join(f"{mark} {kind.replace('_', ' ')}" for kind, mark in MARKS.items())
    console.note(f"marks: {marks}; c after a mark: cut off")


def _print_table(chosen: Sequence[ProblemSamples]) -> None:
    columns = [Column("problem", style="bold"), Column("gold"), Column("marks"), Column("votes"), Column("question")]
    rows: list[list[Content]] = []
    for answered in chosen:
        question = " ".join(answered.question.split())
        rows.append(
            [
                answered.id,
                answered.answer,
                Cell(marks_of(answered), _style(answered)),
                votes_of(answered),
                Cell(question if len(question) <= SHOWN_QUESTION else question[: SHOWN_QUESTION - 1] + "…", "dim"),
            ]
        )
    console.table(columns, rows)


def marks_of(answered: ProblemSamples) -> str:
    """One character a sample, in order, the failed ones last."""
    return "".join(
        ("." if graded is None else MARKS.get(graded.verdict, "?")) + ("c" if sample.truncated else "")
        for sample, graded in answered.rows
    ) + MARKS["failed"] * len(answered.failures)


def votes_of(answered: ProblemSamples) -> str:
    """The most frequent answers with their number of votes."""
    return ", ".join(f"{vote} x{count}" if count > 1 else vote for vote, count in answered.votes.most_common(4))


def _style(answered: ProblemSamples) -> str:
    return (
        "green"
        if answered.right == len(answered.rows) + len(answered.failures)
        else "yellow"
        if answered.right
        else "red"
    )


def _print_responses(answered: ProblemSamples) -> None:
    console.heading(answered.id)
    console.print(answered.question)
    console.pairs([("gold", answered.answer), ("votes", votes_of(answered) or "-")])
    for sample, graded in answered.rows:
        kind = "not graded" if graded is None else graded.verdict
        cut = ", cut off" if sample.truncated else ""
        extracted = "-" if graded is None or graded.extracted is None else graded.extracted
        caption = f"{kind}, answer {extracted}, {sample.length} tokens{cut}"
        if graded is not None and graded.reason:
            console.print(f"sample {sample.sample}: {kind}: {graded.reason}")
        console.panel(f"sample {sample.sample}", [sample.response], MARK_STYLES.get(kind, "yellow"), caption)
    for failure in answered.failures:
        console.print(f"sample {failure.sample} failed: {failure.reason}", "yellow")
