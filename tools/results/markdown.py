"""A finished study as a page in Markdown: question, verdict, tables, figures, machine, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.figures.style import save, save_text
from analysis.figures.units import unit_of, with_unit
from analysis.stats.wording import bare
from analysis.study.figures.curves import StudyCurves, draw_study_curves, study_curves, study_curves_csv
from analysis.study.figures.effects import draw_main_effects, main_effects
from analysis.study.findings import StudyAnswer
from analysis.study.record import settings_csv, trials_csv
from analysis.study.report import how_to_read
from analysis.study.reproduce import machines, sweep_commands
from analysis.study.tables import cell, markdown, seeds_table
from asyppo_cli.display.drawing import format_duration
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.listing import lookup, read_config


def write_results(answer: StudyAnswer, folder: Path, output: Path) -> Path:
    """Write ``NAME.md`` with its figures (SVG) and numbers (CSV) into ``output``; returns the page's path.

    Raises:
        ValueError: matplotlib is not installed, a file of a run is damaged, or the output cannot be written to.
    """
    study, name, first = answer.study, answer.study.name, answer.objectives[0]
    curves = study_curves(first.settings, folder, first.metric, answer.baseline)
    effect = main_effects(first.settings, first.objective, answer.baseline, study.paper)
    save(draw_main_effects(effect), output / name, ("svg",))
    if curves.curves:
        save(draw_study_curves(curves), output / f"{name}-curves", ("svg",))
        save_text(output / f"{name}-curves.csv", study_curves_csv(curves))
    save_text(output / f"{name}-settings.csv", settings_csv(answer))
    save_text(output / f"{name}-trials.csv", trials_csv(study))
    return save_text(output / f"{name}.md", "\n".join(document(answer, folder, curves)) + "\n")


def document(answer: StudyAnswer, folder: Path, curves: StudyCurves) -> list[str]:
    """The lines of the page."""
    study, first = answer.study, answer.objectives[0]
    runs = [run for trial in study.trials if (run := RunDirectory(folder / trial.name)).exists()]
    lines = [f"# {cell(study.question or study.name)}", "", f"**{cell(first.verdict)}**", ""]
    lines += [line for finding in answer.findings()[1:] for line in (cell(finding), "")]
    lines += [f"![{first.metric} of every setting]({study.name}.svg)", "", *introduction(runs, first.metric), ""]
    table, *more = answer.tables()
    lines += [*_section(table.title), *markdown(table), "", *_bullets(answer.differences())]
    if first.axes:
        lines += [*_section("Axes, averaged over the others"), *_bullets(answer.axis_differences())]
    lines += [how_to_read(answer, "[studies](../studies.md)"), ""]
    seeds = seeds_table(first.settings, first.objective)
    for one in more:
        lines += [*_section(one.title), *markdown(one), ""]
    if curves.curves:
        image = f"![{first.metric} by training step]({study.name}-curves.svg)"
        lines += [*_section("Learning curves"), image, "", *starting_line(curves), ""]
    lines += [*_section(seeds.title), *markdown(seeds), ""]
    files = [("settings", "one line a setting"), ("trials", "one line a run")]
    files += [("curves", "every point of the curves")] * bool(curves.curves)
    lines += ["Numbers: " + ", ".join(f"[{what}]({study.name}-{kind}.csv)" for kind, what in files) + ".", ""]
    commands = [*sweep_commands(answer), f"python -m tools.results.page runs/{study.name}"]
    lines += [*_section("How it was made"), "```", *commands, "```", ""]
    seconds = sum(trial.seconds or 0.0 for trial in study.trials)
    made = [f"{len(study.trials)} runs, {format_duration(seconds)} one after the other", *machines(runs)]
    return lines + _bullets(made)[:-1]


def _section(title: str) -> list[str]:
    return [f"## {cell(title)}", ""]


def _bullets(lines: Sequence[str]) -> list[str]:
    return [*(f"* {cell(line)}" for line in lines), ""] if lines else []


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
    """The first and the last mean of each setting."""
    ends = []
    for curve in curves.curves:
        first, last = (bare(curve.means[i].mean, curves.metric) for i in (0, -1))
        ends.append(f"{cell(curve.setting)} from {first} to {last} in {curve.steps[-1]} steps")
    return [with_unit("Means over seeds", curves.metric) + ": " + "; ".join(ends) + "."]
