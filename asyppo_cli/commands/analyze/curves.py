"""``asyppo analyze curves``: any metrics of several runs, seeds joined."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from asyppo_cli.commands.analyze import options

EXAMPLES = """Examples:

asyppo analyze curves

asyppo analyze curves SWEEP --metric accuracy,entropy --x tokens

asyppo analyze curves RUN_A RUN_B -m reward/mean --smooth none

asyppo analyze curves SWEEP --summary
"""


class Axis(StrEnum):
    """What runs along the horizontal axis."""

    STEP = "step"
    TOKENS = "tokens"
    SAMPLES = "samples"
    HOURS = "hours"


app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def curves(
    runs: options.Names = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", "-m", help="Metrics, or parts of their names; default: those that matter most."),
    ] = None,
    x: Annotated[Axis, typer.Option("--x", help="The horizontal axis.")] = Axis.STEP,
    smooth: Annotated[
        str, typer.Option("--smooth", help="paper (its appendix C.1), none, or the number of steps to average.")
    ] = "paper",
    summary: Annotated[
        bool, typer.Option("--summary", help="Bars of accuracy, seconds per step and peak memory instead.")
    ] = False,
    runs_dir: options.RunsDir = Path("runs"),
    output: options.Output = None,
    formats: options.Formats = options.ALL_FORMATS,
    width: options.Width = None,
) -> None:
    """Draw metrics of runs; those that differ by their seed only are joined into a mean with a 95 % interval."""
    from analysis.metrics.run_groups import group_by_setting
    from asyppo_cli import console

    chosen, kinds = options.chosen_runs(runs, runs_dir), options.chosen_formats(formats)
    groups = group_by_setting(chosen)
    for notice in (notice for group in groups for metrics in group.metrics.values() for notice in metrics.notices):
        console.warn(notice)
    stem = options.output_folder(output, chosen) / ("summary" if summary else "curves")
    from analysis.figures.style import save, save_text
    from analysis.metrics import curves
    from analysis.metrics import summary_bars as bars

    if summary:
        table = bars.summary_bars(groups)
        figure, csv, findings = bars.draw_summary(table, width), bars.summary_csv(table), bars.summary_findings(table)
    else:
        typed = [word.strip() for part in metric or [] for word in part.split(",")]
        data = curves.curves(groups, typed, x.value, smooth)
        figure, csv, findings = curves.draw_metrics(data, width), curves.curves_csv(data), curves.curves_findings(data)
    options.print_findings(findings, [*save(figure, stem, kinds, width), save_text(stem.with_suffix(".csv"), csv)])
