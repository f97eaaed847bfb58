"""``asyppo eval`` in processes of its own: the same scores as training, interrupted, continued, shown, compared."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from asyppo_cli.app import run

Call = Callable[..., tuple[str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]
RUN = ["--model", "whole"]


@pytest.fixture(scope="module")
def folder(trained: tuple[Path, str]) -> Path:
    """Where the run ``whole`` lies in ``runs``, and its copy ``paced``, which samples in batches of eight."""
    runs = trained[0].parent
    shutil.copytree(runs / "whole", runs / "paced")
    config = runs / "paced" / "config.yaml"
    text = config.read_text()
    assert "batch_size: 1024" in text
    config.write_text(text.replace("batch_size: 1024", "batch_size: 8"))
    return runs.parent


def results(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs ``asyppo eval`` in this process, in the folder; returns what it printed to stdout and stderr."""
    monkeypatch.chdir(folder)

    def calling(*args: str) -> tuple[str, str]:
        capsys.readouterr()
        assert run(["eval", *args]) == 0
        printed = capsys.readouterr()
        return printed.out, printed.err

    return calling


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_the_score_is_that_of_the_runs_own_last_evaluation(asyppo: Command, folder: Path) -> None:
    last = json.loads(lines(folder / "runs" / "whole" / "metrics.jsonl")[-1])
    [first] = results(asyppo(["eval", "chain_sum", "--model", "whole@latest", "--samples", "1", "--json"], folder))
    assert first["scores"]["problems"] == 16
    assert first["scores"]["avg"]["value"] == last["eval/accuracy"]
    assert first["scores"]["length"] == last["eval/length_mean"]
    interval = first["scores"]["avg"]
    assert (interval["high"] - interval["low"]) / 2 == pytest.approx(last["eval/accuracy_halfwidth"])
    assert first["folder"].startswith("runs/whole/evaluations/chain_sum/")
    # Again: nothing is drawn. More samples: only those.
    [again] = results(asyppo(["eval", "chain_sum", "--model", "whole@latest", "--samples", "1", "--json"], folder))
    assert (again["scores"], again["drawn"]) == (first["scores"], 0)
    [more] = results(asyppo(["eval", "chain_sum", "--model", "whole@latest", "--samples", "3", "--json"], folder))
    assert (more["scores"]["samples"], more["drawn"]) == (3, 32)
    import pandas as pd

    frame = pd.read_json(folder / more["folder"] / "samples.jsonl", lines=True)
    assert len(frame) == 48 and set(frame) == {"id", "sample", "response", "length", "truncated"}


def stopped_after_a_batch(process: subprocess.Popen[str], output: Path, number: int) -> tuple[Path, str]:
    """Send a signal once something is stored; the file of samples, and what the process printed."""
    deadline = time.monotonic() + 100
    while not (found := list(output.rglob("samples.jsonl"))) or not found[0].read_bytes():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, number)
    return found[0], process.communicate(timeout=100)[0]


def test_killed_and_continued_is_as_never_interrupted(
    asyppo: Command, start_asyppo: Callable[[Sequence[str], Path], subprocess.Popen[str]], folder: Path
) -> None:
    command = ["eval", "chain_sum", "--model", "paced", "--samples", "1", "--limit", "96", "--json", "--output"]
    samples, _ = stopped_after_a_batch(start_asyppo([*command, "cut"], folder), folder / "cut", signal.SIGKILL)
    kept = len(lines(samples))
    assert 0 < kept < 96 and kept % 8 == 0
    # As if it had been killed in the midst of writing.
    with samples.open("a") as file:
        file.write('{"id": "chain_sum-held')
    [continued] = results(asyppo([*command, "cut"], folder))
    assert continued["drawn"] == 96 - kept
    [whole] = results(asyppo([*command, "uncut"], folder))
    assert whole["scores"] == continued["scores"]
    assert lines(samples) == lines(next((folder / "uncut").rglob("samples.jsonl")))


def test_a_soft_stop_says_what_is_kept_and_how_to_go_on(
    start_asyppo: Callable[[Sequence[str], Path], subprocess.Popen[str]], folder: Path
) -> None:
    command = ["eval", "chain_sum", "--model", "paced", "--samples", "1", "--limit", "96", "--output", "stopped"]
    process = start_asyppo(command, folder)
    samples, output = stopped_after_a_batch(process, folder / "stopped", signal.SIGINT)
    assert process.returncode == 130, output
    assert f"{len(lines(samples))} of 96 samples" in output
    assert "asyppo eval chain_sum" in output


def test_several_models_give_one_table_and_paired_differences(call: Call, folder: Path) -> None:
    models = ["--model", "whole@2", "--model", "whole@6", "--model", "embedded:policy"]
    table, _ = call("chain_sum", *models, "--samples", "2", "--limit", "12", "--output", "several")
    for text in ("whole@2", "whole@6", "embedded:policy", "avg@2", "pass@2", "maj@2", "temperature", "grader"):
        assert text in table
    assert "whole@6 - whole@2" in table
    assert "resolved" in table
    compared, warned = call("compare", *(str(path) for path in sorted((folder / "several").glob("whole@*"))))
    assert "B - A" in compared and "by neither" in compared
    assert "settings differ" not in warned


def test_a_comparison_warns_of_other_settings(call: Call) -> None:
    for temperature in ("1", "0.5"):
        options = ["--samples", "1", "--limit", "8", "--temperature", temperature, "--output", f"at-{temperature}"]
        call("chain_sum", *RUN, *options)
    _, warned = call("compare", "at-1", "at-0.5")
    assert "settings differ: temperature is 1.0 in A and 0.5 in B" in warned


def test_problems_are_shown_and_filtered(call: Call) -> None:
    call("chain_sum", "--model", "embedded:policy", "--samples", "3", "--limit", "10", "--output", "shown")

    def shown(*filters: str) -> list[dict[str, Any]]:
        return list(json.loads(call("show", "shown", "--json", *filters)[0]))

    everything = shown()
    assert len(everything) == 10
    by_id = {problem["id"]: problem["right"] for problem in everything}
    assert {problem["id"] for problem in shown("--wrong")} == {name for name, right in by_id.items() if right == 0}
    assert {p["id"] for p in shown("--disputed")} == {name for name, right in by_id.items() if 0 < right < 3}
    [one] = shown("--id", everything[3]["id"])
    assert one == everything[3]
    assert sum(one["votes"].values()) == sum(sample["extracted"] is not None for sample in one["samples"])
    table, _ = call("show", "shown")
    assert all(problem["id"] in table for problem in everything)
    text, _ = call("show", "shown", "--id", one["id"])
    assert "sample 2" in text and one["problem"].splitlines()[0] in text
    # Printed lines are broken at the width of the terminal.
    words = " ".join(text.split())
    assert all(sample["reason"] and f"{sample['verdict']}: {sample['reason']}" in words for sample in one["samples"])


def test_stored_samples_are_graded_again_without_a_model(call: Call, folder: Path) -> None:
    command = ["chain_sum", *RUN, "--samples", "1", "--limit", "8", "--output", "again", "--json"]
    [first] = json.loads(call(*command)[0])
    verdicts = folder / first["folder"] / "verdicts.jsonl"
    verdicts.write_text(verdicts.read_text().replace('"right"', '"wrong"'))
    [spoilt] = json.loads(call(*command)[0])
    [again] = json.loads(call(*command, "--regrade")[0])
    assert spoilt["scores"]["avg"]["value"] == 0
    assert (again["scores"], again["drawn"]) == (first["scores"], 0)


def test_a_limit_and_greedy_sampling(call: Call) -> None:
    def scored(*options: str) -> dict[str, Any]:
        words = ["chain_sum", *RUN, "--temperature", "0", "--output", "greedy", "--json", *options]
        return dict(json.loads(call(*words)[0])[0])

    three = scored("--limit", "3", "--samples", "2")
    more = scored("--limit", "8", "--samples", "2")
    # One evaluation, extended: the limit is no setting.
    assert (more["folder"], more["drawn"]) == (three["folder"], 10)
    shown = json.loads(call("show", "greedy", "--json")[0])
    assert all(len({sample["response"] for sample in problem["samples"]}) == 1 for problem in shown)


def test_models_with_several_evaluations_are_compared_by_the_newest_that_match(call: Call, folder: Path) -> None:
    for step in ("2", "6"):
        for samples, temperature in (("1", "0.5"), ("2", "0.7")):
            options = ["--samples", samples, "--limit", "6", "--temperature", temperature, "--output", "several-each"]
            call("chain_sum", "--model", f"whole@{step}", *options)
    compared, warned = call("compare", "several-each/whole@2", "several-each/whole@6")
    assert "settings differ" not in warned
    assert compared.count("/t0.7-") == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["chain_smu", *RUN], "chain_sum"),
        (["empty.jsonl", *RUN], "empty.jsonl"),
        (["broken.jsonl", *RUN], "broken.jsonl line 2"),
        (["aime24", *RUN, "--data-dir", "nowhere"], "nowhere"),
        (["chain_sum", "--model", "nobody"], "'nobody'"),
        (["chain_sum", "--model", "whole@5"], "2, 4, 6, best and latest"),
        (["chain_sum", "--model", "./nowhere"], "./nowhere"),
        (["chain_sum", "--model", "embedded:nobody"], "embedded:nobody"),
        (["chain_sum", "--model", "nowhere.gguf"], "nowhere.gguf"),
        (["chain_sum", "--model", "broken.gguf"], "broken.gguf"),
        (["chain_sum", "--model", "http://127.0.0.1:9/v1"], "http://127.0.0.1:9/v1"),
        (["chain_sum", *RUN, "--max-tokens", "100000"], "--max-tokens 100000"),
        (["chain_sum", *RUN, "--temperature", "-1"], "--temperature is -1"),
        (["chain_sum", *RUN, "--name", "../x"], "../x"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_sampled(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.chdir(folder)
    Path("empty.jsonl").write_text("")
    Path("broken.jsonl").write_text('{"problem": "1?", "answer": "1"}\n{"problem": "2?"}\n')
    Path("broken.gguf").write_text("nonsense")
    with pytest.raises(ValueError) as caught:
        run(["eval", *words, "--output", "mistakes"])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("mistakes").exists()
