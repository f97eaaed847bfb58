"""Grade a file of responses as it is read: the memory does not grow with it, and what is graded is written."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from asyppo_cli import console
from asyppo_cli.tasks.data.jsonl import read_lines
from asyppo_cli.tasks.data.problem_files import answer_text
from asyppo_cli.tasks.grading.pool import GraderPool
from asyppo_cli.types import Problem, Verdict

# Rows graded at once: enough to keep the workers busy, few enough that little is lost on a sudden end.
_BATCH = 256
_PROGRESS_SECONDS = 5.0
_TEXT_FIELDS = ("problem", "response")


def grade_file(
    path: Path, output: Path | None, tolerance: float, workers: int, deadline: float, explain: bool = False
) -> Counter[str]:
    """Grade every row of ``path`` into ``output`` (stdout by default), in order; returns how many of each kind.

    All rows are checked before the first is graded. Raises ValueError for a row that cannot be graded, by its line, and
    for an output that is there already. What is graded when it is stopped stays.
    """
    checked = sum(1 for _ in read_rows(path))
    if output is not None and output.exists():
        raise ValueError(f"--output: {output} is there already: name another file, or remove it")
    counts: Counter[str] = Counter()
    began = time.monotonic()
    with ExitStack() as stack:
        pool = stack.enter_context(GraderPool(workers, deadline))
        out = stack.enter_context(output.open("w", encoding="utf-8")) if output is not None else sys.stdout
        try:
            _grade(read_rows(path), pool, tolerance, out, counts, checked, explain)
        except KeyboardInterrupt as error:
            kept = f"; they are in {output}" if output is not None else ""
            raise KeyboardInterrupt(f"stopped: {counts.total()} of {checked} rows are graded{kept}") from error
    console.note(f"{_summary(counts)}, {time.monotonic() - began:.1f} s")
    return counts


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file with a problem, an answer and a response each; ValueError, by line, for any other."""
    for place, row in read_lines(str(path), _TEXT_FIELDS, "FILE"):
        if answer_text(row.get("answer")) is None:
            fault = f'"answer" is {json.dumps(row["answer"])[:40]}' if "answer" in row else 'has no "answer"'
            raise ValueError(f"{place}: {fault}: it must be text, a number, or a list of them")
        yield row


def _grade(
    rows: Iterator[dict[str, Any]],
    pool: GraderPool,
    tolerance: float,
    out: TextIO,
    counts: Counter[str],
    all_rows: int,
    explain: bool,
) -> None:
    reported = time.monotonic()
    # Short first, so that a short file, and the first sign of life, need not wait for a full batch.
    for size in itertools.chain((16, 64), itertools.repeat(_BATCH)):
        batch = list(itertools.islice(rows, size))
        if not batch:
            return
        verdicts = pool.grade([_problem(row, tolerance) for row in batch], [row["response"] for row in batch])
        for row, verdict in zip(batch, verdicts, strict=True):
            out.write(json.dumps(_marked(row, verdict, explain)) + "\n")
            counts[verdict.kind] += 1
        out.flush()
        if time.monotonic() - reported >= _PROGRESS_SECONDS:
            reported = time.monotonic()
            console.note(f"{counts.total()} of {all_rows}: {counts['right'] / counts.total():.1%} right so far")


def _problem(row: Mapping[str, Any], tolerance: float) -> Problem:
    gold = answer_text(row["answer"])
    assert gold is not None
    return Problem(str(row.get("id", "")), row["problem"], gold, {"tolerance": tolerance} if tolerance else {})


def _marked(row: Mapping[str, Any], verdict: Verdict, explain: bool) -> dict[str, Any]:
    marked = {**row, "correct": verdict.kind == "right", "extracted": verdict.extracted, "verdict": verdict.kind}
    return marked | ({"reason": verdict.reason} if explain else {})


def _summary(counts: Counter[str]) -> str:
    others = ", ".join(f"{counts[kind]} {kind}" for kind in counts if kind != "right")
    share = f"{counts['right']} of {counts.total()} right ({counts['right'] / counts.total():.1%})"
    return f"{share}{f'; {others}' if others else ''}"
