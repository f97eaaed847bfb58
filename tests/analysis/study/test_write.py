"""What is written of a study: every file, and a page that nothing in it can break out of."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from study_cases import ACCURACY, grid, study, trial

from analysis.study.findings import answer_study
from analysis.study.reproduce import sweep_commands
from analysis.study.write import write_answer
from asyppo_cli.requirements import install_command
from asyppo_cli.runs.studies import Objective, PaperAblation, Study

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\u202e'\"&"
SPAN = {"eval/accuracy": "maximize", "time/step": "minimize"}


def asked(**more: object) -> Study:
    trials = [
        trial({"k": k}, s, v + s / 100 * (1 + (k == "b"))) for k, v in (("a", 0.8), ("b", 0.7)) for s in (1, 2, 3)
    ]
    lost = trial({"k": HOSTILE}, 1, state="failed", reason=f"died {HOSTILE}", name=f"t{HOSTILE[:4]}")
    return study([*trials, lost], question=f"Is it {HOSTILE}?", **more)


def write_runs(folder: Path, found: Study) -> None:
    for one in found.trials:
        if one.state == "finished":
            (folder / one.name).mkdir(parents=True)
            lines = [{"step": 0, ACCURACY: 0.4}, {"step": 10, ACCURACY: one.values[0]}]
            (folder / one.name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_every_file_is_written_and_says_the_same(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = asked(paper=PaperAblation("score", "the paper", {"k=a": 0.5}))
    write_runs(tmp_path, found)
    said = write_answer(found, tmp_path)
    names = {path.name for path in said.files}
    figures = {f"{stem}.{kind}" for stem in ("effects", "curves") for kind in ("csv", "png", "svg", "pdf")}
    assert names == figures | {"trials.csv", "settings.csv", "answer.json", "report.html"}
    assert all(path.parent == tmp_path / "answer" and path.stat().st_size > 50 for path in said.files)
    lines = list(csv.DictReader((tmp_path / "answer" / "trials.csv").read_text().splitlines()))
    assert len(lines) == 7 and float(lines[0][ACCURACY]) == pytest.approx(0.81)
    settings = list(csv.DictReader((tmp_path / "answer" / "settings.csv").read_text().splitlines()))
    effect = said.objectives[0].effects[0]
    assert float(settings[1]["difference_low"]) == pytest.approx(effect.difference.low, rel=1e-5)
    everything = json.loads((tmp_path / "answer" / "answer.json").read_text())
    recorded = everything["settings"][1]["objectives"][ACCURACY]["difference"]
    assert recorded["verdict"] == effect.verdict == "worse" and recorded["p_holm"] == pytest.approx(effect.holm)
    assert everything["findings"] == said.findings() and everything["paper"]["values"] == {"k=a": 0.5}
    assert everything["without_a_number"][0]["reason"] == f"died {HOSTILE}"


class Tags(HTMLParser):
    """Which elements with which attributes a page has, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_nothing_in_a_study_becomes_markup(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = asked()
    write_runs(tmp_path, found)
    write_answer(found, tmp_path)
    page = (tmp_path / "answer" / "report.html").read_text()
    parsed = Tags()
    parsed.feed(page)
    assert not any(name in ("script", "link", "iframe") for name, _ in parsed.found)
    assert not any(key.startswith("on") for _, attributes in parsed.found for key in attributes)
    sources = [attributes["src"] for name, attributes in parsed.found if name == "img"]
    assert len(sources) == 2 and all((source or "").startswith("data:image/svg+xml;base64,") for source in sources)
    assert "default-src 'none'" in page and "\x1b" not in page and "\u202e" not in page
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    text = "".join(parsed.texts)
    for said in ("k=b (-8.0 points) is worse than k=a", "Trials without a number", "died <img src=x", "Seed by seed"):
        assert said in text
    assert text.count("died <img src=x") == 2, "in the answer and in the table"
    assert "asyppo sweep 'k=a,b,<img" in text


@pytest.mark.parametrize(
    "found",
    [
        study([]),
        study([trial({"k": "a"}, 1, state="failed", reason="no")]),
        study([trial({"k": "a"}, None, 0.5)]),
        grid({"a": [math.nan], "b": [0.5]}),
        grid({"a": [0.5, 0.5], "b": [0.5, 0.5]}),
        study([trial({"k": "a"}, 1, state="failed")], kind="search"),
        study(
            [trial({"k": "a"}, 1, 0.5, 1.0)], objectives=[Objective(ACCURACY, "maximize"), Objective("t/s", "minimize")]
        ),
    ],
    ids=["no trial", "all failed", "one without seed", "not finite", "constant", "search failed", "two objectives"],
)
def test_the_odd_cases_are_written_too(found: Study, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    said = write_answer(found, tmp_path)
    assert said.findings() and (tmp_path / "answer" / "report.html").exists()
    json.loads((tmp_path / "answer" / "answer.json").read_text())


def test_a_search_of_two_objectives_has_all_its_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib"), pytest.importorskip("optuna")
    objectives = [Objective(metric, direction) for metric, direction in SPAN.items()]  # type: ignore[arg-type]
    trials = [trial({"a": str(i), "b": "xy"[i % 2]}, 1, 0.5 + i / 50, 1.0 + i / 9, name=f"t{i}") for i in range(12)]
    said = write_answer(study(trials, kind="search", objectives=objectives), tmp_path)
    stems = {path.stem for path in said.files if path.suffix == ".png"}
    assert stems == {"parallel", "parallel-2", "pareto"} and all(one.importances for one in said.objectives)
    page = (tmp_path / "answer" / "report.html").read_text()
    assert "What decides on eval/accuracy, by 12 settings" in page and "12 settings are not beaten" in page


def test_without_matplotlib_the_rest_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = write_answer(grid({"a": [0.5, 0.6], "b": [0.7, 0.8]}), tmp_path)
    assert said.findings()[-1].endswith(install_command("plots"))
    assert {path.name for path in said.files} == {
        "effects.csv",
        "trials.csv",
        "settings.csv",
        "answer.json",
        "report.html",
    }


def test_the_command_makes_the_same_trials_again() -> None:
    found = replace(grid({"1": [0.5, 0.6], "2": [0.7, 0.8]}), overrides=("utd=one",))
    assert sweep_commands(answer_study(found)) == ["asyppo sweep utd=one k=1,2 --seeds 2 --name s"]
    odd = study([trial({"a": "1"}, 3, 0.5), trial({"b": "x y"}, 3, 0.5)])
    assert sweep_commands(answer_study(odd)) == [
        "asyppo sweep a=1 seed=3 --name s",
        "asyppo sweep 'b=x y' seed=3 --name s",
    ]
    searched = study([trial({"a": "1"}, None, 0.5)], kind="search")
    assert sweep_commands(answer_study(searched)) == ["asyppo sweep a=1 --seeds 5 --name s-best"]
