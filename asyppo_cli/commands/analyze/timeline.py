"""``asyppo analyze timeline``: the phases of sampler and trainer, side by side in time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asyppo_cli.commands.analyze.options import ALL_FORMATS, Formats, Names, Output, RunsDir, Width

EXAMPLES = """
asyppo analyze timeline                        the middle of the newest run

asyppo analyze timeline RUN --first 20 --count 3
"""

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def timeline(
    names: Names = None,
    first: Annotated[
        int | None, typer.Option("--first", help="First step shown; default: the middle.", show_default=False)
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Steps shown.")] = 4,
    runs_dir: RunsDir = Path("runs"),
    output: Output = None,
    formats: Formats = ALL_FORMATS,
    width: Width = None,
) -> None:
    """Who worked when: phases of a few steps as bars in time, and how much of the sampling was hidden by training."""
    from analysis.figures.style import save, save_text
    from analysis.metrics.timeline import draw_timeline, finding, read_timeline, timeline_csv
    from analysis.metrics.timeline import timeline as choose
    from asyppo_cli.commands.analyze.options import chosen_formats, chosen_runs, output_folder, print_findings

    kinds, runs = chosen_formats(formats), chosen_runs(names, runs_dir)
    findings, paths = [], []
    for run in runs:
        bars = read_timeline(run)
        last = max((bar.step for bar in bars), default=0)
        begin = max(1, (last - count) // 2 + 1) if first is None else first
        shown = choose(run.name, bars, range(begin, begin + count))
        stem = output_folder(output, [run]) / ("timeline" if output is None else f"timeline-{run.name}")
        paths += [
            *save(draw_timeline(shown), stem, kinds, width),
            save_text(stem.with_suffix(".csv"), timeline_csv(shown)),
        ]
        findings.append(finding(shown))
    print_findings(findings, paths)
