from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HOSTILE = r"\boxed{9^{9^{9^9}}}"


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(answer: object, response: str, **more: object) -> dict[str, Any]:
    return {"problem": "?", "answer": answer, "response": response, **more}


def test_rows_come_back_in_order_with_their_verdicts(asyppo: Any, tmp_path: Path) -> None:
    rows = [
        row("1/2", r"\boxed{0.5}", mine=[1, "ü"]),
        row(3, "three"),
        row("7", HOSTILE),
        row(["2", "3"], r"\boxed{3,2}"),
        row("???", r"\boxed{x+1}"),
        row("5", r"\boxed{6} no, \boxed{\text{ 5}}."),
    ]
    write(tmp_path / "in.jsonl", *rows)
    done = asyppo(["eval", "grade", "in.jsonl", "--output", "out.jsonl", "--deadline", "1"], tmp_path)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [
        {k: r[k] for k in ("correct", "extracted", "verdict")} | given == r
        for r, given in zip(found, rows, strict=True)
    ]
    kinds = ["right", "unparseable", "timed_out", "right", "unparseable_gold", "right"]
    assert [r["verdict"] for r in found] == kinds
    assert [r["correct"] for r in found] == [kind == "right" for kind in kinds]
    assert [r["extracted"] for r in found][:4] == ["0.5", None, "9^{9^{9^9}}", "3,2"]
    assert [{key: r[key] for key in given} for r, given in zip(found, rows, strict=True)] == rows
    assert "3 of 6 right (50.0%); 1 unparseable, 1 timed_out, 1 unparseable_gold" in done.stderr


def test_rows_go_to_stdout_and_words_to_stderr(asyppo: Any, tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", row("41.8", r"\boxed{41.6}"))
    done = asyppo(["eval", "grade", "in.jsonl", "--tolerance", "0.01"], tmp_path)
    assert json.loads(done.stdout)["correct"] is True
    assert json.loads(asyppo(["eval", "grade", "in.jsonl"], tmp_path).stdout)["correct"] is False


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "in.jsonl is empty"),
        ("{}\n", 'in.jsonl line 1: has no "problem"'),
        (
            '\n{"problem": "?", "answer": "1", "response": "1"}\n{"problem": "?", "response": "2"}\n',
            'line 3: has no "answer"',
        ),
        ("{nonsense\n", "in.jsonl line 1: is not JSON"),
        ('{"problem": "?", "answer": {}, "response": ""}\n', 'line 1: "answer" is {}'),
    ],
)
def test_a_bad_line_is_named_before_anything_is_graded(asyppo: Any, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "in.jsonl").write_text(text)
    done = asyppo(["eval", "grade", "in.jsonl", "--output", "out.jsonl"], tmp_path)
    assert done.returncode == 2
    assert told in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_nothing_is_overwritten(asyppo: Any, tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", row("1", "1"))
    (tmp_path / "out.jsonl").write_text("precious")
    done = asyppo(["eval", "grade", "in.jsonl", "--output", "out.jsonl"], tmp_path)
    assert (done.returncode, (tmp_path / "out.jsonl").read_text()) == (2, "precious")
    assert "out.jsonl is there already" in done.stderr


def test_what_is_graded_stays_when_it_is_stopped(start_asyppo: Callable[..., Any], tmp_path: Path) -> None:
    slow = [row("1/3", HOSTILE.replace("9^9", f"{i}^{{9}}")) for i in range(100, 140)]
    write(tmp_path / "in.jsonl", *[row("1", r"\boxed{1}")] * 16, *slow)
    process = start_asyppo(["eval", "grade", "in.jsonl", "--output", "out.jsonl", "--deadline", "30"], tmp_path)
    out = tmp_path / "out.jsonl"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (out.exists() and out.read_text().count("\n") == 16):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=30)[0]
    assert process.returncode == 130
    assert "stopped: 16 of 56 rows are graded; they are in out.jsonl" in said
    assert out.read_text().count('"correct": true') == 16


def test_the_benchmarks_are_listed(asyppo: Any, tmp_path: Path) -> None:
    write(tmp_path / "aime25.jsonl", {"problem": "?", "answer": "1"})
    done = asyppo(["eval", "ls", "--data-dir", ".", "--json"], tmp_path)
    found = {entry["name"]: entry for entry in json.loads(done.stdout)["benchmarks"]}
    assert len(found) == 6
    assert found["aime25"]["here"] == "aime25.jsonl"
    assert found["math500"]["problems"] == 500
    shown = asyppo(["eval", "ls"], tmp_path).stdout
    assert "minerva_math" in shown and "563bb8404243" in shown


def test_an_unknown_word_names_what_is_near(asyppo: Any, tmp_path: Path) -> None:
    done = asyppo(["eval", "graed", "in.jsonl"], tmp_path)
    assert done.returncode == 2
    assert "grade" in done.stderr
