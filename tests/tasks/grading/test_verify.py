from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import reasoning_gym

from asyppo_cli.tasks.data.procedural import create, plain
from asyppo_cli.tasks.grading.verify import decide, integer, judge, verify

ROOT = Path(__file__).parents[3]


def entry_of(task: str, seed: int = 3, **params: Any) -> dict[str, Any]:
    entry = plain(create(task, params, 4, seed)[0])
    return json.loads(json.dumps({**entry, "params": params}))


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("7", "7"),
        (" +07 ", "7"),
        ("-0", "0"),
        ("\N{MINUS SIGN}12", "-12"),
        ("- 12", "-12"),
        ("$1,234$", "1234"),
        ("1{,}234", "1234"),
        (r"1\,234", "1234"),
        ("12.0", "12"),
        ("12.", "12"),
        ("9" * 10_000, "9" * 10_000),
        ("12.5", None),
        ("1,23", None),
        ("1 2", None),
        ("x", None),
        ("", None),
        ("$", None),
        ("٣", None),
    ],
)
def test_integers_in_usual_spellings(text: str, digits: str | None) -> None:
    assert integer(text) == digits


@pytest.mark.parametrize(
    ("gold", "text", "kind"),
    [
        ("25", r"\boxed{025}", "right"),
        ("204", r"\boxed{204}", "right"),
        ("204", r"\boxed{205}", "wrong"),
        ("204", "it is 204", "unparseable"),
        ("204", r"\boxed{ }", "unparseable"),
        ("204", r"\boxed{\dfrac{408}{2}}", "right"),
        (r"\frac{1}{2}", r"\boxed{0.5}", "right"),
        (r"\frac{3}{4}", r"\boxed{\dfrac{6}{8}}", "right"),
        (r"\frac{3}{4}", r"\boxed{\frac{4}{3}}", "wrong"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"\boxed{(3, \pi/2)}", "right"),
        ("p - q", r"\boxed{-q + p}", "right"),
        ("x = 4", r"\boxed{4}", "right"),
        (r"\frac{1}{2}", r"\boxed{???}", "unparseable"),
        ("???", r"\boxed{\frac{1}{2}}", "unparseable_gold"),
        ("???", r"\boxed{???}", "right"),
        ("1", "\\boxed{\x00}", "unparseable"),
        ("1", "\\boxed{\ud800}", "unparseable"),
    ],
)
def test_kinds_without_a_task(gold: str, text: str, kind: str) -> None:
    assert verify(gold, text, {})[0] == kind


def test_integers_are_decided_without_a_worker() -> None:
    for answer, entry, kind in (("8", {}, "wrong"), ("8", entry_of("chain_sum"), "wrong"), ("7/1", {}, "right")):
        judgement, extracted = decide("7", f"\\boxed{{{answer}}}", entry)
        assert judgement is not None and (judgement.kind, extracted) == (kind, answer)
    assert decide("x+7", r"\boxed{(x^2+7x)/x}", {}) == (None, "(x^2+7x)/x")


@pytest.mark.parametrize("task", ["chain_sum", "products"])
@pytest.mark.parametrize(("answer", "right"), [("{0}", True), ("+{0}.0", True), ("{0}1", False), ("-{0}", False)])
def test_decimal_tasks_agree_with_their_verifier(task: str, answer: str, right: bool) -> None:
    entry = entry_of(task, seed=7, min_digits=2)
    given = answer.format(entry["answer"].lstrip("-"))
    entry["answer"] = entry["answer"].lstrip("-")
    score = reasoning_gym.get_score_answer_fn(task)(given, entry)
    assert (score == 1.0) is right
    assert verify(entry["answer"], f"\\boxed{{{given}}}", entry)[0] == ("right" if right else "wrong")


def test_other_answers_than_the_known_one_may_be_right() -> None:
    entry = entry_of("countdown")
    numbers, target = entry["metadata"]["numbers"], entry["metadata"]["target"]
    assert verify(entry["answer"], f"\\boxed{{{entry['answer']}}}", entry)[0] == "right"
    reversed_sum = f"({entry['answer']})"
    assert verify(entry["answer"], f"\\boxed{{{reversed_sum}}}", entry)[0] == "right"
    assert verify(entry["answer"], f"\\boxed{{{target}}}", entry)[0] == "wrong"
    assert verify(entry["answer"], f"\\boxed{{{sum(numbers) + 10**6}}}", entry)[0] == "wrong"


def test_partial_credit_is_not_right() -> None:
    entry = entry_of("chain_sum")
    answer = entry["answer"] + " apples"
    assert 0 < reasoning_gym.get_score_answer_fn("chain_sum")(answer, entry) < 1
    assert verify(entry["answer"], f"\\boxed{{{answer}}}", entry)[0] == "wrong"


@pytest.mark.parametrize("task", ["rearc", "graph_color", "gsm_symbolic", "knights_knaves", "mini_sudoku"])
def test_an_entry_survives_json(task: str) -> None:
    source = create(task, {}, 4, 3)
    original = source[0]
    answer = original["answer"] or json.dumps(original["metadata"]["possible_answer"])
    assert source.score_answer(answer, original) == 1.0
    assert judge("", answer, entry_of(task)).kind == "right"


def test_a_verifier_gets_its_parameters() -> None:
    params = {"min_num_decimal_places": 9, "max_num_decimal_places": 9, "precision": 15}
    entry = entry_of("decimal_arithmetic", **params)
    close = entry["answer"][:-1] + str((int(entry["answer"][-1]) + 5) % 10)
    assert judge("", entry["answer"], entry).kind == "right"
    assert judge("", close, entry).kind == "wrong"
    assert judge("", close, {**entry, "params": {}}).kind == "right"  # with fewer places it is close enough


def test_a_verifier_that_raises_cannot_read_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = entry_of("n_queens")
    assert judge("", "exit()", entry).kind in ("wrong", "unparseable")

    def score(answer: str, entry: dict[str, Any]) -> float:
        raise ZeroDivisionError(answer, entry)

    monkeypatch.setattr("asyppo_cli.tasks.grading.verify._scorer", lambda task, params: score)
    assert judge("", "1", entry).kind == "unparseable"


def test_workers_start_light() -> None:
    code = (
        "import asyppo_cli.tasks.grading.worker, sys; "
        "heavy = {'torch', 'transformers', 'math_verify', 'reasoning_gym', 'numpy', 'pydantic'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
