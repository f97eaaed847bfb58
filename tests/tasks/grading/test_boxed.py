from __future__ import annotations

import time

import pytest

from asyppo_cli.tasks.grading.boxed import last_boxed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{10}.", "10"),
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed {3}", "3"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{a \} b}", r"a \} b"),
        (r"\boxed{1} and \boxed{2", "1"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"{{{ \boxed{7} }}}}}", "7"),
        (r"}} \boxed{7}", "7"),
        (r"line\\\boxed{8}", "8"),
        (r"line\\boxed{8}", None),
        (r"\boxed{}", ""),
        (r"\fbox{1}", None),
        (r"\boxed 5", None),
        (r"\boxed{", None),
        ("", None),
    ],
)
def test_last_complete_box(text: str, answer: str | None) -> None:
    assert last_boxed(text) == answer


@pytest.mark.parametrize("filler", ["{", "}", r"\boxed{", "\\", r"\boxed ", "{}"])
def test_time_is_linear_in_hostile_text(filler: str) -> None:
    started = time.perf_counter()
    last_boxed(r"\boxed{" + filler * (10**6 // len(filler)))
    assert time.perf_counter() - started < 5.0  # a quadratic scan takes hours
