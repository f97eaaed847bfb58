"""``asyppo analyze wordcloud``: which tokens lose their advantage or entropy bonus, by word and by class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from asyppo_cli.commands.analyze import options

EXAMPLES = """Examples:

asyppo analyze wordcloud

asyppo analyze wordcloud RUN --steps all --gate entropy

asyppo analyze wordcloud RUN --no-classes --format svg
"""

app = typer.Typer(add_completion=False)


@app.command(epilog=EXAMPLES)
def wordcloud(
    runs: options.Names = None,
    runs_dir: options.RunsDir = Path("runs"),
    output: options.Output = None,
    steps: options.Steps = None,
    gate: Annotated[
        Literal["advantage", "entropy"], typer.Option(help="Masked advantages, or filtered entropy bonuses.")
    ] = "advantage",
    classes: Annotated[
        bool, typer.Option("--classes/--no-classes", help="Tag words: parts of speech, symbols, connectives.")
    ] = True,
    formats: options.Formats = options.ALL_FORMATS,
    width: options.Width = None,
) -> None:
    """Draw the 40 tokens that are masked most often, and tell what kinds of words they are.

    By count, and by rate against their own frequency. Without --steps: the initial stage, the first fifth of the
    recorded steps.
    """
    from analysis.tokens.table import choose_steps
    from analysis.wordcloud.write import cloud_findings, word_cloud, write_cloud
    from asyppo_cli import console

    chosen, kinds = options.chosen_runs(runs, runs_dir), options.chosen_formats(formats)
    for run in chosen:
        choose_steps(run, "all" if steps is None else steps)
    for run, folder in zip(chosen, options.folders_of(output, chosen), strict=True):
        data = word_cloud(run, steps, gate, classes)
        console.heading(run.name)
        options.print_findings(cloud_findings(data), write_cloud(data, folder, kinds, width))
