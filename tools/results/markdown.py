"""A finished study as a page in Markdown: question, verdict, tables, figures, machine, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.figures.style import save, save_text
from analysis.metrics.curves import unit_of
from analysis.study.commands import sweep_commands
from analysis.study.figures.curves import StudyCurves, draw_study_curves, study_curves, study_curves_csv
from analysis.study.figures.effects import draw_main_effects, main_effects
from analysis.study.findings import StudyAnswer
from analysis.study.notes import how_to_read
from analysis.study.reproduce import machines
from analysis.study.tables import cell, markdown, seeds_table, settings_csv, trials_csv
from analysis.study.wording import bare
from asyppo_cli.display.drawing import format_duration
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.listing import lookup, read_config


def write_results(found: StudyAnswer, folder: Path, output: Path) -> Path:
    """Write ``NAME.md`` with its figures (SVG) and numbers (CSV) into ``output``; returns the page's path.

    Raises:
        ValueError: matplotlib is not installed, a file of a run is damaged, or the output cannot be written to.
    """
    study, name = found.study, found.study.name
    objective = study.objectives[0]
    curves = study_curves(found.settings, folder, objective.metric, found.baseline)
    effect = main_effects(found.settings, 0, objective, found.baseline, study.paper)
    save(draw_main_effects(effect), output / name, ("svg",))
    if curves.curves:
        save(draw_study_curves(curves), output / f"{name}-curves", ("svg",))
        save_text(output / f"{name}-curves.csv", study_curves_csv(curves))
    save_text(output / f"{name}-settings.csv", settings_csv(found.settings, found.effects, study.objectives))
    save_text(output / f"{name}-trials.csv", trials_csv(study))
    return save_text(output / f"{name}.md", "\n".join(document(found, folder, curves)) + "\n")


def document(found: StudyAnswer, folder: Path, curves: StudyCurves) -> list[str]:
    """The lines of the page."""
    study, objective = found.study, found.study.objectives[0]
    runs = [run for trial in study.trials if (run := RunDirectory(folder / trial.name)).exists()]
    lines = [f"# {cell(study.question or study.name)}", "", f"**{cell(found.verdicts[0])}**", ""]
    lines += [line for said in found.findings()[1:] for line in (cell(said), "")]
    lines += [
        f"![{objective.metric} of every setting]({study.name}.svg)",
        "",
        *introduction(runs, objective.metric),
        "",
    ]
    first, *more = found.tables()
    lines += [f"## {cell(first.title)}", "", *markdown(first), ""]
    lines += [*("* " + cell(sentence) for sentence in found.differences()), ""] * any(found.effects)
    if any(found.axes):
        lines += ["## Axes, averaged over the others", ""]
        lines += [*("* " + cell(sentence) for sentence in found.axis_differences()), ""]
    lines += [how_to_read(found, "[studies](../studies.md)"), ""]
    for table in more:
        lines += [f"## {cell(table.title)}", "", *markdown(table), ""]
    if curves.curves:
        lines += ["## Learning curves", "", f"![{objective.metric} by training step]({study.name}-curves.svg)", ""]
        lines += [*starting_line(curves), ""]
    seeds = seeds_table(found.settings, 0, objective)
    lines += [f"## {cell(seeds.title)}", "", *markdown(seeds), ""]
    files = [("settings", "one line a setting"), ("trials", "one line a run")]
    files += [("curves", "every point of the curves")] * bool(curves.curves)
    lines += ["Numbers: " + ", ".join(f"[{what}]({study.name}-{kind}.csv)" for kind, what in files) + ".", ""]
    lines += ["## How it was made", "", "```", *commands(found), "```", ""]
    seconds = sum(trial.seconds or 0.0 for trial in study.trials)
    return [*lines, f"* {len(study.trials)} runs, {format_duration(seconds)} one after the other", *made_on(runs)]


def made_on(runs: Sequence[RunDirectory]) -> list[str]:
    """Machine, versions and commit."""
    return [f"* {cell(line)}" for line in machines(runs)]


def introduction(runs: Sequence[RunDirectory], metric: str) -> list[str]:
    """What was trained, and how exact one number is by itself, from the runs' configurations."""
    configs = [read_config(run) for run in runs]
    if not configs:
        return []
    parts = [f"Task {_all(configs, 'task.name')}, policy {_all(configs, 'policy.model')}"]
    parts += [f"{_all(configs, 'rollout.prompts')} prompts x {_all(configs, 'rollout.responses')} responses a step"]
    parts += [f"{_all(configs, 'max_steps')} steps"]
    text = ", ".join(parts) + "."
    problems = [lookup(config, "evaluation.problems", 0) for config in configs]
    if unit_of(metric).sign == "%" and min(problems):
        most = 100 * 1.96 * 0.5 / min(problems) ** 0.5
        text += f" Accuracy is measured on {_all(configs, 'evaluation.problems')} held-out problems at temperature "
        text += f"{_all(configs, 'evaluation.temperature')}; one such number is exact to ± {most:.1f} points at worst."
    return [text]


def _all(configs: Sequence[Mapping[str, Any]], key: str) -> str:
    """The value of a key in all configurations, or all its values."""
    values = dict.fromkeys(str(lookup(config, key, "?")) for config in configs)
    return " or ".join(f"`{value}`" for value in values)


def starting_line(curves: StudyCurves) -> list[str]:
    """Where each setting began and ended, in one list."""
    said = []
    for curve in curves.curves:
        first, last = curve.means[0].mean, curve.means[-1].mean
        ends = f"{bare(first, curves.metric)} to {bare(last, curves.metric)}"
        said.append(f"{cell(curve.setting)} from {ends} in {curve.steps[-1]} steps")
    sign = unit_of(curves.metric).sign
    return [f"Means over seeds{f' ({sign})' if sign else ''}: " + "; ".join(said) + "."]


def commands(found: StudyAnswer) -> list[str]:
    """The sweep that makes the runs again, and what wrote this page."""
    return [*sweep_commands(found.study, found.settings), f"python -m tools.results.page runs/{found.study.name}"]
