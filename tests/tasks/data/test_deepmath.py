"""DeepMath-103K in the hub's form, from a cache or a copy, drawn in proportion to difficulty."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from asyppo_cli.config.load import load
from asyppo_cli.config.method import TaskConfig
from asyppo_cli.tasks.data import hub
from asyppo_cli.tasks.data.difficulty import order_by_difficulty
from asyppo_cli.tasks.data.problems import describe_source, load_problems
from asyppo_cli.types import Problem

NAME = "zwhe99/DeepMath-103K"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def task(**changes: Any) -> TaskConfig:
    """The task as configured, with changes."""
    settled = load(["task=deepmath"]).config.task.model_dump()
    return TaskConfig(**(settled | changes))


def rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Rows with the hub's columns: difficulties 1 and 9 in turn, and a long solution that nobody reads."""
    return [
        {
            "question": f"What is {i}?",
            "final_answer": f"{i}",
            "difficulty": 1.0 if i % 2 else 9.0,
            "topic": "Mathematics",
            "r1_solution_1": "so " * 100,
        }
        for i in range(first, first + count)
    ]


def write_parquet(path: Path, table: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), path)
    return path


def write_lines(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub" / "datasets--zwhe99--DeepMath-103K"


@pytest.fixture
def snapshot(cache: Path) -> Path:
    """The data set in the cache, in two parts of 100."""
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(COMMIT)
    folder = cache / "snapshots" / COMMIT / "data"
    for part in range(2):
        write_parquet(folder / f"train-{part:05}-of-00002.parquet", rows(100, first=100 * part))
    return folder


def test_a_draw_from_the_hubs_files(snapshot: Path) -> None:
    train, heldout = load_problems(task(size=60), seed=1, heldout=10)
    assert len(train) == 60 and len(heldout) == 10
    questions = [problem.question for problem in [*train, *heldout]]
    assert len(set(questions)) == 70
    hard = sum(problem.entry["difficulty"] == 9.0 for problem in train)
    assert hard >= 45  # nine to one, 100 of each
    assert all(problem.answer == problem.question[8:-1] for problem in train)
    again = load_problems(task(size=60), seed=2, heldout=10)
    assert again == (train, heldout)


def test_the_revision_is_told(snapshot: Path) -> None:
    assert describe_source(task()) == f"problems of {NAME} at revision {COMMIT}"
    assert load_problems(task(params={"revision": COMMIT, "draw": "in_order"}), 1, 10)[0][0].question == "What is 0?"
    assert describe_source(task(path="copy.jsonl")) is None
    assert describe_source(load(["task=chain_sum"]).config.task) is None


def test_solutions_are_never_read(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = pyarrow.parquet.read_table
    columns: list[str] = []

    def watched(path: Path, **options: Any) -> Any:
        table = read(path, **options)
        columns.extend(table.column_names)
        return table

    monkeypatch.setattr(pyarrow.parquet, "read_table", watched)
    load_problems(task(), seed=1, heldout=10)
    assert set(columns) == {"question", "final_answer", "difficulty"}


def test_a_part_that_is_missing_is_noticed(snapshot: Path) -> None:
    (snapshot / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(ValueError, match=r"is not in .*datasets--zwhe99--DeepMath-103K, and HF_HUB_OFFLINE is set"):
        load_problems(task(), seed=1, heldout=10)


def test_a_folder_that_was_copied(snapshot: Path) -> None:
    copied = task(path=str(snapshot.parent), size=60)
    assert load_problems(copied, 1, 10) == load_problems(task(size=60), 1, 10)
    (snapshot / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(ValueError, match=r"task\.path: the folder .* has only 1 of the files"):
        load_problems(copied, 1, 10)
    with pytest.raises(ValueError, match=r"task\.path: the folder .* has no files"):
        load_problems(task(path=str(snapshot.parents[2] / "refs")), 1, 10)


@pytest.mark.usefixtures("cache")
def test_without_network_and_cache_the_file_that_is_wanted_is_named() -> None:
    with pytest.raises(ValueError, match=r"task\.name: zwhe99/DeepMath-103K at revision main .*task\.path=FILE") as e:
        load_problems(task(), seed=1, heldout=10)
    assert "\n" not in str(e.value)


def test_a_hub_that_cannot_be_reached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"and http://127\.0\.0\.1:9 cannot be reached \(.*refused.*\): give a copy"):
        hub.split_files(NAME, "train", None, "task.name", "give a copy")


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_copy_is_the_same_draw(snapshot: Path, tmp_path: Path, form: str) -> None:
    lines = [
        {"id": f"d{i}", "problem": row["question"], "answer": row["final_answer"], "difficulty": row["difficulty"]}
        for i, row in enumerate(rows(200))
    ]
    random.Random(0).shuffle(lines)
    path = tmp_path / f"copy.{form}"
    write_lines(path, lines) if form == "jsonl" else write_parquet(path, lines)
    from_hub, from_copy = (load_problems(t, 1, 10) for t in (task(size=60), task(size=60, path=str(path))))
    assert [[problem.question for problem in part] for part in from_hub] == [
        [problem.question for problem in part] for part in from_copy
    ]


def test_a_draw_made_before_is_taken_as_it_is(tmp_path: Path) -> None:
    lines = [{"id": f"d{i}", "problem": f"{i}?", "answer": "1"} for i in range(50)]
    path = str(write_lines(tmp_path / "drawn.jsonl", lines))
    train, heldout = load_problems(task(path=path), seed=1, heldout=10)
    assert len(train) == 40 and len(heldout) == 10
    # Not the last lines: such files are often sorted.
    assert [problem.id for problem in heldout] != [f"d{i}" for i in range(40, 50)]
    with pytest.raises(ValueError, match=r"none of its 50 problems has a difficulty .*task\.params\.draw=in_order"):
        load_problems(task(path=path, size=30), seed=1, heldout=10)
    ordered = task(path=path, size=30, params={"draw": "in_order"})
    assert [problem.id for problem in load_problems(ordered, 1, 10)[0]] == [f"d{i}" for i in range(30)]


def test_a_held_out_file_of_ones_own(tmp_path: Path) -> None:
    lines = [{"id": f"d{i}", "problem": f"{i}?", "answer": "1", "difficulty": 5} for i in range(50)]
    path = str(write_lines(tmp_path / "a.jsonl", lines))
    other = str(write_lines(tmp_path / "b.jsonl", lines[:5]))
    train, heldout = load_problems(task(path=path, heldout_path=other), seed=1, heldout=5)
    assert [problem.id for problem in heldout] == ["d0", "d1", "d2", "d3", "d4"]
    assert {problem.id for problem in train} == {f"d{i}" for i in range(5, 50)}


def problem(name: str, difficulty: Any) -> Problem:
    return Problem(name, f"{name}?", "1", {"difficulty": difficulty})


def test_the_first_drawn_is_in_proportion_to_difficulty() -> None:
    firsts = Counter(
        order_by_difficulty(
            [problem(f"{kind}{trial}", weight) for kind, weight in (("a", 1), ("b", 2), ("c", 5))], 3, "x"
        )[0].id[0]
        for trial in range(4000)
    )
    # Five standard deviations of a share of 4000.
    for kind, share in (("a", 1 / 8), ("b", 2 / 8), ("c", 5 / 8)):
        assert firsts[kind] / 4000 == pytest.approx(share, abs=5 * (share * (1 - share) / 4000) ** 0.5)


def test_the_second_drawn_is_in_proportion_among_those_left() -> None:
    orders = [
        "".join(
            p.id[0]
            for p in order_by_difficulty([problem(f"{k}{i}", w) for k, w in (("a", 1), ("b", 2), ("c", 5))], 3, "x")
        )
        for i in range(4000)
    ]
    after_c = [order[1] for order in orders if order[0] == "c"]
    assert after_c.count("b") / len(after_c) == pytest.approx(2 / 3, abs=5 * (2 / 9 / len(after_c)) ** 0.5)


def test_a_difficulty_of_zero_or_less_is_never_drawn() -> None:
    kept = order_by_difficulty([problem("a", 0), problem("b", -1.0), problem("c", 0.5)], 3, "x")
    assert [p.id for p in kept] == ["c"]
    with pytest.raises(ValueError, match="no problem has a difficulty above 0"):
        order_by_difficulty([problem("a", 0)], 3, "x")


@pytest.mark.parametrize(
    ("difficulty", "said"),
    [(None, "no difficulty"), ("hard", "'hard'"), (True, "True"), (float("nan"), "nan"), (float("inf"), "inf")],
)
def test_a_difficulty_must_be_a_number(difficulty: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"task.path: problem b has .*{said}"):
        order_by_difficulty([problem("a", 1), problem("b", difficulty)], 3, "task.path")


@pytest.mark.parametrize(
    ("source", "params", "message"),
    [
        ("hub", {"drw": "in_order"}, r"task\.params\.drw: task\.source=hub has no such parameter; nearest: draw"),
        ("hub", {"draw": "hard"}, r"task\.params\.draw=hard must be one of in_order, by_difficulty"),
        ("hub", {"revision": 12}, r"task\.params\.revision=12 must be text: put it in quotes"),
        ("jsonl", {"revision": "a"}, r"task\.params\.revision: task\.source=jsonl has no such parameter"),
    ],
)
def test_parameters_are_checked_first(source: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_problems(task(source=source, path="nowhere.jsonl", params=params), seed=1, heldout=1)


def test_a_copy_that_is_not_there_or_has_other_columns(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"task\.path: cannot read .*none\.parquet: No such file"):
        load_problems(task(path=str(tmp_path / "none.parquet")), seed=1, heldout=1)
    path = write_parquet(tmp_path / "odd.parquet", [{"text": "a"}])
    with pytest.raises(ValueError, match=r'odd\.parquet row 1: has no "problem" .*it has: text'):
        load_problems(task(path=str(path)), seed=1, heldout=1)
