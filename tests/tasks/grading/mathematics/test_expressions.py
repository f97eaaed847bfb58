from __future__ import annotations

from fractions import Fraction

import pytest

from asyppo_cli.tasks.grading.mathematics.algebra import equal_expressions
from asyppo_cli.tasks.grading.mathematics.expressions import Unreadable
from asyppo_cli.tasks.grading.mathematics.latex import canonical
from asyppo_cli.tasks.grading.mathematics.parser import parse
from asyppo_cli.tasks.grading.mathematics.units import read_unit
from asyppo_cli.tasks.grading.mathematics.values import clearly_differ, rational


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\frac{3!}{4} - 2^{-1}", Fraction(1)),
        (r"1\frac{4}{5}", Fraction(9, 5)),
        ("2(3)", Fraction(6)),
        ("-3^2", Fraction(-9)),
        (r"0.1\overline{6}", Fraction(1, 6)),
        (r"\sqrt[3]{-27}", Fraction(-3)),
        (r"\binom{6}{2}", Fraction(15)),
        (r"\lfloor -1.5 \rfloor", Fraction(-2)),
        ("9^{9^{9^{9}}}", None),
        (r"\frac{1}{0}", None),
        ("x", None),
        (r"\pi", None),
    ],
)
def test_exact_values(text: str, value: Fraction | None) -> None:
    assert rational(parse(canonical(text))) == value


@pytest.mark.parametrize("text", ["", "+", "1 2", r"\frac{1}", "(1", "x_", r"\int x", "|x", "?"])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse(canonical(text))


@pytest.mark.parametrize(
    ("gold", "given", "apart"),
    [
        (r"\frac{x}{2}", r"\frac{x}{3}", True),
        ("n^2+n", "n(n+1)", False),
        (r"\sqrt{8}", r"2\sqrt{3}", True),
        (r"\sin 2x", r"\sin 3x", True),
        ("f(x)", "f(2x)", False),
    ],
)
def test_only_what_is_clearly_apart_is_wrong_without_algebra(gold: str, given: str, apart: bool) -> None:
    assert clearly_differ(parse(canonical(gold)), parse(canonical(given)), 0.0) is apart


@pytest.mark.parametrize(
    ("gold", "given", "equal"),
    [
        ("(a+b)^2", "a^2+2ab+b^2", True),
        (r"\sqrt{3+2\sqrt2}", r"1+\sqrt2", True),
        (r"\cos 3x", r"4\cos^3 x-3\cos x", True),
        ("x", r"x+\sin(\pi x)", False),
        (r"\sqrt{x^2}", "x", False),
        (r"\lceil n/2 \rceil", r"\lfloor (n+1)/2 \rfloor", True),
        (r"\lceil n/3 \rceil", r"\lfloor (n+1)/3 \rfloor", False),
        ("f(x+x)", "f(2x)", True),
        ("f(x)", "f(y)", False),
    ],
)
def test_algebra_proves(gold: str, given: str, equal: bool) -> None:
    assert equal_expressions(parse(canonical(gold)), parse(canonical(given))) is equal


@pytest.mark.parametrize(
    ("text", "dimension", "factor"),
    [
        ("km/h", {"m": 1, "s": -1}, Fraction(5, 18)),
        ("square cm", {"m": 2}, Fraction(1, 10_000)),
        ("million dollars", {"usd": 1}, Fraction(10**6)),
        ("mL", {"m": 3}, Fraction(1, 10**6)),
        ("apples", {}, Fraction(1)),
    ],
)
def test_units(text: str, dimension: dict[str, int], factor: Fraction) -> None:
    unit = read_unit(text)
    assert unit is not None and (dict(unit.dimension), unit.factor) == (dimension, factor)


@pytest.mark.parametrize("text", ["less", "or more", "squared", "dozen eggs", "five"])
def test_words_that_are_no_unit(text: str) -> None:
    assert read_unit(text) is None
