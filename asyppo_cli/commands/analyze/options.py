"""Options that the analyses share, and how they find their runs, choose a folder and print their findings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from analysis.figures.style import FORMATS
from asyppo_cli.commands.runs import complete_run
from asyppo_cli.runs.directory import RunDirectory, find_run, trials_of

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN",
        help="Runs, or how their names begin, or a sweep's folder for all its runs; default: the newest run.",
        show_default=False,
        autocompletion=complete_run,
    ),
]
RunsDir = Annotated[Path, typer.Option("--runs-dir", help="Folder of the runs.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Folder for what is written; default: figures/ of the run.", show_default=False
    ),
]
_STEPS = typer.Option(
    "--steps", help="Recorded steps: 40, or 10,20, or 10-60, or first, early, middle, late, last, all."
)
Steps = Annotated[str | None, _STEPS]
DefaultSteps = Annotated[str, _STEPS]
Formats = Annotated[str, typer.Option("--format", help="Formats of the figures, of png, svg and pdf.")]
ALL_FORMATS = ",".join(FORMATS)
Width = Annotated[
    float | None,
    typer.Option("--width", min=2.0, max=20.0, help="Width of the figures in inches; text keeps its size."),
]


def chosen_runs(names: Sequence[str] | None, runs_dir: Path) -> list[RunDirectory]:
    """The runs of those names (a name, its beginning, a path, or a sweep: all its runs), each once; else the newest.

    Raises:
        ValueError: one of them is not there.
    """
    if not names:
        return [find_run(runs_dir, None)]
    found = [run for name in names for run in _runs_of(name, runs_dir)]
    return list({run.path.resolve(): run for run in found}.values())


def _runs_of(name: str, runs_dir: Path) -> list[RunDirectory]:
    return trials_of(runs_dir, name) or [find_run(runs_dir, name)]


def output_folder(output: Path | None, runs: Sequence[RunDirectory]) -> Path:
    """Where an analysis of these runs writes: ``output``, or ``figures`` of the run, or beside several runs.

    Raises:
        ValueError: nothing can be written there.
    """
    folder = output or (runs[0].figures if len(runs) == 1 else runs[0].path.parent / "figures")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write to {folder}: {error.strerror}: choose another folder with --output") from error
    return folder


def chosen_formats(text: str) -> tuple[str, ...]:
    """The formats listed, in the order of :data:`FORMATS`.

    Raises:
        ValueError: one of them is not known.
    """
    typed = [word.strip().lower() for word in text.split(",") if word.strip()]
    for word in typed:
        if word not in FORMATS:
            raise ValueError(f"--format {word} is not known: choose of {', '.join(FORMATS)}")
    if not typed:
        raise ValueError(f"--format names no format: choose of {', '.join(FORMATS)}")
    return tuple(kind for kind in FORMATS if kind in typed)


def print_findings(findings: Iterable[str], paths: Sequence[Path]) -> None:
    """Print the findings, then the files: one line for files that differ by their ending only."""
    from asyppo_cli import console

    for finding in findings:
        console.paragraph(finding)
    stems: dict[Path, list[str]] = {}
    for path in paths:
        stems.setdefault(path.with_suffix(""), []).append(path.suffix.removeprefix("."))
    for stem, endings in stems.items():
        console.print(f"{stem}.{endings[0] if len(endings) == 1 else '{' + ','.join(endings) + '}'}", style="dim")


def folders_of(output: Path | None, runs: Sequence[RunDirectory]) -> list[Path]:
    """A folder for each run, for analyses of one run at a time: its ``figures``, or in ``output`` by its name.

    Raises:
        ValueError: nothing can be written there.
    """
    if output is None or len(runs) == 1:
        return [output_folder(output, [run]) for run in runs]
    return [output_folder(output / label, [run]) for run, label in zip(runs, labels_of(runs), strict=True)]


def labels_of(runs: Sequence[RunDirectory]) -> list[str]:
    """The runs' names; where two have the same, with the folder that they lie in."""
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return names
    return [f"{run.path.resolve().parent.name}-{run.name}" for run in runs]


def comparable(runs: Sequence[RunDirectory], steps: str) -> list[RunDirectory]:
    """Those of several runs that have records of the steps, and critics that can disagree; a warning for the others.

    Raises:
        ValueError: none has.
    """
    from analysis.tokens.table import choose_steps, require_disagreement
    from asyppo_cli import console

    fit, errors = [], []
    for run in runs:
        try:
            require_disagreement(run)
            choose_steps(run, steps)
            fit.append(run)
        except ValueError as error:
            errors.append(error)
    if not fit:
        raise errors[0]
    for reason in errors:
        console.warn(f"{reason}; left out")
    return fit


def show_runs(titles: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]]) -> None:
    """Numbers of several runs side by side, with their mean and its 95 % t interval."""
    from analysis.stats.seed_bootstrap import seed_mean
    from asyppo_cli import console
    from asyppo_cli.console import Column

    def mean(values: Sequence[float]) -> str:
        known = [value for value in values if math.isfinite(value)]
        at = seed_mean(known) if len(known) > 1 else None
        return "-" if at is None else f"{at.mean:.3f} ± {at.halfwidth:.3f}"

    console.heading("Runs side by side")
    shown = [[name, *(f"{value:.3f}" if math.isfinite(value) else "-" for value in values)] for name, values in rows]
    shown.append(["mean ± 95 %", *map(mean, zip(*(values for _, values in rows), strict=True))])
    console.table([Column("run", style="bold"), *(Column(title, "right") for title in titles)], shown)
