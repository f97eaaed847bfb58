"""``asyppo analyze value-std``: where the critics disagree, and whether it means error."""

from __future__ import annotations

from pathlib import Path

import typer

from asyppo_cli.commands.analyze import options

EXAMPLES = """Examples:

asyppo analyze value-std

asyppo analyze value-std RUN --steps late --output figures

asyppo analyze value-std SWEEP
"""

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def value_std(
    runs: options.Names = None,
    runs_dir: options.RunsDir = Path("runs"),
    output: options.Output = None,
    steps: options.DefaultSteps = "all",
    formats: options.Formats = options.ALL_FORMATS,
    width: options.Width = None,
) -> None:
    """Show where the critics disagree, and whether it means error.

    Over training, along the response, by token, by outcome; the critics against each other and against the outcomes;
    disagreement against value error and against entropy.
    """
    from analysis.tokens.std_summary import std_findings, write_std
    from analysis.tokens.std_summary import value_std as analysed
    from asyppo_cli import console

    kinds = options.chosen_formats(formats)
    chosen = options.comparable(options.chosen_runs(runs, runs_dir), steps)
    labels, rows = options.labels_of(chosen), []
    for run, label, folder in zip(chosen, labels, options.folders_of(output, chosen), strict=True):
        data = analysed(run, steps)
        console.heading(label)
        options.print_findings(std_findings(data), write_std(data, folder, kinds, width))
        overlap, explained = data.meaning.overlap_at(0.05), data.agreement.reliability[-1].explained
        rows.append((label, [data.meaning.spearman.value, overlap.value, explained.value]))
    if len(rows) > 1:
        options.show_runs(["ρ(σ, error)", "overlap at 5 %", "explained variance, late"], rows)
