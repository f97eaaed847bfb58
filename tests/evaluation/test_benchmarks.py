from __future__ import annotations

import csv
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from asyppo_cli.evaluation.answer_classes import answer_classes
from asyppo_cli.evaluation.benchmarks import BENCHMARKS, SUITES, expand, load_benchmark, local_file
from asyppo_cli.tasks.data import hub
from asyppo_cli.tasks.grading.pool import GraderPool
from asyppo_cli.types import Problem


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def write(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_benchmark_is_pinned() -> None:
    assert len(BENCHMARKS) == 6
    for benchmark in BENCHMARKS.values():
        assert len(benchmark.revision) == 40 and int(benchmark.revision, 16)


def test_expand() -> None:
    assert expand(["paper", "aime24"]) == list(SUITES["paper"])
    assert expand(["chain_sum", "some/file.parquet", "chain_sum"]) == ["chain_sum", "some/file.parquet"]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("aime2", "no benchmark 'aime2'; nearest: aime25, aime24"),
        ("chain_sums", "nearest: chain_sum"),
        ("grad", "nearest: grade"),
        ("folder/problems.txt", r"\.jsonl"),
    ],
)
def test_unknown_words_name_what_is_near(word: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        expand([word], also=["grade", "show"])


def test_a_folder_of_files_comes_first(tmp_path: Path) -> None:
    write(tmp_path / "aime25.jsonl", {"id": "z", "problem": "?", "answer": "7"}, {"problem": "!", "answer": 8})
    loaded = load_benchmark("aime25", tmp_path)
    assert [(p.id, p.question, p.answer) for p in loaded.problems] == [("aime25-0", "?", "7"), ("aime25-1", "!", "8")]
    assert (loaded.source, loaded.revision) == (str(tmp_path / "aime25.jsonl"), None)
    limited = load_benchmark("aime25", tmp_path, limit=1)
    assert len(limited.problems) == 1
    assert limited.sha256 == loaded.sha256


def test_the_hubs_cache_comes_next(no_hub: Path, tmp_path: Path) -> None:
    olympiad = BENCHMARKS["olympiadbench"]
    folder = no_hub / "datasets--math-ai--olympiadbench" / "snapshots" / olympiad.revision / "data"
    folder.mkdir(parents=True)
    table = pyarrow.table({"question": ["?", "!"], "final_answer": [["$x=1$"], ["2", "3"]]})
    pyarrow.parquet.write_table(table, folder / "test-00000-of-00001.parquet")
    loaded = load_benchmark("olympiadbench", None)
    assert [p.answer for p in loaded.problems] == ["$x=1$", "2, 3"]
    assert (loaded.source, loaded.revision) == ("math-ai/olympiadbench (test)", olympiad.revision)
    same = write(
        tmp_path / "olympiadbench.jsonl", *({"problem": p.question, "answer": p.answer} for p in loaded.problems)
    )
    assert load_benchmark("olympiadbench", same.parent).sha256 == loaded.sha256


def test_without_network_and_cache_one_line_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"math-ai/aime25 at revision 563bb.*HF_HUB_OFFLINE is set: give --data-dir.*aime25.jsonl"
    ):
        load_benchmark("aime25")
    with pytest.raises(ValueError, match=rf"{tmp_path} has no aime25.jsonl"):
        load_benchmark("aime25", tmp_path)
    with pytest.raises(ValueError, match="there is no folder"):
        local_file("aime25", tmp_path / "nowhere")


def test_the_hub_is_asked_once_it_answers(monkeypatch: pytest.MonkeyPatch, no_hub: Path) -> None:
    asked = []

    def download(hub_id: str, *, repo_type: str, revision: str, allow_patterns: list[str]) -> None:
        asked.append((hub_id, repo_type, revision))
        folder = no_hub / "datasets--math-ai--aime25" / "snapshots" / revision
        write(folder / "test.jsonl", {"problem": "?", "answer": "7"})

    monkeypatch.setattr(hub, "why_out_of_reach", lambda: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert load_benchmark("aime25").problems[0].answer == "7"
    assert load_benchmark("aime25").revision == BENCHMARKS["aime25"].revision
    assert asked == [("math-ai/aime25", "dataset", BENCHMARKS["aime25"].revision)]


def test_minerva_has_a_tolerance_and_others_have_none(tmp_path: Path) -> None:
    for name in BENCHMARKS:
        write(tmp_path / f"{name}.jsonl", {"problem": "?", "answer": "4.5"})
    found = {name: load_benchmark(name, tmp_path).problems[0].entry for name in BENCHMARKS}
    assert {name for name, entry in found.items() if entry} == {"minerva_math"}
    assert found["minerva_math"] == {"tolerance": 0.01}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"problem": "?"}], r'line 1: has no "answer" \(or .*\); it has: problem'),
        ([{"problem": "?", "answer": "1"}, {"problem": 3, "answer": "1"}], 'line 2: "problem" is 3: it must be text'),
        ([{"problem": "?", "answer": None}], 'line 1: "answer" is null'),
        ([{"problem": "?", "answer": True}], 'line 1: "answer" is true'),
        ([{"problem": "?", "answer": " "}], 'line 1: "answer"'),
        ([{"problem": "a\ud800", "answer": "1"}], r'line 1: "problem".* \(U\+D800\) at 1'),
        ([{"id": "a", "problem": "?", "answer": "1"}] * 2, "line 2: id 'a'"),
        ([[1]], "line 1: is a list"),
        ([], "is empty"),
    ],
)
def test_files_that_cannot_serve_are_named_with_their_line(tmp_path: Path, rows: list[object], told: str) -> None:
    path = write(tmp_path / "mine.jsonl", *rows)
    with pytest.raises(ValueError, match=told):
        load_benchmark(str(path))


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"problem": "?", "answer": "2 + 2 = 4.\n#### 4"}, "4"),
        ({"problem": "?", "answer": "#### 1,234"}, "1,234"),
        ({"problem": "?", "solution": r"so $x = \boxed{\frac{1}{2}}$."}, r"\frac{1}{2}"),
        ({"problem": "?", "final_answer": ["2", "3"]}, "2, 3"),
        ({"problem": "?", "final_answer": "['$x=1$']"}, "$x=1$"),
        ({"problem": "?", "answer": "[1, 2]"}, "[1, 2]"),
        ({"problem": "?", "answer": 14}, "14"),
        ({"prompt": [{"role": "user", "content": "?"}], "reward_model": {"ground_truth": "9"}}, "9"),
    ],
)
def test_known_forms_of_golds(tmp_path: Path, row: dict[str, object], answer: str) -> None:
    [problem] = load_benchmark(str(write(tmp_path / "mine.jsonl", row))).problems
    assert (problem.question, problem.answer) == ("?", answer)


def test_csv_is_read_as_jsonl_is(tmp_path: Path) -> None:
    rows = [{"id": "a", "problem": "1, 2?", "answer": "3"}, {"id": "b", "problem": "two\nlines", "answer": "#### 4"}]
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "problem", "answer"])
        writer.writeheader()
        writer.writerows(rows)
    lines = load_benchmark(str(write(tmp_path / "mine.jsonl", *rows)))
    assert load_benchmark(str(tmp_path / "mine.csv")).problems == lines.problems
    assert expand([str(tmp_path / "mine.csv")])
    (tmp_path / "mine.csv").write_bytes(b"problem,answer\n\xff,1\n")
    with pytest.raises(ValueError, match="mine.csv is no CSV file"):
        load_benchmark(str(tmp_path / "mine.csv"))


def test_any_parquet_file(tmp_path: Path) -> None:
    table = pyarrow.table({"id": [5, 6], "prompt": ["?", "!"], "target": [27.0, 1.5]})
    pyarrow.parquet.write_table(table, tmp_path / "mine.parquet")
    loaded = load_benchmark(str(tmp_path / "mine.parquet"))
    assert [(p.id, p.answer) for p in loaded.problems] == [("5", "27"), ("6", "1.5")]
    decimals = pyarrow.array([Decimal("27.00"), Decimal("1.50"), Decimal("1200.00")], pyarrow.decimal128(8, 2))
    pyarrow.parquet.write_table(pyarrow.table({"problem": ["?"] * 3, "answer": decimals}), tmp_path / "dec.parquet")
    assert [p.answer for p in load_benchmark(str(tmp_path / "dec.parquet")).problems] == ["27", "1.5", "1200"]
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(ValueError, match="is no Parquet file"):
        load_benchmark(str(tmp_path / "bad.parquet"))


def test_tasks_of_reasoning_gym(tmp_path: Path) -> None:
    loaded = load_benchmark("chain_sum", limit=3)
    assert len(loaded.problems) == 3
    assert loaded.revision == "0.1.25"
    assert loaded.problems == load_benchmark("chain_sum").problems[:3]


def test_names_and_sizes_are_told_without_torch() -> None:
    code = "import sys, asyppo_cli.evaluation.benchmarks as b; b.expand(['paper']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_equal_answers_vote_together() -> None:
    problems = [Problem("a", "?", "7"), Problem("b", "?", r"\frac{1}{2}")]
    texts = [
        [r"\boxed{7}", r"\boxed{07.0}", r"\boxed{8}", r"\boxed{08}"],
        [r"\boxed{x+1}", r"\boxed{1+x}", "no", r"\boxed{2/4}"],
    ]
    with GraderPool(1, 10.0) as pool:
        verdicts = [pool.grade([p] * 4, row) for p, row in zip(problems, texts, strict=True)]
        found = answer_classes(pool, problems, verdicts)
    assert found == [["7", "7", "8", "8"], ["x+1", "x+1", None, r"\frac{1}{2}"]]
