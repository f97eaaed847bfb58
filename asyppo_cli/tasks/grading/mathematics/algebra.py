"""Equality of expressions by sympy: proved, or not. May not return, so it runs under a deadline.

Numbers at high precision may refute; only algebra proves. Variables are positive in a proof and of both signs in a
refutation, wherever both sides are real, so ``ln x^2`` is ``2 ln x`` and ``sqrt(x^2)`` is not ``x``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from asyppo_cli.tasks.grading.mathematics.expressions import Expression, minus
from asyppo_cli.tasks.grading.mathematics.values import Unknown, rational, value

_DIGITS = (50, 100)
_POINTS = 8
_WHOLE = frozenset({"floor", "ceiling", "factorial", "binomial", "factorial2", "sum", "product"})
_INDEX_LETTERS = frozenset("nkmjNKM")


def prepare() -> None:
    """Import what a comparison needs."""
    import mpmath  # noqa: F401
    import sympy  # noqa: F401


def equal_expressions(a: Expression, b: Expression) -> bool:
    """Whether two expressions are proved to be equal."""
    if a == b:
        return True
    difference = minus(a, b)
    whole = _needs_whole(difference)
    if any(_refuted(difference, point) for point in _points(difference, whole)):
        return False
    return _is_zero(difference, whole)


def equal_equations(a: Expression, b: Expression) -> bool:
    """Whether ``a = 0`` and ``b = 0`` are the same equation: one is the other times a number."""
    import sympy

    point = next(_points(minus(a, b), whole=False))
    exact = {sympy.Symbol(name, positive=True): sympy.Rational(*found) for name, found in point.items()}
    f, g = (built(part, whole=False) for part in (a, b))
    above, below = f.subs(exact), g.subs(exact)
    if f == 0 or g == 0 or below.equals(0) or above.equals(0):
        return False
    difference = f * below - g * above
    return _proved(difference)


def number_of(e: Expression, digits: int = 30) -> Any:
    """The numerical value of an expression without variables, by mpmath; None where there is none."""
    import mpmath

    context = mpmath.mp.clone()
    context.dps = digits
    try:
        return context.mpmathify(value(e, {}, context))
    except (Unknown, ArithmeticError, ValueError, TypeError, AttributeError, KeyError):
        return None


def _needs_whole(e: Expression) -> bool:
    """Whether variables stand for whole numbers: factorials and the like, powers of -1, trigonometry of n pi."""
    for node in e.nodes():
        if node.op in _WHOLE and node.symbols():
            return True
        base = rational(node.args[0]) if node.op == "^" and node.args[1].symbols() else None
        if base is not None and base < 0:
            return True
        if node.op in ("sin", "cos", "tan") and node.symbols() and node.symbols() <= _INDEX_LETTERS:
            return True
    return False


def _points(e: Expression, whole: bool) -> Iterator[dict[str, tuple[int, int]]]:
    """Fractions as pairs, for every variable."""
    generator = random.Random(20)
    names = sorted(e.symbols())
    for _ in range(_POINTS):
        if whole:
            yield {name: (generator.randrange(1, 13), 1) for name in names}
        else:
            sign = -1 if generator.random() < 0.5 else 1
            yield {name: (sign * generator.randrange(300, 2700), 997) for name in names}


def _refuted(difference: Expression, point: dict[str, tuple[int, int]]) -> bool:
    """Whether the difference is certainly not zero there: it stays the same at twice the precision."""
    import mpmath

    found = []
    for digits in _DIGITS:
        context = mpmath.mp.clone()
        context.dps = digits
        at = {name: context.mpf(above) / below for name, (above, below) in point.items()}
        try:
            sides = [context.mpmathify(value(part, at, context)) for part in (difference.args[0], difference)]
        except (Unknown, ArithmeticError, ValueError, TypeError, AttributeError, KeyError):
            return False
        if not all(math.isfinite(x.real) and math.isfinite(x.imag) for x in map(complex, sides) if abs(x) < 1e300):
            return False
        found.append(sides)
    imaginary = any(node.atom == "i" for node in difference.nodes())
    if point and not imaginary and any(abs(x.imag) > 1e-30 * (abs(x) + 1) for x in found[1]):
        return False  # outside of where it is real
    first, second = found[0][1], found[1][1]
    return bool(second != 0 and abs(first - second) < abs(second) / 100)


def built(e: Expression, whole: bool) -> Any:
    """The expression in sympy, its variables positive."""
    import sympy

    if e.op == "number":
        return sympy.Rational(e.atom.numerator, e.atom.denominator)  # type: ignore[union-attr]
    if e.op == "symbol":
        return sympy.Symbol(str(e.atom), positive=True, integer=whole or None)
    if e.op == "constant":
        return {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "infinity": sympy.oo}[str(e.atom)]
    args = [built(part, whole) for part in e.args]
    match e.op:
        case "+":
            return sympy.Add(*args)
        case "*":
            return sympy.Mul(*args)
        case "/":
            return args[0] / args[1]
        case "^":
            return _power(*args)
        case "sum" | "product":
            index = sympy.Symbol(str(e.atom), positive=True, integer=whole or None)
            return (sympy.Sum if e.op == "sum" else sympy.Product)(args[2], (index, args[0], args[1])).doit()
        case "apply":
            return sympy.Function(str(e.atom))(*args)
    names = {"ln": "log", "abs": "Abs", "max": "Max", "min": "Min"}
    return getattr(sympy, names.get(e.op, e.op))(*args)


def _power(base: Any, exponent: Any) -> Any:
    if base.is_number and exponent.is_Rational and exponent.q % 2 and exponent.q > 1 and base.is_negative:
        return (-1) ** exponent.p * (-base) ** exponent
    return base**exponent


def _is_zero(difference: Expression, whole: bool) -> bool:
    found = built(difference, whole)
    if not whole or found == 0:
        return _proved(found)
    return _proved(found) or _by_remainders(found)


def _by_remainders(found: Any) -> bool:
    """Floors and powers of -1 of one whole variable, for every remainder of it."""
    import sympy

    if len(found.free_symbols) != 1 or not found.has(sympy.floor, sympy.ceiling, sympy.Pow):
        return False
    (name,) = found.free_symbols
    size = math.lcm(2, *(int(part.q) for part in found.atoms(sympy.Rational)))
    part = sympy.Symbol("part", integer=True, nonnegative=True)
    return size <= 12 and all(_proved(found.subs(name, size * part + rest)) for rest in range(size))


def _proved(found: Any) -> bool:
    """Whether algebra reduces it to zero."""
    import sympy

    if found.has(sympy.nan, sympy.zoo, sympy.oo):
        return False
    if found.is_Rational:
        return bool(found == 0)
    steps: list[Callable[[Any], Any]] = [
        sympy.expand,
        lambda d: sympy.cancel(sympy.together(d)),
        lambda d: sympy.expand(sympy.expand_trig(d)),
        lambda d: sympy.expand_log(sympy.powdenest(d, force=True), force=True).expand(),
        lambda d: sympy.radsimp(sympy.sqrtdenest(d)),
        lambda d: sympy.combsimp(d.rewrite(sympy.factorial)),
        lambda d: sympy.expand(d.rewrite(sympy.exp)),
        sympy.simplify,
        lambda d: sympy.simplify(sympy.expand(d.rewrite(sympy.exp))),
    ]
    for step in steps:
        try:
            if step(found) == 0:
                return True
        except (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError):
            continue
    return bool(found.is_number and found.is_algebraic and sympy.minimal_polynomial(found).is_Symbol)
