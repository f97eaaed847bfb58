"""``asyppo analyze quadrant``: disagreement against gradient, state by state."""

from __future__ import annotations

from pathlib import Path

import typer

from asyppo_cli.commands.analyze import options

EXAMPLES = """Examples:

asyppo analyze quadrant

asyppo analyze quadrant RUN --steps last

asyppo analyze quadrant RUN_A RUN_B --steps 20-60 --format svg
"""

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def quadrant(
    runs: options.Names = None,
    runs_dir: options.RunsDir = Path("runs"),
    output: options.Output = None,
    steps: options.DefaultSteps = "middle",
    formats: options.Formats = options.ALL_FORMATS,
    width: options.Width = None,
) -> None:
    """Show whether states where the critics disagree have large gradients.

    Every state of the step in the middle of training (or of --steps), split at both medians into four cells; the
    association as a number, with its interval over responses and what independence would give.
    """
    from analysis.figures.style import save, save_text
    from analysis.tokens.quadrant import cells_csv, quadrant_density_csv, quadrant_finding
    from analysis.tokens.quadrant import quadrant as analysed
    from analysis.tokens.quadrant_figure import draw_quadrant
    from asyppo_cli import console

    kinds = options.chosen_formats(formats)
    chosen = options.comparable(options.chosen_runs(runs, runs_dir), steps)
    labels, rows = options.labels_of(chosen), []
    for run, label, folder in zip(chosen, labels, options.folders_of(output, chosen), strict=True):
        data = analysed(run, steps)
        paths = save(draw_quadrant(data), folder / "quadrant", kinds, width)
        paths.append(save_text(folder / "quadrant.csv", cells_csv(data)))
        paths.append(save_text(folder / "quadrant-density.csv", quadrant_density_csv(data)))
        console.heading(label)
        options.print_findings(quadrant_finding(data), paths)
        rows.append((label, [data.concordant.value, data.independent, data.phi.value]))
    if len(rows) > 1:
        options.show_runs(["in the like cells", "independent", "φ"], rows)
