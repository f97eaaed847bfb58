"""``asyppo runs``: list, show and compare the runs on this disk."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import typer

from asyppo_cli import console
from asyppo_cli.console import Cell, Column, Content
from asyppo_cli.display.board import Board, Row
from asyppo_cli.display.drawing import (
    ASCII_BLOCKS,
    BLOCKS,
    format_change,
    format_duration,
    format_value,
    sparkline,
)
from asyppo_cli.display.run_board import training_board
from asyppo_cli.display.run_list import STATE_STYLES, join_trials, print_runs
from asyppo_cli.keys import did_you_mean
from asyppo_cli.runs import listing
from asyppo_cli.runs.checkpoints import best_checkpoint, checkpoints
from asyppo_cli.runs.directory import RunDirectory, all_runs, find_run, name_in, trials_of
from asyppo_cli.runs.lineage import read_lineage
from asyppo_cli.runs.listing import RunSummary
from asyppo_cli.runs.metric_log import MetricRows, read_metrics
from asyppo_cli.runs.records import read_samples

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List, show and compare runs.")

SPARK_WIDTH = 24


def complete_run(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of runs that begin with what is typed, for the shell; of a study's trials once its name is typed."""
    folder = Path(ctx.params.get("runs_dir") or "runs")
    names = [name_in(folder, run) for run in all_runs(folder) if name_in(folder, run).startswith(incomplete)]
    if "/" not in incomplete:
        names = [name.partition("/")[0] + "/" * ("/" in name) for name in names]
    return list(dict.fromkeys(names))


RunsDir = Annotated[Path, typer.Option("--runs-dir", help="Folder of the runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
All = Annotated[bool, typer.Option("--all", help="Every metric, not only those that matter most.")]
EPILOG = "Examples:\n\n"


@app.command(
    "ls", epilog=EPILOG + "asyppo runs ls\n\nasyppo runs ls critic_count --state failed\n\nasyppo runs ls --json"
)
def list_command(
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Only runs whose name holds this (* and ? stand for any characters), the trials of a study included.",
            show_default=False,
        ),
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    state: Annotated[
        str | None, typer.Option(help="Only runs in this state: running, finished, interrupted or failed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List runs and studies, the one last trained first."""
    if state is not None and state not in STATE_STYLES:
        raise ValueError(f"--state {state}: {did_you_mean(state, STATE_STYLES)}")
    found, notices = listing.list_runs(runs_dir)
    for notice in notices:
        console.warn(notice)
    chosen = [run for run in found if fnmatchcase(run.name, f"*{pattern or ''}*") and state in (None, run.state)]
    if as_json:
        _print_json([_summary_data(run) for run in chosen])
    elif chosen:
        print_runs(chosen if pattern or state else join_trials(chosen))
    elif found:
        console.print(f"None of {len(found)} runs in {runs_dir}/ is like that.")
    else:
        console.print(f"There is no run in {runs_dir}/ yet: start one with asyppo train.")


@app.command("show", epilog=EPILOG + "asyppo runs show\n\nasyppo runs show 2026-11-23_14-05 --all")
def show_command(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Run, STUDY/TRIAL, how its name begins, or its folder; a study: its trials; default: the last run.",
            autocompletion=complete_run,
        ),
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    every: All = False,
    samples: Annotated[int, typer.Option(min=0, help="Samples of the last step to show.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Show a run: how it stands, its numbers and curves, its checkpoints, what the model wrote last."""
    if name and (trials := trials_of(runs_dir, name)):
        summaries = [replace(listing.summarise(trial), name=name_in(runs_dir, trial)) for trial in trials]
        if as_json:
            _print_json([_summary_data(trial) for trial in summaries])
        else:
            print_runs(summaries)
        return
    run = find_run(runs_dir, name)
    if as_json:
        _print_json(_run_data(run))
        return
    metrics = read_metrics(run.metrics)
    for notice in metrics.notices:
        console.warn(notice)
    config = listing.read_config(run)
    _print_head(run, config)
    _print_metrics(metrics, _board(config, metrics, every))
    _print_checkpoints(run)
    _print_samples(read_samples(run)[:samples])


@app.command("diff", epilog=EPILOG + "asyppo runs diff asyppo-1 grpo-1")
def diff_command(
    first: Annotated[str, typer.Argument(help="Run A, or how its name begins.", autocompletion=complete_run)],
    second: Annotated[str, typer.Argument(help="Run B, likewise.", autocompletion=complete_run)],
    runs_dir: RunsDir = Path("runs"),
    every: All = False,
) -> None:
    """Compare two runs: settings that differ, then their last numbers side by side."""
    a, b = find_run(runs_dir, first), find_run(runs_dir, second)
    configs = listing.read_config(a), listing.read_config(b)
    metrics = read_metrics(a.metrics), read_metrics(b.metrics)
    console.pairs([(mark, _with_lineage(run)) for mark, run in (("A", a), ("B", b))])
    _print_config_diff(*configs)
    boards = _board(configs[0], metrics[0], every), _board(configs[1], metrics[1], every)
    _print_metric_diff(_last_values(metrics[0], boards[0]), _last_values(metrics[1], boards[1]))


def _with_lineage(run: RunDirectory) -> str:
    """The run's name, and where it comes from."""
    lineage = read_lineage(run)
    return run.name if lineage is None else f"{run.name} ({lineage})"


def _print_head(run: RunDirectory, config: dict[str, Any]) -> None:
    summary = listing.summarise(run)
    console.print(run.name, style="bold")
    rows: list[tuple[str, Content]] = [
        ("state", Cell(summary.state, STATE_STYLES[summary.state])),
        *([("why", summary.message)] if summary.message else []),
        ("step", f"{summary.step} of {summary.max_steps} in {format_duration(summary.seconds)}"),
        ("last active", f"{summary.active:%Y-%m-%d %H:%M}"),
        ("folder", str(run.path)),
        ("method", summary.algorithm),
        *([("lineage", str(summary.lineage))] if summary.lineage else []),
    ]
    console.pairs([*rows, *_highlights(config)])


def _highlights(config: dict[str, Any]) -> list[tuple[str, Content]]:
    """The settings one asks for first."""

    def setting(key: str) -> str:
        return str(listing.lookup(config, key, "-"))

    gates = f"{setting('gates.mask_pct')} of advantages, {setting('gates.entropy_filter_pct')} of entropy bonuses"
    return [
        ("task", setting("task.name")),
        ("policy", setting("policy.model")),
        ("rollout", f"{setting('rollout.prompts')} prompts x {setting('rollout.responses')} responses"),
        ("masked", gates),
        ("updates", f"{setting('training.utd')} per sample"),
        ("seed", setting("seed")),
    ]


def _board(config: dict[str, Any], metrics: MetricRows, every: bool) -> Board:
    """The rows of the live display, or one for every metric there is."""
    board = training_board(listing.whole_number(config, "critics.count"))
    if not every:
        return board
    labels = list(dict.fromkeys(name for row in metrics.rows for name in row if name != "step"))
    return Board(tuple(Row(name, (name,), "number") for name in labels), board.phases, board.step_time)


def _print_metrics(metrics: MetricRows, board: Board) -> None:
    console.heading("Numbers")
    blocks = BLOCKS if console.shows_unicode() else ASCII_BLOCKS
    table: list[list[Content]] = []
    for row in board.rows:
        values = [value for value in map(row.value, metrics.rows) if value is not None]
        if values:
            shown = [format_value(value, row.kind) for value in (values[0], values[-1])]
            best = _best(row, values)
            table.append([row.label, *shown, best, Cell(sparkline(values, SPARK_WIDTH, blocks), "cyan")])
    columns = [Column("", style="dim"), *(Column(title, "right") for title in ("first", "last", "best")), Column("")]
    if table:
        console.table(columns, table)
    else:
        console.print("No step is done yet.")


def _best(row: Row, values: list[float]) -> str:
    """The best value where a direction is hoped for."""
    if row.better is None:
        return ""
    return format_value(max(values) if row.better == "high" else min(values), row.kind)


def _print_checkpoints(run: RunDirectory) -> None:
    found = checkpoints(run.checkpoints)
    console.heading("Checkpoints")
    if not found:
        console.print("None is complete yet.")
        return
    best = best_checkpoint(found)
    rows: list[list[Content]] = []
    for checkpoint in found:
        marks = ["newest"] if checkpoint is found[-1] else []
        marks += ["best"] if best is not None and checkpoint.step == best.step else []
        damage = checkpoint.damage(thorough=False)
        mark = Cell(f"damaged: {damage}", "red") if damage else Cell(", ".join(marks), "green")
        size = format_value(checkpoint.size, "bytes")
        rows.append([str(checkpoint.step), format_value(checkpoint.metric, "percent"), size, mark])
    console.table([Column(title, "right") for title in ("step", "accuracy", "size")] + [Column("")], rows)


def _print_samples(samples: list[dict[str, Any]]) -> None:
    if not samples:
        return
    console.heading(f"What the model wrote at step {samples[0].get('step', '?')}")
    for sample in samples:
        right = sample.get("verdict") == "right"
        length = f"{sample.get('length', '?')} tokens" + (", cut off" if sample.get("truncated") else "")
        verdict = f"{sample.get('verdict', '?')}, answer {sample.get('answer', '?')}, {length}"
        lines: list[Content] = [Cell(str(sample.get("problem", "")), "dim"), str(sample.get("response", ""))]
        console.panel(str(sample.get("prompt_id", "")), lines, "green" if right else "yellow", verdict)


def _print_config_diff(first: dict[str, Any], second: dict[str, Any]) -> None:
    console.heading("Settings that differ")
    differing = listing.diff_configs(first, second)
    if not differing:
        console.print("None: the configurations are the same.")
        return
    columns = [Column("", style="dim"), Column("A", wrap=True), Column("B", wrap=True)]
    console.table(columns, [[key, *map(_setting, values)] for key, values in differing.items()])


def _setting(value: Any) -> str:
    return "-" if value is listing.MISSING else "null" if value is None else str(value)


def _last_values(metrics: MetricRows, board: Board) -> dict[str, tuple[Row, float]]:
    """The last value of each row that has one, by label (critics may differ in number, so rows do too)."""
    found = {}
    for row in board.rows:
        value = next((value for value in map(row.value, reversed(metrics.rows)) if value is not None), None)
        if value is not None:
            found[row.label] = row, value
    return found


def _print_metric_diff(first: dict[str, tuple[Row, float]], second: dict[str, tuple[Row, float]]) -> None:
    console.heading("Last numbers")
    table: list[list[Content]] = []
    for label in dict.fromkeys([*first, *second]):
        row = (first.get(label) or second[label])[0]
        a, b = (values[label][1] if label in values else math.nan for values in (first, second))
        table.append([label, format_value(a, row.kind), format_value(b, row.kind), _difference(row, a, b)])
    console.table([Column("", style="dim"), *(Column(title, "right") for title in ("A", "B", "B - A"))], table)


def _difference(row: Row, a: float, b: float) -> Cell:
    """Green where B is better."""
    text = format_change(b - a, row.kind)
    if row.better is None or not text.strip("+-0. KMGiB"):
        return Cell(text)
    return Cell(text, "green" if (b > a) == (row.better == "high") else "red")


def _summary_data(run: RunSummary) -> dict[str, Any]:
    return {**asdict(run), "active": run.active.isoformat()}


def _run_data(run: RunDirectory) -> dict[str, Any]:
    metrics = read_metrics(run.metrics)
    found = checkpoints(run.checkpoints)
    best = best_checkpoint(found)
    return {
        **_summary_data(listing.summarise(run)),
        "folder": str(run.path),
        "config": listing.read_config(run),
        "metrics": {
            name: {"first": series[0], "last": series[-1], "lowest": min(series), "highest": max(series)}
            for name in dict.fromkeys(name for row in metrics.rows for name in row)
            if (series := metrics.series(name))
        },
        "checkpoints": [
            {"step": c.step, "metric": c.metric, "bytes": c.size, "best": best is not None and c.step == best.step}
            for c in found
        ],
        "samples": read_samples(run),
    }


def _print_json(data: Any) -> None:
    sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")
