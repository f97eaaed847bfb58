"""What came out of a run, in a few numbers, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from asyppo_cli.console import command
from asyppo_cli.display.summary import Summary
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.listing import summarise
from asyppo_cli.runs.metric_log import read_metrics


def run_outcome(run: RunDirectory) -> Summary:
    """The summary that a run ends with. Tokens are those of prompts and responses that were trained on."""
    facts, metrics = summarise(run), read_metrics(run.metrics)
    halfwidths = metrics.series(names.ACCURACY_HALFWIDTH)
    tokens = sum(
        row[names.TOKENS_PER_SECOND] * row[names.STEP_TIME]
        for row in metrics.rows
        if math.isfinite(row.get(names.TOKENS_PER_SECOND, math.nan))
    )
    return Summary(
        title=run.name,
        steps=facts.step,
        max_steps=facts.max_steps,
        before=facts.accuracy_first,
        after=facts.accuracy_last if len(metrics.series(names.ACCURACY)) > 1 else None,
        before_halfwidth=halfwidths[0] if halfwidths else None,
        after_halfwidth=halfwidths[-1] if halfwidths else None,
        best=facts.accuracy_best,
        seconds=facts.seconds,
        tokens=round(tokens),
        place=f"{run.path}/",
        commands=next_commands(run, facts.step >= facts.max_steps),
    )


def next_commands(run: RunDirectory, finished: bool) -> Sequence[tuple[str, str]]:
    """What to do next, as commands that work where the run was started."""
    where = [] if run.path.parent == Path("runs") else ["--runs-dir", str(run.path.parent)]
    show = (command("runs", "show", run.name, *where), "its metrics and samples")
    if not finished:
        return [(command("train", "--resume", "--name", run.name, *where), "go on where it stopped"), show]
    return [
        show,
        (command("train", "algorithm=grpo", *where), "a baseline without critics"),
        (command("runs", "ls", *where), "all runs"),
    ]
