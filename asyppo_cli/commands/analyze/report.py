"""``asyppo analyze report``: everything about one run or several on one page."""

from __future__ import annotations

from pathlib import Path

import typer

from asyppo_cli.commands.analyze import options

EXAMPLES = """Examples:

asyppo analyze report

asyppo analyze report RUN_A RUN_B

asyppo analyze report SWEEP --output pages
"""

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def report(
    runs: options.Names = None,
    runs_dir: options.RunsDir = Path("runs"),
    output: options.Output = None,
) -> None:
    """Write everything about runs as one page: outcome, warnings, curves, figures, responses worth reading."""
    from datetime import datetime
    from importlib.metadata import version

    chosen = options.chosen_runs(runs, runs_dir)
    folder = options.output_folder(output, chosen)
    from analysis.pages.html import save_page
    from analysis.run_report.diagnostics import diagnose
    from analysis.run_report.report import report as written
    from analysis.run_report.tables import outcome_sentence, read_files
    from asyppo_cli import console

    console.note("reading, drawing")
    path = save_page(folder / "report.html", written(chosen, datetime.now().astimezone(), version("asyppo")))
    for one in map(read_files, chosen):
        found = [f"{d.level}: {d.title}" for d in diagnose(one.metrics, one.config)]
        options.print_findings([f"{one.run.name}: {outcome_sentence(one)}", *found], [])
    options.print_findings([], [path])
