"""Gold answers are tried before the first sample."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from asyppo_cli.tasks.grading.golds import TRIED, check_golds
from asyppo_cli.tasks.grading.pool import GraderPool
from asyppo_cli.types import Problem

READABLE = ["42", "-1,234", r"\frac{1}{2}", r"x^2+1", "(3, 4)", r"\text{even}"]
UNREADABLE = ["}{", r"\frac{1}{"]


@pytest.fixture(scope="module")
def grader() -> Iterator[GraderPool]:
    with GraderPool(1, 20.0) as pool:
        yield pool


def problems(golds: list[str]) -> list[Problem]:
    return [Problem(f"p{i}", "?", gold) for i, gold in enumerate(golds)]


def test_readable_golds_give_no_warning(grader: GraderPool) -> None:
    assert check_golds(grader, problems(READABLE)) is None
    assert check_golds(grader, []) is None


def test_some_unreadable_golds_are_shown_with_their_share(grader: GraderPool) -> None:
    warning = check_golds(grader, problems(READABLE + UNREADABLE))
    assert warning is not None
    assert "2 of 8" in warning and "p6" in warning and "p0" not in warning


def test_nothing_but_unreadable_golds_is_an_error(grader: GraderPool) -> None:
    with pytest.raises(ValueError, match="2 of 2"):
        check_golds(grader, problems(UNREADABLE))


def test_a_large_file_is_tried_evenly(grader: GraderPool) -> None:
    golds = ["1"] * (3 * TRIED)
    golds[-3] = "}{"
    warning = check_golds(grader, problems(golds))
    assert warning is not None and f"p{len(golds) - 3}" in warning


def test_tasks_with_their_own_verifier_are_left_out(grader: GraderPool) -> None:
    assert check_golds(grader, [Problem("p", "?", "", {"metadata": {"source_dataset": "graph_color"}})]) is None
