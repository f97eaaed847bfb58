r"""Tell terms apart by their value in floating point: enough to call an answer wrong, never to call it right.

Most wrong answers are wrong by far. A few lines of arithmetic see that a thousand times faster than algebra, and cannot
hang: no big integers, no symbols, limited depth. Whatever is unusual is left alone.
"""

from __future__ import annotations

import cmath
import math
import zlib
from collections.abc import Callable

from asyppo_cli.tasks.grading.implicit_products import explicit
from asyppo_cli.tasks.grading.latex import Tokens
from asyppo_cli.tasks.grading.numbers import strip_unit

# Values further apart than this share are different, however they were rounded and computed.
_APART = 1e-3
_POINTS = 3
_DEEPEST = 30
_LONGEST = 200
_GREEK = frozenset(
    rf"\{name}"
    for name in ("alpha", "beta", "gamma", "delta", "theta", "lambda", "mu", "omega", "phi", "rho", "sigma", "tau")
)
_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    r"\sin": cmath.sin,
    r"\cos": cmath.cos,
    r"\tan": cmath.tan,
    r"\ln": cmath.log,
    r"\exp": cmath.exp,
}
_CLOSERS = frozenset({")", "}", "]", "+", "-", r"\cdot", "*", "/"})


def differ(gold: Tokens, given: Tokens, tolerance: float) -> bool:
    """Whether the terms certainly have different values; False where that cannot be told.

    Variables are small positive integers: two expressions that are the same for all numbers, for positive ones or for
    whole ones are the same there.
    """
    (a, first), (b, second) = strip_unit(gold), strip_unit(given)
    if {"deg", "percent"} & {first, second} or max(len(a), len(b)) > _LONGEST:
        return False
    apart = max(_APART, 2 * tolerance)
    for point in range(_POINTS):
        x, y = value(a, point), value(b, point)
        if x is None or y is None:
            return False
        if abs(x - y) > apart * max(abs(x), abs(y)):
            return True
    return False


def value(tokens: Tokens, point: int = 0) -> complex | None:
    """The value of a term with its variables at a point; None for anything out of the ordinary."""
    reader = _Reader(explicit(tokens), point)
    try:
        found = reader.sum(0)
    except (_Unusual, ArithmeticError, ValueError):
        return None
    finite = math.isfinite(found.real) and math.isfinite(found.imag) and abs(found) < 1e100
    return found if reader.at == len(reader.tokens) and finite else None


class _Unusual(ValueError):
    """Notation that is not read here."""


class _Reader:
    """Recursive descent through tokens."""

    def __init__(self, tokens: Tokens, point: int) -> None:
        self.tokens = tokens
        self.at = 0
        self._point = point

    def sum(self, depth: int) -> complex:
        if depth > _DEEPEST:
            raise _Unusual
        total = 0j
        sign = 1
        if self._peek() in ("+", "-"):
            sign = -1 if self._take() == "-" else 1
        while True:
            total += sign * self._product(depth)
            if self._peek() not in ("+", "-"):
                return total
            sign = -1 if self._take() == "-" else 1

    def _product(self, depth: int) -> complex:
        result = self._power(depth)
        divided = False
        while self._peek() is not None and self._peek() not in (")", "}", "]", "+", "-"):
            sign = self._peek()
            if sign in (r"\cdot", "*", "/"):
                self._take()
            elif divided:
                raise _Unusual  # a/bc is read in two ways
            factor = self._power(depth)
            divided = sign == "/"
            result = result / factor if divided else result * factor
        return result

    def _power(self, depth: int) -> complex:
        base = self._atom(depth)
        while self._peek() in ("^", "!"):
            if self._take() == "!":
                if base.imag or not 0 <= base.real <= 100 or base.real != int(base.real) or self._peek() == "!":
                    raise _Unusual
                base = complex(math.factorial(int(base.real)))
            else:
                base = base ** self._group(depth)
        return base

    def _atom(self, depth: int) -> complex:
        token = self._take()
        if token is None or token in _CLOSERS:
            raise _Unusual
        if token[0].isdigit():
            return complex(float(token))
        if token in ("(", "{"):
            return self._rest(")" if token == "(" else "}", depth)
        if token == r"\frac":
            above = self._group(depth)
            return above / self._group(depth)
        if token == r"\sqrt":
            index = self._rest("]", depth) if self._peek() == "[" and self._take() else 2
            radicand = self._group(depth)
            if radicand.imag or radicand.real < 0:
                raise _Unusual
            return complex(radicand.real ** (1 / index.real))
        if token == r"\pi":
            return complex(math.pi)
        if token in _FUNCTIONS:
            if self._peek() != "(":
                raise _Unusual
            return _FUNCTIONS[token](self._atom(depth + 1))
        return self._variable(token)

    def _variable(self, token: str) -> complex:
        if token not in _GREEK and not (len(token) == 1 and token.isascii() and token.isalpha()):
            raise _Unusual
        name = token
        if self._peek() == "_":
            end = self.at + 4
            if self.tokens[self.at + 1 : self.at + 2] != ("{",) or self.tokens[end - 1 : end] != ("}",):
                raise _Unusual
            name += self.tokens[self.at + 2]
            self.at = end
        if self._peek() == "(":
            raise _Unusual  # f(x) is a function or a product
        if name in ("e", "i"):
            return complex(math.e) if name == "e" else 1j
        if name == "d":
            raise _Unusual  # of an integral or derivative, maybe
        return complex(2 + (zlib.crc32(name.encode()) // 7**self._point) % 7)

    def _group(self, depth: int) -> complex:
        if self._take() != "{":
            raise _Unusual
        return self._rest("}", depth)

    def _rest(self, closing: str, depth: int) -> complex:
        inner = self.sum(depth + 1)
        if self._take() != closing:
            raise _Unusual
        return inner

    def _peek(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _take(self) -> str | None:
        token = self._peek()
        self.at += 1
        return token
