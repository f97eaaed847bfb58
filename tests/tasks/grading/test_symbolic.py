"""What math-verify's parser would silently misread is read as it is meant, or not at all."""

from __future__ import annotations

import pytest

from asyppo_cli.tasks.grading.float_evaluation import differ, value
from asyppo_cli.tasks.grading.latex import canonical
from asyppo_cli.tasks.grading.symbolic import parsed


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("2(3)", 6),
        ("(2)(3)", 6),
        (r"2\frac{1}{2}", 2.5),
        (r"\frac12 (4)", 2),
        (r"\log_2 8", 3),
        (r"7 - 2\sqrt 9", 1),
        ("sqrt(16)/2", 2),
        (r"|-5|", 5),
    ],
)
def test_numbers_mean_what_a_reader_sees(text: str, meaning: float) -> None:
    assert float(parsed(canonical(text)).evalf()) == pytest.approx(meaning)


@pytest.mark.parametrize("text", ["204_5", "2 3", "n!!", r"6 \approx 7", "???", r"\frac{1}{0}", "x\x00"])
def test_what_would_be_misread_is_not_read(text: str) -> None:
    assert parsed(canonical(text)) is None


def test_letters_are_kept_apart_and_none_is_lost() -> None:
    assert {symbol.name for symbol in parsed(canonical(r"C c \gamma")).free_symbols} == {"C", "c", "greekgamma"}
    assert {symbol.name for symbol in parsed(canonical(r"\cos 2t")).free_symbols} == {"t"}
    assert not parsed(canonical("6 - 5i")).free_symbols


@pytest.mark.parametrize(
    ("gold", "given", "apart"),
    [
        (r"\frac{x}{2}", r"\frac{x}{3}", True),
        ("x(x+1)", "x^2+1", False),  # a product or a function: not for us
        ("n^2+n", "n(n+1)", False),
        (r"\sqrt{8}", r"2\sqrt{2}", False),
        (r"\sqrt{8}", r"2\sqrt{3}", True),
        (r"90^\circ", r"\frac{\pi}{2}", False),
        ("a/bc", "a/(bc)", False),
        ("10^{400}", "1", False),
        (r"\sin 2x", r"\sin 3x", True),
    ],
)
def test_only_what_is_clearly_apart_is_wrong_without_algebra(gold: str, given: str, apart: bool) -> None:
    assert differ(canonical(gold), canonical(given), 0.0) is apart


def test_values_are_plain_arithmetic() -> None:
    assert value(canonical(r"\frac{3!}{4} - 2^{-1} + \pi")) == pytest.approx(1 + 3.141592653589793)
    assert value(canonical(r"\int x")) is None
    assert value(canonical("9^{9^{9^{9}}}")) is None
