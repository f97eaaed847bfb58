"""The figures of a report with their findings; a figure that cannot be drawn is replaced by the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from analysis.metrics.curves import curves, curves_findings, draw_metrics
from analysis.metrics.run_groups import DEFAULTS, RunGroup
from analysis.metrics.summary_bars import draw_summary, summary_bars, summary_findings
from analysis.pages.html import joined, picture, tag
from analysis.pages.token_source import thinned
from analysis.tokens import std_profiles
from analysis.tokens.quadrant import quadrant, quadrant_finding
from analysis.tokens.quadrant_figure import draw_quadrant
from analysis.tokens.table import load, require_disagreement
from analysis.wordcloud.counts import initial_steps
from analysis.wordcloud.write import cloud_findings, draw_cloud, word_cloud
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.records import recorded_steps

CURVES = (*DEFAULTS, names.TRUNCATED, names.KL, names.STEP_TIME)
# Enough steps to see a course; reading all of a long run would take minutes.
MAX_STEPS, MAX_INITIAL = 24, 6


def curves_section(groups: Sequence[RunGroup]) -> Markup:
    """Curves of the main metrics, seeds joined; for several settings the summary bars before them."""
    every = [row for group in groups for found in group.metrics.values() for row in found.rows]
    # What is zero throughout (a KL term that is off) needs no panel.
    known = {name for row in every for name, value in row.items() if value}
    data = curves(groups, [name for name in CURVES if name in known], "step", "paper")
    shown = {metric: panel for metric, panel in data.panels.items() if panel}
    parts = []
    if len(groups) > 1:
        bars = summary_bars(groups)
        drawn = picture(draw_summary(bars), "accuracy, time and memory")
        parts.append(_figure(drawn, summary_findings(bars), "bleed"))
    drawn = picture(draw_metrics(data), f"curves of {', '.join(shown)}")
    parts.append(_figure(drawn, [], "bleed"))
    if len(groups) > 1:
        said = (tag("p", line) for line in curves_findings(data))
        parts.append(tag("details", tag("summary", "The last values, and their differences"), *said))
    return joined(*parts)


def record_figures(run: RunDirectory) -> Markup:
    """Disagreement over training, the quadrant and the word cloud, as far as the run's records give them."""
    if not recorded_steps(run):
        return tag("p", "There are no token records: train with records.every=N for these figures.", class_="muted")
    makers: dict[str, Callable[[RunDirectory], Markup]] = {
        "Disagreement over training": _disagreement,
        "Disagreement against gradient": _quadrant,
        "Which tokens are masked": _words,
    }
    parts = []
    for title, make in makers.items():
        try:
            drawn = make(run)
        except ValueError as error:
            drawn = tag("p", f"Not drawn: {error}", class_="muted")
        parts += [tag("h4", title), drawn]
    return joined(*parts)


def _disagreement(run: RunDirectory) -> Markup:
    require_disagreement(run)
    steps = thinned(recorded_steps(run), MAX_STEPS)
    data = std_profiles.over_training(load(run, steps, std_profiles.COLUMNS))
    finding = std_profiles.training_finding(data)
    return _figure(picture(std_profiles.draw_training(data), "bands of std over training"), [finding])


def _quadrant(run: RunDirectory) -> Markup:
    require_disagreement(run)
    data = quadrant(run, "middle")
    return _figure(picture(draw_quadrant(data), "density of states by std and gradient"), quadrant_finding(data))


def _words(run: RunDirectory) -> Markup:
    initial = initial_steps(recorded_steps(run))
    few = ",".join(map(str, thinned(initial, MAX_INITIAL))) if len(initial) > MAX_INITIAL else None
    data = word_cloud(run, few)
    return _figure(picture(draw_cloud(data), "the words masked most often"), cloud_findings(data), "bleed")


def _figure(drawn: Markup, findings: Sequence[str], kind: str | None = None) -> Markup:
    caption = [tag("figcaption", *(tag("p", line) for line in findings))] if findings else []
    return tag("figure", drawn, *caption, class_=kind)
