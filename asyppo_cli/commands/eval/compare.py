"""``asyppo eval compare A B``: problems that only one model solved, and whether the difference is resolved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asyppo_cli import console
from asyppo_cli.commands.eval.show import marks_of, votes_of
from asyppo_cli.commands.eval.stored import ProblemSamples, StoredEvaluation, read_stored
from asyppo_cli.console import Column, Content
from asyppo_cli.runs.evaluations import FOLDER, EvaluationDirectory, differences, find_evaluations, read_manifest

if TYPE_CHECKING:
    from asyppo_cli.evaluation.scores import GradedSample

EXAMPLES = """Examples:

asyppo eval compare asyppo-1 grpo-1

asyppo eval compare evaluations/base/math500 evaluations/tuned/math500 --limit 0
"""
# Settings that identify the model.
MODELS_OWN = ("model", "weights", "revision")

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def compare(
    first: Annotated[str, typer.Argument(help="Evaluation A: a run, a folder, or a part of its path.")],
    second: Annotated[str, typer.Argument(help="Evaluation B, likewise; of several the newest that match.")],
    limit: Annotated[int, typer.Option(min=0, help="Most problems shown in each list; 0: all.")] = 20,
    runs_dir: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    output: Annotated[Path, typer.Option(help="Folder of evaluations outside runs.")] = Path(FOLDER),
) -> None:
    """Compare two evaluations of the same problems."""
    a, b = map(read_stored, newest_pair(*(find_evaluations(name, runs_dir, output) for name in (first, second))))
    rows: list[tuple[str, Content]] = [
        (letter, f"{stored.settings.get('model')}  ({stored.directory.path})")
        for letter, stored in (("A", a), ("B", b))
    ]
    console.pairs(rows)
    pairs = shared(a, b)
    warn_of_settings(a, b, len(pairs))
    print_difference(pairs)
    print_solved(
        "Solved by A alone (no sample of B is right)", [p for p in pairs if p[0].right and not p[1].right], limit
    )
    print_solved(
        "Solved by B alone (no sample of A is right)", [p for p in pairs if p[1].right and not p[0].right], limit
    )


def newest_pair(
    first: Sequence[EvaluationDirectory], second: Sequence[EvaluationDirectory]
) -> tuple[EvaluationDirectory, EvaluationDirectory]:
    """Of the evaluations of two models the newest pair that differs least in settings other than the model's."""
    settings = {each.path: read_manifest(each)["settings"] for each in (*first, *second)}
    pairs = [(a, b) for a in first for b in second if a.path != b.path] or [(first[0], second[0])]

    def distance(pair: tuple[EvaluationDirectory, EvaluationDirectory]) -> tuple[int, int]:
        names = differences(settings[pair[0].path], settings[pair[1].path]).keys() - set(MODELS_OWN)
        return sum(name.startswith("benchmark") for name in names), len(names)

    # The first of equals is the newest, since both lists are in this order.
    return min(pairs, key=distance)


def shared(a: StoredEvaluation, b: StoredEvaluation) -> list[tuple[ProblemSamples, ProblemSamples]]:
    """Problems that both have, by id and question, in A's order.

    Raises:
        ValueError: none is in both, or samples are not graded yet.
    """
    others = {(answered.id, answered.question): answered for answered in b.problems}
    keys = [(answered, others.get((answered.id, answered.question))) for answered in a.problems]
    pairs = [(one, other) for one, other in keys if other is not None]
    if not pairs:
        raise ValueError(f"{a.directory.path} and {b.directory.path} have no problem in common")
    for stored in (a, b):
        if stored.ungraded:
            raise ValueError(f"{stored.directory.path}: {stored.ungraded} samples are not graded: finish it first")
    return pairs


def warn_of_settings(a: StoredEvaluation, b: StoredEvaluation, common: int) -> None:
    """Warn of settings that differ besides the model's: they may cause the difference."""
    for name, (one, other) in differences(a.settings, b.settings).items():
        if name not in MODELS_OWN:
            console.warn(f"settings differ: {name.replace('_', ' ')} is {one} in A and {other} in B")
    most = max(len(a.problems), len(b.problems))
    if common < most:
        console.warn(f"only {common} problems are in both (A has {len(a.problems)}, B has {len(b.problems)})")


def print_difference(pairs: Sequence[tuple[ProblemSamples, ProblemSamples]]) -> None:
    """Both scores over the shared problems, and the paired difference."""
    from asyppo_cli.commands.eval.tables import difference_cells, interval, percent
    from asyppo_cli.evaluation.scores import average, bootstrap, paired_difference

    graded = [[_graded(pair[side]) for pair in pairs] for side in (0, 1)]
    scores = [bootstrap(average(side)) for side in graded]
    difference = paired_difference(graded[0], graded[1])
    rows: list[list[Content]] = [
        [name, percent(score.value), interval(score), ""] for name, score in zip("AB", scores, strict=True)
    ]
    rows.append(["B - A", *difference_cells(difference)])
    console.heading(f"Average over samples, {len(pairs)} problems")
    columns = [Column("", style="dim"), Column("score", "right"), Column("95 % interval", "right"), Column("")]
    console.table(columns, rows)
    counts = [
        sum(1 for one, other in pairs if one.right and other.right),
        sum(1 for one, other in pairs if one.right and not other.right),
        sum(1 for one, other in pairs if other.right and not one.right),
        sum(1 for one, other in pairs if not one.right and not other.right),
    ]
    counted = "{} solved by both, {} by A alone, {} by B alone, {} by neither (by any sample)"
    console.print(counted.format(*counts))


def print_solved(title: str, pairs: Sequence[tuple[ProblemSamples, ProblemSamples]], limit: int) -> None:
    """Problems with both models' marks and votes."""
    if not pairs:
        return
    console.heading(title)
    columns = [
        Column("problem", style="bold"),
        Column("gold"),
        *(Column(name) for name in ("A", "votes", "B", "votes")),
    ]
    rows = [
        [one.id, one.answer, marks_of(one), votes_of(one), marks_of(other), votes_of(other)]
        for one, other in pairs[: limit or None]
    ]
    console.table(columns, rows)
    if limit and len(pairs) > limit:
        console.note(f"{len(pairs) - limit} more: --limit 0 shows all")


def _graded(answered: ProblemSamples) -> list[GradedSample]:
    from asyppo_cli.evaluation.grading_queue import graded_sample
    from asyppo_cli.evaluation.scores import GradedSample

    failed = [GradedSample("failed", None, 0, False)] * len(answered.failures)
    return [graded_sample(verdict, sample) for sample, verdict in answered.rows if verdict is not None] + failed
