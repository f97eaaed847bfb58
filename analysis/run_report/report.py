"""A run report as one page: outcome, diagnoses, curves, configuration, figures, responses to read.

There is no script in it, so that it opens anywhere, prints, and can be sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

from analysis.metrics.run_groups import group_by_setting
from analysis.pages.html import joined, report_page, tag
from analysis.run_report.diagnostics import Diagnosis, diagnose
from analysis.run_report.figures import curves_section, record_figures
from analysis.run_report.samples import samples_section
from analysis.run_report.tables import (
    RunFiles,
    config_tables,
    differing_settings,
    last_numbers,
    outcome_sentence,
    outcome_table,
    read_files,
)
from asyppo_cli.runs.directory import RunDirectory

# Runs with figures and responses of their own; tables and curves hold all runs.
MAX_DETAILED = 3
MAX_NAMED = 4


def report(runs: Sequence[RunDirectory], now: datetime, version: str) -> str:
    """The report of at least one run as HTML.

    Raises:
        ValueError: a file is damaged, or two runs are the same setting and seed.
    """
    files = [read_files(run) for run in runs]
    title = files[0].run.name if len(files) == 1 else f"{len(files)} runs"
    sections = {"Outcome": _outcome(files), "What to look at": _diagnoses(files), "Curves": _curves(files)}
    if len(files) > 1:
        sections |= {"Settings that differ": differing_settings(files), "Last numbers": last_numbers(files)}
    note = f"{now:%d %B %Y, %H:%M}. Made by asyppo {version}."
    return report_page(f"Report: {title}", "Training report", title, note, sections | _details(files))


def _outcome(files: Sequence[RunFiles]) -> Markup:
    lead = [tag("p", outcome_sentence(files[0]), class_="lead")] if len(files) == 1 else []
    return joined(*lead, outcome_table(files))


def _diagnoses(files: Sequence[RunFiles]) -> Markup:
    """The diagnoses, equal ones of several runs together; or that there are none."""
    found: dict[tuple[str, str], list[tuple[str, Diagnosis]]] = {}
    for one in files:
        for diagnosis in diagnose(one.metrics, one.config):
            found.setdefault((diagnosis.level, diagnosis.title), []).append((one.run.name, diagnosis))
    cards = [
        _card(group, len(files)) for group in sorted(found.values(), key=lambda group: group[0][1].level == "note")
    ]
    notices = [(one, notice) for one in files for notice in one.metrics.notices]
    notices += [(one, f"ended with: {one.summary.message}") for one in files if one.summary.message]
    lines = [tag("p", f"{one.run.name}: {notice}", class_="muted") for one, notice in notices]
    fresh = all(one.summary.step == 0 for one in files)
    nothing = "No step is done yet." if fresh else "Nothing looks wrong in the numbers."
    return joined(*(cards or [tag("p", nothing)]), *lines)


def _card(group: Sequence[tuple[str, Diagnosis]], runs: int) -> Markup:
    """One diagnosis, of every run that has it."""
    diagnosis = group[0][1]
    many = f" ({len(group)} of {runs} runs)" if runs > 1 else ""
    words = [tag("p", f"{name}: {one.words}" if runs > 1 else one.words) for name, one in group[:MAX_NAMED]]
    if len(group) > MAX_NAMED:
        words.append(tag("p", "Likewise: ", ", ".join(name for name, _ in group[MAX_NAMED:]), "."))
    heading = tag("h4", tag("span", diagnosis.level, class_="level"), " ", diagnosis.title, many)
    advice = tag("p", diagnosis.advice, class_="advice")
    return tag("div", heading, *words, advice, class_=f"diagnosis {diagnosis.level}")


def _curves(files: Sequence[RunFiles]) -> Markup:
    trained = [one.run for one in files if any(row["step"] > 0 for row in one.metrics.rows)]
    if not trained:
        return tag("p", "No step is done yet.", class_="muted")
    return curves_section(group_by_setting(trained))


def _details(files: Sequence[RunFiles]) -> dict[str, Markup]:
    """The configuration, figures and responses of each run on its own."""
    if len(files) == 1:
        one = files[0]
        return {
            "What was run": config_tables(one),
            "Critics and gates": record_figures(one.run),
            "Responses worth reading": samples_section(one.run),
        }
    parts = {}
    for one in files[:MAX_DETAILED]:
        responses = [tag("h3", "Responses worth reading"), samples_section(one.run)]
        parts[one.run.name] = joined(config_tables(one), record_figures(one.run), *responses)
    left = [one.run.name for one in files[MAX_DETAILED:]]
    if left:
        note = f"Figures and responses of {len(left)} more runs are left out: asyppo analyze report {left[0]} has them."
        parts["The other runs"] = tag("p", note)
    return parts
