"""Values of expressions: exact fractions where there are only such, else numbers that can tell two expressions apart.

A numerical value never says that two expressions are equal.
"""

from __future__ import annotations

import cmath
import functools
import math
import zlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from asyppo_cli.tasks.grading.mathematics.expressions import Expression

# Fractions of more bits are left to algebra under a deadline.
_MAX_BITS = 40_000
_MAX_FACTORIAL = 3_000
_MAX_TERMS = 300
_POINTS = 3
# Values further apart than this share are different, however they were rounded.
_APART = 1e-3
_MATH_NAMES = {"ln": "log", "log": "log", "asinh": "asinh", "acosh": "acosh", "atanh": "atanh"}


class Unknown(ValueError):
    """An expression without a value that can be computed here."""


@functools.lru_cache(8192)
def rational(expression: Expression) -> Fraction | None:
    """The exact value of an expression of rational numbers, None for any other."""
    try:
        return _rational(expression)
    except (Unknown, ArithmeticError):
        return None


def _rational(e: Expression) -> Fraction:
    if e.op == "number":
        assert isinstance(e.atom, Fraction)
        return e.atom
    if e.op not in ("+", "*", "/", "^", "factorial", "abs", "floor", "ceiling", "binomial"):
        raise Unknown
    values = [_rational(part) for part in e.args]
    match e.op:
        case "+":
            return _small(sum(values, Fraction(0)))
        case "*":
            return _small(math.prod(values, start=Fraction(1)))
        case "/":
            return _small(values[0] / values[1])
        case "^":
            return _power(*values)
        case "abs":
            return abs(values[0])
        case "floor":
            return Fraction(math.floor(values[0]))
        case "ceiling":
            return Fraction(math.ceil(values[0]))
    if any(value.denominator != 1 or not 0 <= value <= _MAX_FACTORIAL for value in values):
        raise Unknown
    whole = [value.numerator for value in values]
    return Fraction(math.factorial(whole[0]) if e.op == "factorial" else math.comb(*whole))


def _small(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
        raise Unknown
    return value


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    """Powers and roots that are rational; an odd root of a negative number is real."""
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent.numerator) * bits > _MAX_BITS or exponent.denominator > 64:
        raise Unknown
    if exponent.denominator != 1:
        base = Fraction(_root(base.numerator, exponent.denominator), _root(base.denominator, exponent.denominator))
    return base**exponent.numerator


def _root(value: int, index: int) -> int:
    """The whole root of a whole number."""
    if value < 0:
        if index % 2 == 0:
            raise Unknown
        return -_root(-value, index)
    root = math.isqrt(value) if index == 2 else round(value ** (1 / index)) if value.bit_length() < 1000 else 0
    if root**index != value:
        raise Unknown
    return root


def value(e: Expression, point: Mapping[str, Any], lib: Any) -> Any:
    """The number that an expression is at a point, by the functions of ``lib`` (cmath, or an mpmath context).

    Raises Unknown, or what arithmetic raises.
    """
    match e.op:
        case "number":
            assert isinstance(e.atom, Fraction)
            return lib.mpf(e.atom.numerator) / e.atom.denominator if lib is not cmath else complex(e.atom)
        case "symbol":
            return point[str(e.atom)]
        case "constant" if e.atom != "infinity":
            return {"pi": +lib.pi, "e": lib.exp(1), "i": 1j}[str(e.atom)]
        case "sum" | "product":
            return _series(e, point, lib)
        case "constant" | "apply" | "factorial2" | "gcd":
            raise Unknown
    args = [value(part, point, lib) for part in e.args]
    match e.op:
        case "+":
            return sum(args)
        case "*":
            return math.prod(args)
        case "/":
            return args[0] / args[1]
        case "^":
            return _numeric_power(args[0], args[1], e.args[1])
    return _call(e.op, args, lib)


def _numeric_power(base: Any, exponent: Any, exact: Expression) -> Any:
    share = rational(exact)
    if share is not None and share.denominator % 2 and share.denominator > 1 and base.real < 0 and not base.imag:
        return (-1) ** share.numerator * (-base) ** exponent
    return base**exponent


def _call(name: str, args: list[Any], lib: Any) -> Any:
    if name == "abs":
        return abs(args[0])
    if name in ("floor", "ceiling", "max", "min", "factorial", "binomial") and any(abs(a.imag) > 0 for a in args):
        raise Unknown
    real = [a.real for a in args]
    match name:
        case "floor" | "ceiling":
            near = round(real[0])
            if abs(real[0] - near) < 1e-9:
                if real[0] != near:
                    raise Unknown  # which side of the step it is on, rounding decides
                return near
            return math.floor(real[0]) if name == "floor" else math.ceil(real[0])
        case "max" | "min":
            return max(real) if name == "max" else min(real)
        case "factorial":
            return _gamma(real[0] + 1, lib)
        case "binomial":
            n, k = real
            return _gamma(n + 1, lib) / (_gamma(k + 1, lib) * _gamma(n - k + 1, lib))
    return getattr(lib, _MATH_NAMES.get(name, name))(args[0])


def _gamma(x: Any, lib: Any) -> Any:
    return lib.gamma(x) if lib is not cmath else complex(math.gamma(x))


def _series(e: Expression, point: Mapping[str, Any], lib: Any) -> Any:
    first, last = (value(part, point, lib) for part in e.args[:2])
    if any(end.imag or end.real != int(end.real) for end in (first, last)) or last.real - first.real > _MAX_TERMS:
        raise Unknown
    indices = range(int(first.real), int(last.real) + 1)
    terms = [
        value(e.args[2], {**point, str(e.atom): lib.mpf(k) if lib is not cmath else complex(k)}, lib) for k in indices
    ]
    return sum(terms) if e.op == "sum" else math.prod(terms)


def clearly_differ(a: Expression, b: Expression, tolerance: float) -> bool:
    """Whether floating point certainly tells two expressions apart; False where it cannot.

    Variables are small positive integers: expressions that are equal for all numbers, for positive or for whole ones
    are equal there.
    """
    apart = max(_APART, 2 * tolerance)
    for place in range(_POINTS):
        x, y = _float(a, place), _float(b, place)
        if x is None or y is None:
            return False
        if abs(x - y) > apart * max(abs(x), abs(y)) and max(abs(x), abs(y)) > 1e-9:
            return True
    return False


@functools.lru_cache(8192)
def _float(e: Expression, place: int) -> complex | None:
    point = {name: complex(2 + (zlib.crc32(name.encode()) // 7**place) % 7) for name in e.symbols()}
    try:
        found = value(e, point, cmath)
    except (Unknown, ArithmeticError, ValueError, AttributeError, RecursionError):
        return None
    return found if cmath.isfinite(found) and abs(found) < 1e100 else None


def float_value(e: Expression) -> complex | None:
    """An approximation of an expression without variables."""
    return None if e.symbols() else _float(e, 0)
