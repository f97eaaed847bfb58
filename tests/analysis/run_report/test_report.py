"""The report: what it warns of, what it tells of runs, and what strangers' text cannot do to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from analysis.pages.html import joined, tag
from analysis.pages.token_source import thinned
from analysis.run_report.diagnostics import diagnose
from analysis.run_report.report import report
from analysis.run_report.tables import outcome_sentence, read_files
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.metric_log import MetricRows, metrics_line
from asyppo_cli.runs.records import RecordTexts, write_records, write_samples

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
CONFIG = {"critics": {"count": 2}, "gates": {"mask_pct": 0.2}, "sampler": {"logprob_diff_warning": 0.01}}
HEALTHY = {
    "reward/mean": 0.5,
    "reward/uniform_group_share": 0.1,
    "response/truncated_share": 0.01,
    "response/unparseable_share": 0.02,
    "policy/entropy": 0.4,
    "policy/clip_share": 0.01,
    "sampler/logprob_diff_mean": 0.001,
    "critic_0/explained_variance": 0.4,
    "critic_1/explained_variance": 0.3,
    "critics/disagreement_mean": 0.1,
    "gate/advantage_masked_share": 0.2,
}
HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"' onload=x \u2028 \x1b[31m \x00 \u202e --> & "
)


def rows(steps: int = 20, late: dict[str, float] | None = None) -> list[dict[str, float]]:
    """A healthy run whose last quarter has other numbers."""
    made = [{"step": step, **HEALTHY, "time/step": 1.0} for step in range(1, steps + 1)]
    for row in made[-steps // 4 :]:
        row |= late or {}
    evaluated = {"eval/accuracy_halfwidth": 0.02}
    first = {"step": 0, "eval/accuracy": 0.4, **evaluated}
    made[-1] = {"eval/accuracy": 0.6, **evaluated, **made[-1]}
    return [first, *made]


def titles(late: dict[str, float], config: dict[str, Any] = CONFIG) -> list[tuple[str, str]]:
    return [(d.level, d.title) for d in diagnose(MetricRows(rows(late=late), []), config)]


def test_a_healthy_run_is_left_in_peace() -> None:
    assert titles({}) == []
    assert diagnose(MetricRows([], []), CONFIG) == []


@pytest.mark.parametrize(
    ("late", "level", "title"),
    [
        ({"response/truncated_share": 0.4}, "warning", "Responses are cut off"),
        ({"response/unparseable_share": 0.9}, "warning", "Answers are not found"),
        ({"response/timed_out_share": 0.1}, "warning", "Grading times out"),
        ({"reward/uniform_group_share": 0.8, "reward/mean": 0.1}, "warning", "Many prompts compare nothing"),
        ({"reward/uniform_group_share": 0.8, "reward/mean": 0.9}, "note", "Many prompts compare nothing"),
        ({"critic_1/explained_variance": -0.1}, "warning", "A critic explains nothing"),
        ({"critics/disagreement_mean": 0.001}, "warning", "The critics agree about everything"),
        ({"gate/advantage_masked_share": 0.0}, "note", "The gates are idle"),
        ({"policy/entropy": 0.01}, "warning", "Entropy has collapsed"),
        ({"policy/entropy": 0.01, "reward/mean": 0.9}, "note", "Entropy has collapsed"),
        ({"policy/clip_share": 0.5}, "warning", "Most of the update is clipped"),
        ({"sampler/logprob_diff_mean": 0.05}, "warning", "The sampler is stale"),
        (
            {"sampler/logprob_diff_mean": 0.05, "sampler/staleness": 1.0},
            "note",
            "Rollouts are behind the policy",
        ),
        ({"eval/accuracy": 0.41}, "note", "No gain is resolved"),
        ({"policy/kl": float("nan")}, "warning", "Numbers that are none"),
    ],
)
def test_what_looks_wrong_is_said(late: dict[str, float], level: str, title: str) -> None:
    assert titles(late) == [(level, title)]


def test_one_bad_step_is_no_diagnosis() -> None:
    made = rows()
    made[3]["response/truncated_share"] = 1.0
    assert diagnose(MetricRows(made, []), CONFIG) == []


def test_an_accuracy_that_fell_is_said() -> None:
    made = rows()
    made[10] |= {"eval/accuracy": 0.8, "eval/accuracy_halfwidth": 0.02}
    (found,) = diagnose(MetricRows(made, []), CONFIG)
    assert found.title == "It has become worse" and "80.0% at step 10 and is 60.0%" in found.words


def test_both_critics_are_one_warning() -> None:
    late = {"critic_0/explained_variance": 0.01, "critic_1/explained_variance": -0.2}
    (found,) = diagnose(MetricRows(rows(late=late), []), CONFIG)
    assert found.title == "The critics explain nothing"
    assert "critic 0 1.0%, critic 1 -20.0% (below 0: less than a constant would)" in found.words


def make_run(folder: Path, name: str, seed: int, records: bool = True, word: str = "a", **config: Any) -> RunDirectory:
    run = RunDirectory(folder / name)
    run.path.mkdir(parents=True)
    full = {
        "seed": seed,
        "max_steps": 20,
        "task": {"name": word},
        "advantage": {"estimator": "gae"},
        **CONFIG,
        **config,
    }
    run.config.write_text(yaml.safe_dump(full), encoding="utf-8")
    run.metrics.write_text("".join(metrics_line(row) for row in rows()), encoding="utf-8")
    run.environment.write_text(json.dumps({"command": ["asyppo", word], "hardware": {}, "packages": {"torch": word}}))
    write_samples(run.samples(20), [{"problem": word, "answer": word, "response": word, "verdict": "right"}])
    if records:
        record(run, 20, word)
    return run


def record(run: RunDirectory, step: int, word: str) -> None:
    n, rng = 120, np.random.default_rng(0)
    columns: dict[str, Any] = {
        name: rng.random(n)
        for name in (
            *("value_0", "value_1", "value_mean", "value_std"),
            *("advantage", "entropy", "logprob", "gradient_norm"),
        )
    }
    columns |= {
        "step": np.full(n, step),
        "prompt_id": [f"p{i // 40}" for i in range(n)],
        "response_id": np.arange(n) // 10,
        "position": np.arange(n) % 10,
        "token_id": np.arange(n) % 7,
        "token": [word if i % 5 == 0 else f"w{i % 7}" for i in range(n)],
        "advantage_kept": np.arange(n) % 5 > 0,
        "entropy_kept": np.arange(n) % 6 > 0,
        "reward": (np.arange(n) // 10 % 2).astype(float),
    }
    answers = [{"verdict": "right", "extracted": word, "truncated": True}] * 12
    write_records(run.records(step), columns, RecordTexts({"p0": {"problem": word, "answer": word}}, answers))


class Elements(HTMLParser):
    """Every element, attribute and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(content: str) -> Elements:
    found = Elements()
    found.feed(content)
    return found


def test_a_report_tells_everything_of_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, "one", 1)
    page = read(report([run], NOW, "9.9"))
    words = " ".join(page.words)
    for said in (
        *("Report: one", "24 November 2026", "asyppo 9.9", "Held-out accuracy rose from 40.0% to 60.0% (± 2.0 points"),
        *("Nothing looks wrong", "Disagreement over training", "Disagreement against gradient", "split at the medians"),
        *("Which tokens are masked", "Best", "Worst", "Most disputed", "All 7 settings", "asyppo analyze tokens one"),
    ):
        assert said in words, said
    assert page.elements.count("img") == 4 and "script" not in page.elements


def test_nothing_hostile_becomes_markup(tmp_path: Path) -> None:
    run = make_run(tmp_path, "one", 1, word=HOSTILE)
    other = make_run(tmp_path, "two", 1, word=HOSTILE, extra={HOSTILE: 1})
    content = report([run, other], NOW, "9.9")
    content.encode("utf-8")
    page = read(content)
    assert {"script", "onerror", "onload", "style"} & page.attributes == set()
    assert set(page.elements) <= {
        *("html", "head", "meta", "title", "style", "body", "main", "header", "nav", "a", "section", "div", "p"),
        *("h1", "h2", "h3", "h4", "span", "table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption"),
        *("img", "details", "summary", "code"),
    }
    assert not {"\x00", "\x1b", "\u202e", "\u2028"} & set(content)
    assert sum("</script><script>alert(1)" in words for words in page.words) > 10


def test_several_runs_are_held_against_each_other(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, f"run{i}", i, records=False, max_steps=20 + i // 2) for i in range(4)]
    words = " ".join(read(report(runs, NOW, "9.9")).words)
    for said in (
        *("4 runs", "Settings that differ", "max_steps", "Last numbers", "held-out accuracy", "run3"),
        "Figures and responses of 1 more runs are left out: asyppo analyze report run3 has them.",
    ):
        assert said in words, said


def test_what_a_run_lacks_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path, "bare", 1, records=False)
    words = " ".join(read(report([run], NOW, "9.9")).words)
    assert "There are no token records" in words and "The first responses of the last step" in words
    run.metrics.unlink()
    run.environment.unlink()
    for path in run.samples_folder.iterdir():
        path.unlink()
    words = " ".join(read(report([run], NOW, "9.9")).words)
    for said in ("No step is done yet.", "No response was written down.", "Where it ran was not written down."):
        assert said in words, said
    assert outcome_sentence(read_files(run)) == "0 of 20 steps in 0 s; held-out accuracy was measured not yet."


def test_one_critic_has_no_disagreement(tmp_path: Path) -> None:
    run = make_run(tmp_path, "one", 1, critics={"count": 1})
    words = " ".join(read(report([run], NOW, "9.9")).words)
    assert "Not drawn: run one has one critic only" in words


def test_damage_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, "one", 1)
    run.environment.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"environment.json is damaged: delete it"):
        report([run], NOW, "9.9")


def test_elements_escape_what_is_not_markup() -> None:
    assert tag("p", "<b>", tag("i", 1), class_='a"b') == '<p class="a&#34;b">&lt;b&gt;<i>1</i></p>'
    assert joined("<") == "&lt;" and tag("img", alt=None, src="x") == '<img src="x">'


def test_many_steps_are_thinned_evenly() -> None:
    assert thinned([1, 2, 3], 5) == [1, 2, 3]
    assert thinned(range(0, 101, 10), 3) == [0, 50, 100]
