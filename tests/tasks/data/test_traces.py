from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import reasoning_gym

from asyppo_cli.tasks.data.procedural import heldout_problems
from asyppo_cli.tasks.data.traces import TraceErrors, load_traces, worked_trace
from asyppo_cli.tasks.grading.boxed import last_boxed
from asyppo_cli.types import Problem

PROBLEMS = heldout_problems("chain_sum", {"min_terms": 1, "max_terms": 8, "max_digits": 2, "allow_negation": True}, 200)
LONG = [problem for problem in PROBLEMS if problem.entry["metadata"]["num_terms"] > 2]


def known(expression: str) -> Problem:
    return Problem("k", "?", "10", {"metadata": {"source_dataset": "chain_sum", "expression": expression}})


def traces(problems: list[Problem], flaws: TraceErrors) -> Iterator[tuple[Problem, list[str]]]:
    rng = random.Random(1)
    for problem in problems:
        yield problem, worked_trace(problem, rng, flaws).split("\n")


def right(problem: Problem, lines: list[str]) -> bool:
    score = reasoning_gym.get_score_answer_fn("chain_sum")
    return bool(score(last_boxed(lines[-1]), problem.entry) == 1.0)


def holds(line: str) -> bool:
    """Whether a line of a trace is true arithmetic."""
    left, sign, term, _, result = line.split()
    return int(left) + (int(term) if sign == "+" else -int(term)) == int(result)


def test_a_worked_example() -> None:
    trace = worked_trace(known("4 - 8 + 7"), random.Random(0), TraceErrors())
    assert trace == "4 - 8 = -4\n-4 + 7 = 3\n\\boxed{3}"
    assert worked_trace(known("4"), random.Random(0), TraceErrors()) == r"\boxed{4}"


def test_clean_traces_are_true_line_by_line_and_right() -> None:
    for problem, lines in traces(PROBLEMS, TraceErrors()):
        assert len(lines) == problem.entry["metadata"]["num_terms"]
        assert all(holds(line) for line in lines[:-1])
        assert all(a.split()[-1] == b.split()[0] for a, b in pairwise(lines[:-1]))
        assert right(problem, lines)


def test_no_steps_leaves_the_right_answer() -> None:
    assert all(
        len(lines) == 1 and right(problem, lines) for problem, lines in traces(PROBLEMS, TraceErrors(no_steps=1.0))
    )


def test_skipped_lines_leave_true_ones_and_the_right_answer() -> None:
    for problem, lines in traces(LONG, TraceErrors(skipped_steps=1.0)):
        clean = worked_trace(problem, random.Random(0), TraceErrors()).split("\n")
        assert 1 < len(lines) < len(clean)
        assert [line for line in clean if line in lines] == lines
        assert right(problem, lines)


def test_a_wrong_line_is_one_and_the_rest_follows_from_it() -> None:
    for problem, lines in traces(LONG, TraceErrors(wrong_line=1.0)):
        assert sum(not holds(line) for line in lines[:-1]) == 1
        assert all(a.split()[-1] == b.split()[0] for a, b in pairwise(lines[:-1]))
        assert lines[-2].split()[-1] == last_boxed(lines[-1])
        assert not right(problem, lines)


def test_shares_are_kept_and_exclude_each_other() -> None:
    rng, problem = random.Random(2), LONG[0]
    clean = worked_trace(problem, rng, TraceErrors()).split("\n")
    made = [worked_trace(problem, rng, TraceErrors(0.3, 0.4, 0.1)).split("\n") for _ in range(4000)]
    alone = sum(len(lines) == 1 for lines in made)
    skipped = sum(1 < len(lines) < len(clean) for lines in made)
    wrong = sum(len(lines) == len(clean) and lines != clean for lines in made)
    assert [alone / 4000, skipped / 4000, wrong / 4000] == pytest.approx([0.3, 0.4, 0.1], abs=0.03)
    assert alone + skipped + wrong + made.count(clean) == 4000


def test_shares_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="must lie in"):
        TraceErrors(0.5, 0.4, 0.2)


def test_other_tasks_need_a_file() -> None:
    with pytest.raises(ValueError, match=r"only chain_sum has worked traces: give traces=FILE"):
        worked_trace(Problem("p1", "?", "1"), random.Random(0), TraceErrors())


def test_traces_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text('{"problem": "1+1", "response": "2"}\n{"problem": "1+2"}\n')
    with pytest.raises(ValueError, match=r'traces\.jsonl line 2: has no "response"'):
        load_traces(str(path))
    path.write_text('{"problem": "1+1", "response": "2"}\n')
    assert load_traces(str(path)) == [("1+1", "2")]
