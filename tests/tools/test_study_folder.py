"""Folders of runs as studies, and the pages that are made of them."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from asyppo_cli.runs.studies import PaperAblation
from tools.results.study_folder import alike, read_definition, read_study

ROOT = Path(__file__).parents[2]
SCRIPT = ["-m", "tools.results.page"]
ENVIRONMENT = {
    "command": ["/home/somebody/secret"],
    "python": "3.11.0",
    "packages": {"torch": "2.13.0"},
    "git": {"commit": "0123456789abcdef", "changed": False},
    "hardware": {"cpu": "Some CPU", "cores": 2, "memory_bytes": 2**33, "gpus": []},
}


def made(
    folder: Path, overrides: list[str], seed: int, after: float | None, state: str = "finished", why: str = ""
) -> None:
    """What comes back of a run: five small files."""
    run = folder / "_".join([*(text.replace("=", "-") for text in overrides), f"seed-{seed}"])
    run.mkdir(parents=True)
    config = {"seed": seed, "max_steps": 2, "gates": {"mask_pct": 0.2}, "task": {"name": "sums"}}
    config |= {"policy": {"model": "tiny"}, "rollout": {"prompts": 32, "responses": 8}}
    (run / "config.yaml").write_text(yaml.safe_dump(config | {"evaluation": {"problems": 1024, "temperature": 1.0}}))
    (run / "overrides.yaml").write_text(yaml.safe_dump([*overrides, f"seed={seed}", f"learner.threads={seed}"]))
    (run / "environment.json").write_text(json.dumps(ENVIRONMENT))
    fields = {"pid": 1, "step": 2, "max_steps": 2, "message": why or None}
    fields |= {"started": "2026-01-01T00:00:00+00:00", "updated": "2026-01-01T00:00:00+00:00", "ended": None}
    (run / "status.json").write_text(json.dumps({"state": state, **fields}))
    rows = [{"step": 0, "eval/accuracy": 0.4, "time/evaluate": 1.0}, {"step": 1, "time/step": 2.0}]
    rows += [{"step": 2, "time/step": 3.0, "eval/accuracy": after, "time/evaluate": 1.0}]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    folder = tmp_path / "masks"
    for seed, (none, some, much) in enumerate([(0.80, 0.81, 0.70), (0.82, 0.80, 0.71), (0.84, 0.845, 0.745)], 1):
        made(folder, ["utd=one", "gates.mask_pct=0.1"], seed, some)
        made(folder, ["utd=one", "gates.mask_pct=0"], seed, none)
        made(folder, ["utd=one", "gates.mask_pct=0.4"], seed, much)
    made(folder, ["utd=one"], 1, 0.8, "failed", "out of <memory>")
    return folder


def test_settings_are_what_varies_but_for_seed_and_threads(masks: Path) -> None:
    study = read_study(masks)
    # A key that was not typed has the value of the configuration; numbers stand by size.
    assert list(dict.fromkeys(trial.setting for trial in study.trials)) == [
        "gates.mask_pct=0",
        "gates.mask_pct=0.1",
        "gates.mask_pct=0.2",
        "gates.mask_pct=0.4",
    ]
    assert [trial.seed for trial in study.trials[:3]] == [1, 2, 3] and study.overrides == ("utd=one",)
    first, failed = study.trials[0], next(trial for trial in study.trials if trial.state == "failed")
    assert (first.values, first.seconds) == ((0.80,), 7.0)
    assert (failed.values, failed.reason, failed.name) == ((), "out of <memory>", "utd-one_seed-1")


def test_a_last_value_that_is_not_finite_is_no_number(tmp_path: Path) -> None:
    made(tmp_path / "f", ["k=1"], 1, None)
    (trial,) = read_study(tmp_path / "f").trials
    assert math.isnan(trial.values[0])
    with pytest.raises(ValueError, match="holds no run"):
        read_study(tmp_path / "nothing")


def test_a_run_that_no_process_holds_is_not_running(tmp_path: Path) -> None:
    made(tmp_path / "f", ["k=1"], 1, 0.5, "running")
    (trial,) = read_study(tmp_path / "f").trials
    assert trial.state == "interrupted" and trial.values == ()


DEFINITION = """
question: Does the mask help?
metric: eval/accuracy
direction: maximize
seeds: 2
paper: {axes: {utd: [1]}}
embedded:
  settings:
    without: [utd=one, mask_pct=off]
    with: [utd=one, mask_pct=paper]
  baseline: without
reported: {metric: score in %, source: the paper, values: {with: 52, without: 46.7}}
"""


def test_a_definition_gives_names_question_and_the_papers_numbers(tmp_path: Path) -> None:
    for seed in (1, 2):
        made(tmp_path / "f", ["utd=one", "mask_pct=paper"], seed, 0.8)
        made(tmp_path / "f", ["utd=one", "mask_pct=off"], seed, 0.7)
    (tmp_path / "d.yaml").write_text(DEFINITION)
    study = read_study(tmp_path / "f", read_definition(tmp_path / "d.yaml"))
    assert [trial.setting for trial in study.trials] == ["without", "without", "with", "with"]
    assert study.question == "Does the mask help?" and study.baseline == "without"
    assert study.paper == PaperAblation("score in %", "the paper", {"with": 52.0, "without": 46.7})
    (tmp_path / "d.yaml").write_text("question: 3")
    with pytest.raises(ValueError, match="is no definition of a study"):
        read_definition(tmp_path / "d.yaml")


def test_settings_that_say_the_same_are_found() -> None:
    settings = ["critic_count=one", "critic_count=two", "gates.mask_pct=0.20 utd=four"]
    assert alike("critic_count=2", settings) == "critic_count=two"
    assert alike("utd=4 gates.mask_pct=0.2", settings) == "gates.mask_pct=0.20 utd=four"
    assert alike("critic_count=3", settings) == "critic_count=3"


def results(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *SCRIPT, *map(str, words)], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_the_page_says_what_the_runs_say(masks: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    done = results(masks, "--output", out, "--question", "Does it <help>?", "--baseline", "gates.mask_pct=0")
    assert done.returncode == 0, done.stderr
    page = (out / "masks.md").read_text()
    assert page.startswith("# Does it \\<help\\>?\n")
    # Mean 82, standard deviation 2: 4.3027 * 2 / sqrt(3) = 4.97.
    assert "| gates.mask_pct=0 | 3 | 82.0 | 77.0 to 87.0 |" in page
    assert "| gates.mask_pct=0.4 | 3 | 71.8 | 66.0 to 77.7 | -10.2 | -12.1 to -8.3 | 0.002 | 0.004 |" in page
    assert "gates.mask_pct=0.4 (-10.2 points) is worse than gates.mask_pct=0." in page
    assert "gates.mask_pct=0.1 against gates.mask_pct=0: no difference at this number of seeds (-0.2 points" in page
    assert "1 failed (utd-one_seed-1: out of \\<memory\\>); 2 missing (gates.mask_pct=0.2 with seed 2" in page
    assert "asyppo sweep utd=one gates.mask_pct=0,0.1,0.2,0.4 --seeds 3 --name masks" in page
    assert "Some CPU, 2 cores, 8 GiB" in page and "Commit 0123456789ab" in page
    assert str(tmp_path) not in page and "somebody" not in page
    for name in ("masks.svg", "masks-curves.svg"):
        assert f"({name})" in page and (out / name).stat().st_size > 5000
    rows = list(csv.DictReader((out / "masks-settings.csv").read_text().splitlines()))
    assert [row["finished"] for row in rows] == ["3", "3", "0", "3"] and rows[3]["verdict"] == "worse"
    assert len((out / "masks-trials.csv").read_text().splitlines()) == 11
    assert (out / "masks-curves.csv").read_text().count("\n") == 1 + 3 * (2 + 3 * 2)


def test_a_mistake_is_one_line(masks: Path, tmp_path: Path) -> None:
    done = results(masks, tmp_path / "none", "--output", tmp_path / "out", "--baseline", "gates.mask_pct=7")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "the baseline 'gates.mask_pct=7' is none of its settings" in done.stdout and "holds no run" in done.stdout
