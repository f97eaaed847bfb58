"""Terms that need algebra, read by math-verify's parser: may not return, so run it under a deadline.

Numbers are compared to thirty digits and expressions at points, which settles nearly all at once and, unlike
simplification, in either direction. Relations and sets are left to math-verify's own comparison.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator
from typing import Any

from asyppo_cli.tasks.grading.equivalence import Decision, Terms, quick_terms
from asyppo_cli.tasks.grading.implicit_products import explicit
from asyppo_cli.tasks.grading.latex import Tokens, write
from asyppo_cli.tasks.grading.numbers import quantity, strip_unit

# Parsed terms kept: golds come back with every sample of their problem.
_KEPT = 4096
_DIGITS = 30
# Relative difference below which two numbers computed to thirty digits are the same; chance plays no part.
_SAME = 1e-18
_POINTS = 6
# Numbers of more digits are not computed.
_LARGEST = 2_000


class Unreadable(ValueError):
    """A term that cannot be parsed; ``gold`` says whose it is."""

    def __init__(self, gold: bool) -> None:
        super().__init__("unreadable gold" if gold else "unreadable")
        self.gold = gold


def prepare() -> None:
    """Import what a comparison needs, and let the parser build its tables."""
    import math_verify  # noqa: F401

    parsed(("x", "+", "1"))


def algebraic_terms(tolerance: float) -> Terms:
    """Compares terms by what they mean; raises :class:`Unreadable` for one that means nothing."""
    quick = quick_terms(tolerance)

    def compare(gold: Tokens, given: Tokens) -> Decision:
        decision = quick(gold, given)
        return _same_meaning(gold, given, tolerance) if decision is None else decision

    return compare


def _same_meaning(gold: Tokens, given: Tokens, tolerance: float) -> bool:
    import math_verify
    from sympy import Eq, Expr
    from sympy.core.relational import Relational

    (gold_body, gold_unit), (given_body, given_unit) = strip_unit(gold), strip_unit(given)
    a, b = parsed(gold_body), parsed(given_body)
    if a is None or b is None:
        raise Unreadable(gold=a is None)
    if isinstance(a, Expr) and isinstance(b, Expr):
        if not a.free_symbols and not b.free_symbols:
            return _same_number(a, b, (gold_unit, given_unit), given, tolerance)
        decision = _same_at_points(a, b)
        return bool(math_verify.verify(a, b, timeout_seconds=None)) if decision is None else decision
    if isinstance(a, Relational) != isinstance(b, Relational):
        return False
    if isinstance(a, Eq) and isinstance(b, Eq) and _same_equation(a, b):
        return True
    return bool(math_verify.verify(a, b, timeout_seconds=None))


@functools.lru_cache(_KEPT)
def parsed(tokens: Tokens) -> Any:
    """A term in sympy's form, floats as fractions and i as the imaginary unit; None for what means nothing."""
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy
    from sympy import nan, zoo

    if _misleads(tokens):
        return None
    text = write(explicit(tokens, for_parser=True))
    # Small and capital letters are two variables.
    config = ConversionConfig(lowercase_symbols=False)
    try:
        found = latex2sympy(text, is_real=True, normalization_config=None, conversion_config=config)
        found = _cleaned(found)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001
        # Broad on purpose: the parser raises bare exceptions, and sympy nearly anything, for what they cannot read.
        return None
    endless = hasattr(found, "has") and found.has(zoo, nan)
    return found if not endless and _is_complete(tokens, found) else None


def _misleads(tokens: Tokens) -> bool:
    """What the parser would silently take for something else: 204_5 for 204, 2 3 for a sum, n!! for (n!)!, a ≈ b."""
    return r"\approx" in tokens or any(
        (first[0].isdigit() and (second == "_" or second[0].isdigit())) or first == second == "!"
        for first, second in itertools.pairwise(tokens)
    )


def _cleaned(found: Any) -> Any:
    """Unevaluated parts carried out, undefined functions and derivatives as symbols of their own."""
    from sympy import Basic, Derivative, Float, I, Integral, Rational, Symbol, srepr
    from sympy.core.function import AppliedUndef

    if not isinstance(found, Basic):
        return found
    unknown = (AppliedUndef, Derivative, Integral)
    found = found.replace(lambda e: isinstance(e, unknown), lambda e: Symbol(srepr(e)))
    names = {symbol: I if symbol.name == "i" else Symbol(symbol.name) for symbol in found.atoms(Symbol)}
    floats = {number: Rational(str(number)) for number in found.atoms(Float)}
    return found.xreplace({**names, **floats})


def _is_complete(tokens: Tokens, found: Any) -> bool:
    r"""Whether no letter was lost: the parser reads ``\cos 2t`` as cos 2 and forgets what follows."""
    free = getattr(found, "free_symbols", None)
    if free is None:
        return True
    names = "".join(symbol.name for symbol in free)
    letters = {token for token in tokens if len(token) == 1 and token.isalpha()} - set("eid")
    return all(letter in names or letter in _BOUND for letter in letters) or bool(getattr(found, "is_Boolean", False))


# Letters that may vanish by right: of sets (\mathbb{R}) and of derivatives.
_BOUND = frozenset("RNZQC")


def _same_number(a: Any, b: Any, units: tuple[str, str], given: Tokens, tolerance: float) -> bool:
    from sympy import pi

    candidates = [b]
    if units == ("deg", ""):
        candidates.append(b * 180 / pi)
    elif units == ("", "deg"):
        candidates.append(b * pi / 180)
    elif "percent" in units and units[0] != units[1]:
        candidates.append(b * 100 if units[0] == "percent" else b / 100)
    elif units[0] and units[1] and "?" not in units and units[0] != units[1]:
        return False
    if any(_precisely(a, candidate) for candidate in candidates):
        return True
    exact, value = _value(a), _value(b)
    if tolerance and _close(exact, value, tolerance):
        return True
    decimal = quantity(given)
    if decimal is None or decimal.decimals is None or min(decimal.decimals, decimal.digits) < 6 or a.is_Rational:
        return False
    # A decimal for an irrational number: right in all of at least six digits.
    return exact is not None and bool(abs(exact - value) <= 0.5000001 * 10.0**-decimal.decimals)


def _same_at_points(a: Any, b: Any) -> Decision:
    """Whether two expressions agree at random points; None where they could not be computed.

    Points of any sign first. If only positive ones agree, variables were meant to be positive (logarithms, roots);
    if only whole ones, they were meant to be whole (floors, factorials).
    """
    from sympy import Abs

    decision = _agree(a, b, _reals(signed=True))
    if decision is not False:
        return decision
    if not (a.has(Abs) or b.has(Abs)) and (_needs_positive(a) or _needs_positive(b)):
        decision = _agree(a, b, _reals(signed=False))
    if decision is False and (_needs_whole(a) or _needs_whole(b)):
        decision = _agree(a, b, _wholes())
    return decision


def _agree(a: Any, b: Any, draws: Iterator[Any]) -> Decision:
    symbols = sorted(a.free_symbols | b.free_symbols, key=str)
    computed = 0
    for _ in range(3 * _POINTS):
        point = {symbol: next(draws) for symbol in symbols}
        x, y = _value(a.subs(point)), _value(b.subs(point))
        if x is None or y is None:
            if (x is None) != (y is None):
                return None
            continue
        if not _close(x, y, _SAME):
            return False
        computed += 1
        if computed == _POINTS:
            return True
    return None


def _reals(signed: bool) -> Iterator[Any]:
    from sympy import Rational

    generator = random.Random(20)
    while True:
        value = Rational(generator.randrange(300, 2700), 997)
        yield -value if signed and generator.random() < 0.5 else value


def _wholes() -> Iterator[Any]:
    from sympy import Integer

    generator = random.Random(21)
    while True:
        yield Integer(generator.randrange(1, 13))


def _needs_positive(expression: Any) -> bool:
    from sympy import Pow, log

    return bool(expression.has(log)) or any(not power.exp.is_integer for power in expression.atoms(Pow))


def _needs_whole(expression: Any) -> bool:
    from sympy import Pow, binomial, ceiling, cos, factorial, floor, sin

    if expression.has(floor, ceiling, factorial, binomial, sin, cos):
        return True
    return any(power.base.is_negative and power.exp.free_symbols for power in expression.atoms(Pow))


def _same_equation(a: Any, b: Any) -> bool:
    """Whether two equations are multiples of each other: the ratio of their differences is the same at all points."""
    f, g = a.lhs - a.rhs, b.lhs - b.rhs
    symbols = sorted(f.free_symbols | g.free_symbols, key=str)
    draws = _reals(signed=True)
    ratios = []
    for _ in range(_POINTS):
        point = {symbol: next(draws) for symbol in symbols}
        x, y = _value(f.subs(point)), _value(g.subs(point))
        if x is None or y is None or not x or not y:
            return False
        ratios.append(x / y)
    return all(_close(ratio, ratios[0], _SAME) for ratio in ratios)


def _value(expression: Any, digits: int = _DIGITS) -> Any:
    """A finite number to that many digits, or None."""
    value = expression.evalf(digits)
    if not value.is_number or value.is_finite is False:
        return None
    parts = value.as_real_imag()
    return value if all(part.is_Number and part.is_finite for part in parts) else None


def _close(x: Any, y: Any, relative: float) -> bool:
    if x is None or y is None:
        return False
    return bool(abs(x - y) <= relative * abs(x)) or (x == 0 and bool(abs(y) < _SAME))


def _precisely(a: Any, b: Any) -> Decision:
    """Whether two numbers without variables are the same; None if they are too large to tell.

    Large ones are computed to the last digit in front of the point: 2^1009 and 2^1009 + 1 agree in thirty digits.
    """
    x, y = _value(a), _value(b)
    if x is None or y is None:
        return None
    from sympy import log

    size = max(0, int(log(abs(x), 10).evalf(5))) if x else 0
    if size > _LARGEST:
        return None
    if size > _DIGITS // 3:
        x, y = _value(a, size + _DIGITS), _value(b, size + _DIGITS)
    return bool(abs(x - y) <= _SAME * (abs(x) if size <= _DIGITS // 3 else 1)) or (x == 0 and bool(abs(y) < _SAME))
