from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import reasoning_gym

from asyppo_cli.config.method import TaskConfig
from asyppo_cli.tasks.data.problems import load_problems
from asyppo_cli.tasks.data.procedural import plain

SMALL = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}  # 200 different questions


def task(**changes: Any) -> TaskConfig:
    values = {
        "source": "reasoning_gym",
        "name": "chain_sum",
        "path": None,
        "heldout_path": None,
        "params": {"min_terms": 4, "max_terms": 8, "min_digits": 1, "max_digits": 1},
        "size": 100,
        "overlong": "drop",
        "columns": dict.fromkeys(("problem", "answer", "id", "difficulty")),
        "system_prompt": "Think.",
    }
    return TaskConfig(**(values | changes))


def file_task(path: Path, **changes: Any) -> TaskConfig:
    return task(source="jsonl", name="file", path=str(path), params={}, **changes)


def write(path: Path, count: int, first: int = 0) -> Path:
    rows = [{"id": f"p{i}", "problem": f"What is {i}?", "answer": f"{i}"} for i in range(first, first + count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_generated_problems_are_lazy_seeded_and_verifiable() -> None:
    train, heldout = load_problems(task(size=10**9), seed=1, heldout=5)
    assert len(train) == 10**9
    assert len(heldout) == 5
    assert train[17].id == "chain_sum-17"
    score = reasoning_gym.get_score_answer_fn("chain_sum")
    assert all(score(problem.answer, problem.entry) == 1.0 for problem in [*train[:20], *heldout])
    assert all(json.loads(json.dumps(problem.entry)) == problem.entry for problem in train[:20])
    again, _ = load_problems(task(size=10**9), seed=1, heldout=5)
    assert again[10**9 - 1] == train[-1]
    with pytest.raises(IndexError):
        train[10**9]


def test_neighbouring_seeds_share_no_run_of_problems() -> None:
    one, two = (load_problems(task(), seed=seed, heldout=1)[0] for seed in (1, 2))
    shared = {problem.question for problem in one} & {problem.question for problem in two}
    assert len(shared) < 5  # reasoning-gym's own seeds 1 and 2 share 99 of 100


def test_heldout_problems_are_the_same_for_all_seeds_and_a_prefix() -> None:
    first, second = (load_problems(task(), seed=seed, heldout=1500)[1] for seed in (1, 2))
    assert first == second
    assert load_problems(task(), seed=3, heldout=40)[1] == first[:40]
    assert len({problem.question for problem in first}) == 1500


def test_training_never_meets_a_heldout_question() -> None:
    train, heldout = load_problems(task(params=SMALL, size=2000), seed=1, heldout=100)
    asked = [problem.question for problem in train]
    assert not set(asked) & {problem.question for problem in heldout}
    assert len(set(asked)) == 100  # all the others
    assert asked == [problem.question for problem in load_problems(task(params=SMALL, size=2000), 1, 100)[0]]
    assert len({problem.id for problem in train}) == 2000


def test_too_few_different_problems() -> None:
    with pytest.raises(ValueError, match=r"evaluation\.problems is 201, but only 200 different problems of chain_sum"):
        load_problems(task(params=SMALL), seed=1, heldout=201)
    train, _ = load_problems(task(params=SMALL), seed=1, heldout=200)
    with pytest.raises(ValueError, match="nearly all problems of chain_sum are held out"):
        train[0]


def test_unknown_task_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"task\.name: reasoning-gym has no 'chain_sm'; nearest: chain_sum"):
        load_problems(task(name="chain_sm"), seed=1, heldout=1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"min_term": 3}, r"task\.params\.min_term: .* no such parameter; nearest: min_terms"),
        ({"min_terms": 5, "max_terms": 3}, r"task\.params\.min_terms, task\.params\.max_terms: .*max_terms must be >="),
        ({"min_terms": 0}, r"task\.params\.min_terms: reasoning-gym's chain_sum says: min_terms must be positive"),
        ({"min_terms": "a"}, r"task\.params\.min_terms: reasoning-gym's chain_sum says: .*not supported"),
        ({"seed": 3}, r"task\.params\.seed: leave it out: seed gives it"),
        ({"size": 3}, r"task\.params\.size: leave it out: task\.size gives it"),
    ],
)
def test_bad_parameters_name_the_key(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_problems(task(params=params), seed=1, heldout=1)


def test_plain_values() -> None:
    assert plain({1: (True, None, 2.5, "x")}) == {"1": [True, None, 2.5, "x"]}
    with pytest.raises(TypeError, match="type set"):
        plain({1, 2})


def test_a_file_holds_back_its_last_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", 10)
    train, heldout = load_problems(file_task(path), seed=1, heldout=3)
    assert [problem.id for problem in train] == [f"p{i}" for i in range(7)]
    assert [problem.id for problem in heldout] == ["p7", "p8", "p9"]
    assert (train[4].question, train[4].answer, train[4].entry) == ("What is 4?", "4", {})
    assert len(load_problems(file_task(path, size=5), seed=2, heldout=3)[0]) == 5


def test_a_heldout_file_and_no_question_in_both(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", 10)
    other = write(tmp_path / "b.jsonl", 8, first=6)
    train, heldout = load_problems(file_task(path, heldout_path=str(other)), seed=1, heldout=2)
    assert [problem.id for problem in heldout] == ["p6", "p7"]
    assert [problem.id for problem in train] == ["p0", "p1", "p2", "p3", "p4", "p5", "p8", "p9"]
    with pytest.raises(ValueError, match=r"evaluation\.problems is 9, but task\.heldout_path .* has 8"):
        load_problems(file_task(path, heldout_path=str(other)), seed=1, heldout=9)


def test_difficulty_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('\ufeff{"id": "a", "problem": "é?", "answer": "1", "difficulty": 4.5}\n\n', encoding="utf-8")
    train, _ = load_problems(file_task(path, heldout_path=str(write(tmp_path / "b.jsonl", 1))), seed=1, heldout=1)
    assert (train[0].question, train[0].entry) == ("é?", {"difficulty": 4.5})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"task\.path: .*a\.jsonl is empty"),
        (b"\n \n", r"task\.path: .*a\.jsonl is empty"),
        (b'{"id": "a", "problem": "?", "answer": "1"}\n{"id": ', r"a\.jsonl line 2: is not JSON"),
        (b'{"id": "a", "problem": "\xff", "answer": "1"}\n', r"a\.jsonl line 1: is not JSON"),
        (b'\n{"id": "a", "problem": "?"}\n', r'a\.jsonl line 2: has no "answer"'),
        (b'{"id": "a", "problem": "?", "answer": {}}\n', r'a\.jsonl line 1: "answer"'),
        (b"[1]\n", r"a\.jsonl line 1: is a list"),
        (b'{"id": "a", "problem": "?", "answer": "1"}\n' * 2, r"line 2: id 'a' .*line 1"),
        (b'{"id": "a", "problem": "?", "answer": "1"}\n', r"has 1 and the last ones are held out"),
    ],
)
def test_faults_of_a_file_name_file_and_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_problems(file_task(path), seed=1, heldout=1)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"task\.path: cannot read .*none\.jsonl: No such file"):
        load_problems(file_task(tmp_path / "none.jsonl"), seed=1, heldout=1)
    with pytest.raises(ValueError, match=r"task\.path: the folder .* no files"):
        load_problems(file_task(tmp_path), seed=1, heldout=1)


def test_training_reads_what_evaluation_reads(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows = [{"id": i, "question": f"What is {i}?", "answer": i} for i in range(3)] + [
        {"question": "?", "answer": "#### 4"}
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train, heldout = load_problems(file_task(path), seed=1, heldout=1)
    assert [(problem.id, problem.answer) for problem in [*train, *heldout]] == [
        *(("0", "0"), ("1", "1"), ("2", "2")),
        ("mine-3", "4"),
    ]


NAMED = {"problem": "data.text", "answer": "data.gold", "id": "key", "difficulty": "level"}


@pytest.mark.parametrize("form", ["jsonl", "parquet", "csv"])
def test_columns_are_named_and_may_be_nested(tmp_path: Path, form: str) -> None:
    path, columns = tmp_path / f"mine.{form}", NAMED
    rows = [{"key": f"k{i}", "level": 2.5, "data": {"text": f"{i}?", "gold": i}, "problem": "no"} for i in range(3)]
    if form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text("key,level,data.text,data.gold\n" + "".join(f"k{i},2.5,{i}?,{i}\n" for i in range(3)))
    train, _ = load_problems(file_task(path, columns=columns), seed=1, heldout=1)
    assert [(p.id, p.question, p.answer, p.entry["difficulty"]) for p in train] == [
        ("k0", "0?", "0", 2.5),
        ("k1", "1?", "1", 2.5),
    ]


def test_a_column_that_is_not_there_is_named_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"q": "?", "answer": "1"}\n{"answer": "1"}\n')
    columns = dict.fromkeys(NAMED) | {"problem": "q"}
    with pytest.raises(ValueError, match=r'line 2: has no "q"; it has: answer'):
        load_problems(file_task(path, columns=columns), seed=1, heldout=1)
    with pytest.raises(ValueError, match=r"task\.columns\.problem"):
        load_problems(task(columns=columns), seed=1, heldout=1)
