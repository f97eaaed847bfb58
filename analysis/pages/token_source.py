"""Reads the responses for a page: of training, or of probes, which are the same prompts at every recorded step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.pages.selection import Only, Order, choose, response_stats
from analysis.pages.token_page import StepResponses, step_responses
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.records import probed_steps, read_samples, read_table, recorded_steps, row_count, texts_of

_RANKED_BY = ("response_id", "prompt_id", "reward", "advantage", "value_std")
# A token takes some 100 bytes of a page; with more tokens a browser becomes slow.
MAX_TOKENS = 400_000


def training_readings(
    run: RunDirectory, step: int | None, prompt: str | None, order: Order, only: Only, limit: int
) -> list[StepResponses]:
    """Chosen responses of a recorded step (None: the last), or of ``prompt`` at every step that drew it.

    Raises:
        ValueError: nothing was recorded, not at this step, or nothing is left to choose.
    """
    steps = recorded_steps(run)
    if not steps:
        raise ValueError(f"run {run.name} has no token records: train with records.every=N")
    if step is None and prompt is not None:
        steps = [s for s in steps if prompt in _prompts(run.records(s))]
        if not steps:
            raise ValueError(f"prompt {prompt!r} is in no recorded step of run {run.name}")
    else:
        steps = [steps[-1] if step is None else nearest(step, steps, "recorded", run.name)]
    return _read(run, run.records, steps, prompt, order, only, limit)


def probe_readings(
    run: RunDirectory, prompt: str | None, only: Only, limit: int, step: int | None = None
) -> list[StepResponses]:
    """Responses to the probes at every step they were recorded, or as many as a page can hold, ``step`` among them.

    Raises:
        ValueError: there are none, or none of ``step``.
    """
    steps = probed_steps(run)
    if not steps:
        raise ValueError(f"run {run.name} has no probes: train with records.probes=4, or choose --of training")
    wanted = {steps[-1] if step is None else nearest(step, steps, "recorded for probes", run.name)}
    tokens = sum(row_count(run.probes(step)) for step in steps)
    room = len(steps) * MAX_TOKENS // max(tokens, 1) - len(wanted - {steps[0], steps[-1]})
    fitting = thinned(steps, max(2, room))
    return _read(run, run.probes, sorted({*fitting, *wanted}), prompt, "first", only, limit)


def thinned(steps: Sequence[int], most: int) -> list[int]:
    """At most that many of the steps (two or more), evenly spread, the first and the last among them."""
    if len(steps) <= most:
        return list(steps)
    return [steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)]


def nearest(step: int, steps: Sequence[int], what: str, name: str) -> int:
    """The step itself; ValueError with the nearest one if it is not among ``steps``."""
    if step not in steps:
        near = min(steps, key=lambda s: (abs(s - step), s))
        raise ValueError(f"step {step} of run {name} was not {what}; the nearest is {near}")
    return step


def _read(
    run: RunDirectory,
    path: Callable[[int], Path],
    steps: Sequence[int],
    prompt: str | None,
    order: Order,
    only: Only,
    limit: int,
) -> list[StepResponses]:
    """Rank by few columns, then read the chosen responses alone: a step may hold millions of tokens."""
    found: list[StepResponses] = []
    left, refused = MAX_TOKENS, None
    for step in steps:
        stats = response_stats(read_table(path(step), columns=_RANKED_BY))
        try:
            rows = choose(stats, order, only, prompt, limit)
        except ValueError as error:
            refused = error  # Not at this step; another may have some.
            continue
        lengths = (stats.stops - stats.starts)[rows].cumsum()
        ids = [int(stats.ids[row]) for row, length in zip(rows, lengths, strict=True) if length <= left]
        # A single response is shown, however long.
        ids = ids or ([int(stats.ids[rows[0]])] if not found else [])
        if not ids:
            break
        left -= int(lengths[len(ids) - 1])
        table = read_table(path(step), responses=ids)
        places = {int(i): place for place, i in enumerate(response_stats(table).ids)}
        known = {} if texts_of(table).prompts else sampled_prompts(run)
        found.append(step_responses(step, table, [places[i] for i in ids], known, len(rows) - len(ids)))
    if not found and refused is not None:
        raise refused
    return found


def _prompts(path: Path) -> set[str]:
    return set(read_table(path, columns=["prompt_id"])["prompt_id"].unique().to_pylist())


def sampled_prompts(run: RunDirectory) -> Mapping[str, Mapping[str, Any]]:
    """Questions and gold answers by prompt id, as far as the readable samples hold them."""
    steps = [int(path.stem.removeprefix("step-")) for path in sorted(run.samples_folder.glob("step-*.jsonl"))]
    rows = [row for step in steps for row in read_samples(run, step)]
    return {str(row.get("prompt_id")): {"problem": row.get("problem"), "answer": row.get("answer")} for row in rows}
