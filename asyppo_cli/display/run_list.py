"""The table of runs and studies."""

from __future__ import annotations

from collections.abc import Sequence

from asyppo_cli import console
from asyppo_cli.console import Cell, Column, Content
from asyppo_cli.display.drawing import format_duration, format_value
from asyppo_cli.runs.listing import RunSummary

STATE_STYLES = {"running": "cyan", "finished": "green", "interrupted": "yellow", "failed": "red"}
# Below this width the table keeps only what a run's name does not say.
FULL_LIST_FROM = 110


def join_trials(runs: list[RunSummary]) -> list[RunSummary | list[RunSummary]]:
    """The trials of each study as one entry, in the place of the one last trained."""
    entries: dict[str, RunSummary | list[RunSummary]] = {}
    for run in runs:
        study, slash, _ = run.name.partition("/")
        if not slash:
            entries[run.name] = run
        else:
            trials = entries.setdefault(f"{study}/", [])
            assert isinstance(trials, list)
            trials.append(run)
    return list(entries.values())


def print_runs(entries: Sequence[RunSummary | list[RunSummary]]) -> None:
    """A table with a row for each run and each study."""
    full = console.width() >= FULL_LIST_FROM
    columns = [Column("run", style="bold"), Column("state"), Column("step", "right"), Column("accuracy", "right")]
    columns += [Column("time", "right")] + ([Column("method"), Column("last active")] if full else [])
    rows = []
    for entry in entries:
        row = _study_row(entry) if isinstance(entry, list) else _run_row(entry)
        rows.append(row if full else row[:5])
    parents = [_parents(entry if isinstance(entry, list) else [entry]) for entry in entries]
    if any(parents):
        columns.append(Column("from", style="dim"))
        rows = [[*row, parent] for row, parent in zip(rows, parents, strict=True)]
    console.table(columns, rows)


def _parents(runs: list[RunSummary]) -> str:
    """As in ``RUN@STEP``, of all runs; a replay is marked."""
    found = [run.lineage for run in runs if run.lineage is not None]
    marks = [f"{'replay ' if origin.kind == 'replay' else ''}{origin.run}@{origin.step}" for origin in found]
    return ", ".join(dict.fromkeys(marks))


def _run_row(run: RunSummary) -> list[Content]:
    state = Cell(run.state, STATE_STYLES[run.state])
    row: list[Content] = [run.name, state, f"{run.step}/{run.max_steps}", _accuracy(run), format_duration(run.seconds)]
    return [*row, run.algorithm, f"{run.active:%Y-%m-%d %H:%M}"]


def _study_row(trials: list[RunSummary]) -> list[Content]:
    """A study in one row: the first state of :data:`STATE_STYLES` that one of its trials is in, its best accuracy."""
    states = [run.state for run in trials]
    state = next(state for state in STATE_STYLES if state in states and (state != "finished" or set(states) == {state}))
    best = max((run.accuracy_last for run in trials if run.accuracy_last is not None), default=None)
    done = f"{states.count('finished')}/{len(trials)} runs"
    time = format_duration(sum(run.seconds for run in trials))
    accuracy = "-" if best is None else f"best {format_value(best, 'percent')}"
    row: list[Content] = [
        f"{trials[0].name.partition('/')[0]}/",
        Cell(state, STATE_STYLES[state]),
        done,
        accuracy,
        time,
    ]
    return [*row, "study", f"{trials[0].active:%Y-%m-%d %H:%M}"]


def _accuracy(run: RunSummary) -> str:
    """From the first evaluation to the last."""
    first, last = (format_value(value, "percent") for value in (run.accuracy_first, run.accuracy_last))
    return f"{first.removesuffix(' %')} → {last}"
