"""The commands that write pages and word clouds, as a stranger would call them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyppo_cli.app import guarded
from asyppo_cli.app import run as run_line

Trained = tuple[Path, str]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = guarded(lambda: run_line(["analyze", *map(str, arguments)]))
        done = capsys.readouterr()
        return code, done.out, done.err

    return call


Say = Callable[..., tuple[int, str, str]]


def data_of(path: Path) -> dict[str, Any]:
    """What the page's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(encoding="utf-8"))
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_in_a_process_of_its_own(trained: Trained, asyppo: Callable[..., Any], tmp_path: Path) -> None:
    # From a folder of strangers' modules, with all that training wrote.
    folder = trained[0].parents[1]
    for command in ("tokens", "report"):
        done = asyppo(["analyze", command, "whole", "-o", str(tmp_path)], folder)
        assert done.returncode == 0 and done.stderr.count("\n") <= 1, done.stderr
        assert f"{command}.html" in done.stdout
        assert (tmp_path / f"{command}.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_tokens_shows_the_probes_through_training(trained: Trained, say: Say, tmp_path: Path) -> None:
    code, out, _ = say("tokens", trained[0], "-o", tmp_path)
    data = data_of(tmp_path / "tokens.html")
    assert code == 0 and "8 responses to held-out probes, followed through training" in out
    assert data["steps"] == list(range(7)) and data["start"] == 6
    assert len(data["responses"]) == 7 * 8
    assert all(prompt["problem"] and prompt["answer"] for prompt in data["prompts"].values())
    assert say("tokens", trained[0], "-o", tmp_path, "--step", 2)[0] == 0
    assert data_of(tmp_path / "tokens.html")["start"] == 2


def test_tokens_shows_chosen_responses_of_training(trained: Trained, say: Say, tmp_path: Path) -> None:
    line = ("tokens", trained[0], "-o", tmp_path, "--order", "disputed", "--limit", 3, "--step", 4)
    assert say(*line)[0] == 0
    data = data_of(tmp_path / "tokens.html")
    spread = [response["disagreement"] for response in data["responses"]]
    assert data["steps"] == [4] and len(spread) == 3 and spread == sorted(spread, reverse=True)


def test_wordcloud_writes_figures_and_twins(trained: Trained, say: Say, tmp_path: Path) -> None:
    line = ("wordcloud", trained[0], "--steps", "2-6", "--format", "svg", "-o", tmp_path)
    code, out, _ = say(*line)
    assert code == 0 and "tokens have their advantage masked" in out
    assert {path.name for path in tmp_path.iterdir()} >= {"wordcloud-advantage.svg", "wordcloud-advantage.csv"}
    assert say(*line, "--gate", "entropy", "--no-classes")[0] == 0
    assert (tmp_path / "wordcloud-entropy.svg").exists()


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (("tokens", "nothere"), 2, "there is no run 'nothere'"),
        (
            ("tokens", "{run}", "--of", "training", "--step", 99),
            2,
            "step 99 of run whole was not recorded; the nearest is 6",
        ),
        (("tokens", "{run}", "--of", "probes", "--step", 99), 2, "was not recorded for probes; the nearest is 6"),
        (("tokens", "{run}", "--prompt", "x", "--of", "training"), 2, "prompt 'x' is in no recorded step"),
        (("tokens", "{run}", "--prompt", "x"), 2, "prompt 'x' was not recorded; there are chain_sum-heldout-0"),
        (("tokens", "{run}", "--order", "loud"), 2, "'loud' is not one of"),
        (("tokens", "{run}", "--limit", 0), 2, "greater than or equal to 1"),
        (("wordcloud", "{run}", "--steps", "1"), 2, "no token of run whole is masked at step 1"),
        (("wordcloud", "{run}", "--steps", "88"), 2, "step 88 of run whole was not recorded; nearest: 6"),
        (("wordcloud", "{run}", "--format", "gif"), 2, "--format gif is not known"),
        (("report", "nothere"), 2, "there is no run 'nothere'"),
        (("report", "{run}", "-o", "/proc/none"), 2, "cannot write to /proc/none"),
        (("tokens", "{run}", "-o", "/proc/none"), 2, "cannot write to /proc/none"),
    ],
)
def test_a_mistake_is_one_line(trained: Trained, say: Say, line: tuple[Any, ...], code: int, words: str) -> None:
    typed = [str(word).replace("{run}", str(trained[0])) for word in line]
    if line[1] == "nothere":
        typed += ["--runs-dir", str(trained[0].parent)]
    got, out, err = say(*typed)
    assert got == code and out == "" and words in err and err.count("\n") == 1, err


def test_a_run_without_records_says_so(trained: Trained, say: Say, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(trained[0], bare, ignore=shutil.ignore_patterns("records", "probes", "checkpoints"))
    for command in ("tokens", "wordcloud"):
        code, _, err = say(command, bare)
        assert code == 2 and "run bare has no token records: train with records.every=N" in err
    assert "has no probes: train with records.probes=4" in say("tokens", bare, "--of", "probes")[2]
    assert say("report", bare)[0] == 0
    assert (bare / "figures" / "report.html").exists()


def test_a_torn_record_is_named(trained: Trained, say: Say, tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(trained[0], torn, ignore=shutil.ignore_patterns("checkpoints"))
    (torn / "probes" / "step-000006.parquet").write_bytes(b"PAR1 torn")
    code, _, err = say("tokens", torn)
    assert code == 2 and "step-000006.parquet is damaged: delete it" in err


def test_an_output_that_is_a_file_is_refused(trained: Trained, say: Say, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for command in ("tokens", "wordcloud", "report"):
        code, _, err = say(command, trained[0], "-o", tmp_path / "file")
        assert code == 2 and f"cannot write to {tmp_path / 'file'}" in err, command
    assert (tmp_path / "file").read_text() == "mine"
