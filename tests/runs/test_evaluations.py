"""The directory of an evaluation: what is written stays, what is torn is dropped, what differs is never mixed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyppo_cli.runs.evaluations import (
    EvaluationDirectory,
    JsonLines,
    Sample,
    StoredVerdict,
    digest,
    evaluation_directories,
    find_evaluation,
    folder_name,
    open_evaluation,
    read_problems,
    read_samples,
    read_verdicts,
    write_problems,
)

SETTINGS = {"model": "m", "temperature": 1.0}


def sample(number: int, problem: str = "p") -> Sample:
    return Sample(problem, number, f"response {number} \u2028 \ud800", 3, False)


@pytest.fixture
def directory(tmp_path: Path) -> EvaluationDirectory:
    found = EvaluationDirectory(tmp_path / "evaluations" / "m" / "b" / "x")
    open_evaluation(found, SETTINGS, {"source": "s"})
    return found


def test_what_was_appended_is_read_back(directory: EvaluationDirectory) -> None:
    with JsonLines(directory.samples) as log:
        log.append([sample(0), sample(1)])
        log.append([sample(0, "q")])
        # Before the file is closed: a process that dies here has lost nothing.
        assert read_samples(directory) == {"p": {0: sample(0), 1: sample(1)}, "q": {0: sample(0, "q")}}


def test_a_torn_last_line_is_dropped_and_the_next_row_does_not_stick_to_it(directory: EvaluationDirectory) -> None:
    with JsonLines(directory.samples) as log:
        log.append([sample(0), sample(1)])
    whole = directory.samples.read_bytes()
    directory.samples.write_bytes(whole[:-5])
    assert read_samples(directory) == {"p": {0: sample(0)}}
    with JsonLines(directory.samples) as log:
        log.append([sample(1)])
    assert directory.samples.read_bytes() == whole


def test_a_damaged_line_is_named(directory: EvaluationDirectory) -> None:
    directory.samples.write_text('{"id": "p"}\n')
    with pytest.raises(ValueError, match=r"samples\.jsonl, line 1, is damaged: delete that line"):
        read_samples(directory)
    directory.samples.write_text("nonsense\n")
    with pytest.raises(ValueError, match="line 1, is damaged"):
        read_samples(directory)


def test_of_two_alike_the_first_counts(directory: EvaluationDirectory) -> None:
    rows = [StoredVerdict("p", 0, kind, "7", None, "1") for kind in ("right", "wrong")]
    with JsonLines(directory.verdicts) as log:
        log.append(rows)
    assert read_verdicts(directory) == {"p": {0: rows[0]}}


def test_other_settings_are_another_evaluation(directory: EvaluationDirectory) -> None:
    open_evaluation(directory, SETTINGS, {"source": "elsewhere"})
    with pytest.raises(ValueError, match=r"other settings \(temperature is 1\.0 there and 0\.5 here\).*--fresh"):
        open_evaluation(directory, {**SETTINGS, "temperature": 0.5}, {})
    assert digest(SETTINGS) == digest(dict(reversed(SETTINGS.items())))
    assert digest(SETTINGS) != digest({**SETTINGS, "temperature": 0.5})


def test_problems_are_written_again_only_when_there_are_more(directory: EvaluationDirectory) -> None:
    rows = [{"id": str(i), "problem": "?", "answer": "1", "entry": {}} for i in range(3)]
    for count, expected in ((2, 2), (1, 2), (3, 3)):
        write_problems(directory, rows[:count])
        assert read_problems(directory) == rows[:expected]


def test_clearing_leaves_nothing_but_the_lock(directory: EvaluationDirectory) -> None:
    with JsonLines(directory.samples) as log:
        log.append([sample(0)])
    directory.lm_eval_folder.mkdir()
    directory.lock.touch()
    directory.clear()
    assert [path.name for path in directory.path.iterdir()] == [".lock"]


def test_an_evaluation_is_found_by_folder_by_part_of_its_name_or_as_the_last(tmp_path: Path) -> None:
    runs, elsewhere = tmp_path / "runs", tmp_path / "evaluations"
    (runs / "r1").mkdir(parents=True)
    (runs / "r1" / "config.yaml").touch()
    paths = [elsewhere / "m" / "math500" / "x", runs / "r1" / "evaluations" / "chain_sum" / "y"]
    for path in paths:
        open_evaluation(EvaluationDirectory(path), SETTINGS, {})
    assert {found.path for found in evaluation_directories(runs, elsewhere)} == set(paths)
    assert find_evaluation("math500", runs, elsewhere).path == paths[0]
    assert find_evaluation(str(runs / "r1"), runs, elsewhere).path == paths[1]
    EvaluationDirectory(paths[0]).scores.write_text("{}")
    later = paths[1] / "verdicts.jsonl"
    later.touch()
    os.utime(later, (2e9, 2e9))
    assert find_evaluation(None, runs, elsewhere).path == paths[1]
    with pytest.raises(ValueError, match="no evaluation called 'aime'"):
        find_evaluation("aime", runs, elsewhere)
    with pytest.raises(ValueError, match="2 evaluations are called"):
        find_evaluation(str(tmp_path), runs, elsewhere)


@pytest.mark.parametrize(
    ("name", "folder"),
    [("Qwen/Qwen3-4B", "Qwen_Qwen3-4B"), ("../..", "unnamed"), (".hidden", "hidden"), ("", "unnamed")],
)
def test_any_name_becomes_a_folder_inside(name: str, folder: str) -> None:
    assert folder_name(name) == folder
