r"""Canonical tokens as an expression, read as one reads them on paper.

``2x`` is a product, ``1\frac{4}{5}`` a mixed number, ``\cos 2t`` the cosine of 2t, ``60^\circ`` that times pi/180,
``a/bc`` is (a/b)c as in a programming language, ``f(x)`` a function for the usual names of functions, else a product.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from asyppo_cli.tasks.grading.mathematics.expressions import (
    DEGREE,
    MINUS_ONE,
    PI,
    Expression,
    Unreadable,
    number,
    plus,
    symbol,
    times,
)
from asyppo_cli.tasks.grading.mathematics.latex import Tokens

_MAX_DEPTH = 60
_MAX_DIGITS = 4_000
_MAX_EXPONENT = 4_000
_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi "
    "psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega hbar ell mho odot "
)
_GREEK = frozenset(f"\\{name}" for name in _NAMES.split())
_TRIGONOMETRY = ("sin", "cos", "tan", "cot", "sec", "csc")
_INVERSES = {
    f"\\{prefix}{name}{end}": f"a{name}{end}" for name in _TRIGONOMETRY for prefix in ("arc", "a") for end in ("", "h")
}
_FUNCTIONS = {f"\\{name}{end}": name + end for name in _TRIGONOMETRY for end in ("", "h")} | _INVERSES | {
    r"\ln": "ln", r"\log": "log", r"\lg": "lg", r"\exp": "exp", r"\max": "max", r"\min": "min",
}  # fmt: skip
_RECIPROCALS = {"cot": "tan", "sec": "cos", "csc": "sin"}
_ACCENTS = frozenset({r"\dot", r"\ddot", r"\vec", r"\hat", r"\bar", r"\tilde", r"\overline", r"\overrightarrow"})
_FENCES = {"(": ")", "{": "}", "[": "]", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}
_ENDS = frozenset({")", "}", "]", r"\rfloor", r"\rceil", "+", "-", ","})
# What ends the argument of a function written without brackets: sin 2x + 1, sin x cos x, ln x (x+1).
_ARGUMENT_ENDS = _ENDS | {"(", "[", r"\cdot", "/", "|"}
# Letters that name a function before a bracket; others are factors unless the bracket holds just t, x or 0.
_FUNCTION_NAMES = frozenset("fghFGHPQ")


def parse(tokens: Tokens) -> Expression:
    """The expression that the tokens are; raise :class:`Unreadable` for anything else."""
    parser = _Parser(tokens)
    found = parser.sum()
    if parser.at != len(tokens):
        raise Unreadable
    return found


class _Parser:
    """Recursive descent through tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.at = 0
        self._depth = 0
        self._bars = 0

    def sum(self) -> Expression:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Unreadable
        terms = [self._signed()]
        while self._peek() in ("+", "-"):
            terms.append(self._signed())
        self._depth -= 1
        return plus(*terms)

    def _signed(self) -> Expression:
        sign = 1
        while self._peek() in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        term = self._product(_ENDS)
        if sign < 0 and term.op == "number" and isinstance(term.atom, Fraction):
            return number(-term.atom)
        return times(MINUS_ONE, term) if sign < 0 else term

    def _product(self, ends: frozenset[str]) -> Expression:
        factors = [self._factor()]
        while (token := self._peek()) is not None and token not in ends and not (token == "|" and self._bars):
            if ends is _ARGUMENT_ENDS and token in _FUNCTIONS:
                break
            if token in (r"\cdot", "/"):
                self._take()
                sign = -1 if self._peek() == "-" and self._take() else 1
                factor = self._factor() if sign > 0 else times(MINUS_ONE, self._factor())
                factors = [Expression("/", (times(*factors), factor))] if token == "/" else [*factors, factor]
            elif token[0].isdigit() and self.tokens[self.at - 1][0].isdigit():
                raise Unreadable  # two numbers side by side
            else:
                factors.append(self._factor())
        return times(*factors)

    def _factor(self) -> Expression:
        begin = self.at
        base = self._atom()
        while (token := self._peek()) in ("^", "!", "°", "%"):
            self._take()
            if token == "!":
                double = self._peek() == "!" and self._take()
                base = Expression("factorial2" if double else "factorial", (base,))
            elif token == "%":
                base = Expression("/", (base, number(100)))
            elif token == "°" or self.tokens[self.at : self.at + 3] == ("{", r"\circ", "}"):
                self.at += 0 if token == "°" else 3
                base = times(base, DEGREE)
            elif self.tokens[self.at : self.at + 2] == ("{", r"\prime"):
                end = self.tokens.index("}", self.at)
                base = symbol("".join(self.tokens[begin : self.at - 1]) + "'" * (end - self.at - 1))
                self.at = end + 1
            else:
                base = Expression("^", (base, self._group()))
        return base

    def _atom(self) -> Expression:
        token = self._take()
        if token[0].isdigit():
            return self._number(token)
        if token in _FENCES:
            inner = self._until(_FENCES[token])
            return (
                inner
                if token in ("(", "{", "[")
                else Expression("floor" if token == r"\lfloor" else "ceiling", (inner,))
            )
        if token == "|":
            self._bars += 1
            inner = self.sum()
            self._bars -= 1
            if self._take() != "|":
                raise Unreadable
            return Expression("abs", (inner,))
        if token in _FUNCTIONS:
            return self._function(_FUNCTIONS[token])
        if token == r"\frac":
            return self._derivative() or Expression("/", (self._group(), self._group()))
        if token == r"\binom":
            return Expression("binomial", (self._group(), self._group()))
        if token == r"\sqrt":
            index = self._until("]") if self._peek() == "[" and self._take() else number(2)
            return Expression("^", (self._group(), Expression("/", (number(1), index))))
        if token in (r"\sum", r"\prod"):
            return self._series("sum" if token == r"\sum" else "product")
        return self._name(token)

    def _number(self, token: str) -> Expression:
        """A decimal, with what repeats in it, or a mixed number."""
        if len(token) > _MAX_DIGITS:
            raise Unreadable
        value = Fraction(token)
        places = len(token.partition(".")[2])
        if self._peek() in (r"\overline", r"\dot", r"\bar") and "." in token:
            self._take()
            digits = "".join(self._digits())
            value += Fraction(int(digits), 10 ** len(digits) - 1) / 10**places
        elif self._peek() == r"\ldots" and (period := _period(token)):
            self._take()
            head = token[: len(token) - period]
            value = Fraction(head) + Fraction(int(token[-period:]), 10**period - 1) / 10 ** (places - period)
        elif self._peek() in ("e", "E") and (power := self._exponent()) is not None:
            value *= Fraction(10) ** power
        elif "." not in token and (rest := self._mixed()) is not None:
            return plus(number(value), rest)
        return number(value)

    def _digits(self) -> Iterator[str]:
        """Digits of a group, or of several one by one under dots."""
        if self._take() != "{":
            raise Unreadable
        while (token := self._take()) != "}":
            if not token.isdigit():
                raise Unreadable
            yield token

    def _exponent(self) -> int | None:
        """The 5 of 3.2e5, 3.2e-05 or 3.2e+5."""
        rest = self.tokens[self.at + 1 : self.at + 3]
        sign = rest[0] if rest[:1] in (("-",), ("+",)) else ""
        digits = rest[1:] if sign else rest[:1]
        if not digits or not digits[0].isdigit() or int(digits[0][:9]) > _MAX_EXPONENT:
            return None
        self.at += 2 + bool(sign)
        return int(sign + digits[0])

    def _mixed(self) -> Expression | None:
        r"""The ``\frac{4}{5}`` right behind a whole number."""
        part = self.tokens[self.at : self.at + 7]
        kinds = tuple("0" if token.isdigit() else token for token in part)
        if kinds != (r"\frac", "{", "0", "}", "{", "0", "}") or int(part[5][:50]) == 0:
            return None
        self.at += 7
        return number(Fraction(int(part[2]), int(part[5])))

    def _function(self, name: str) -> Expression:
        power, base = None, None
        while self._peek() in ("^", "_"):
            power, base = (self._group(), base) if self._take() == "^" else (power, self._group())
        if power == MINUS_ONE and name in _FUNCTIONS.values() and not name.startswith("a"):
            name, power = f"a{name}", None
        arguments = self._arguments(name)
        if len(arguments) != 1 and name not in ("max", "min"):
            raise Unreadable
        found = _call(name, arguments, base)
        return Expression("^", (found, power)) if power is not None else found

    def _arguments(self, name: str) -> tuple[Expression, ...]:
        if self._peek() == "(":
            self._take()
            return self._list()
        if self._peek() == "{":
            return (self._group(),)
        argument = self._product(_ARGUMENT_ENDS)
        if self._peek() == "/" and argument != PI and not (argument.op == "*" and PI in argument.args):
            return (argument,)
        if self._peek() == "/" and self.tokens[self.at + 1 : self.at + 2][0:1] and name not in ("ln", "log", "lg"):
            self._take()  # sin pi/6 is the sine of pi/6
            argument = Expression("/", (argument, self._factor()))
        return (argument,)

    def _list(self) -> tuple[Expression, ...]:
        """Arguments up to the closing bracket, which is taken."""
        bars, self._bars = self._bars, 0
        items = [self.sum()]
        while self._peek() == ",":
            self._take()
            items.append(self.sum())
        if self._take() != ")":
            raise Unreadable
        self._bars = bars
        return tuple(items)

    def _series(self, op: str) -> Expression:
        r"""``\sum_{k=1}^{n} k``: its arguments are first, last and the term."""
        if self._take() != "_" or self._take() != "{":
            raise Unreadable
        name = self._name(self._take())
        if self._take() != "=" or name.op != "symbol":
            raise Unreadable
        first = self._until("}")
        if self._take() != "^":
            raise Unreadable
        last = self._group()
        return Expression(op, (first, last, self._product(_ENDS)), name.atom)

    def _name(self, token: str) -> Expression:
        if token == r"\pi":
            return PI
        if token == r"\infty":
            return Expression("constant", (), "infinity")
        if token in _ACCENTS:
            name = token + "".join(self._taken_group())
        elif token in _GREEK or (len(token) == 1 and token.isalpha()):
            name = token
        else:
            raise Unreadable
        while self._peek() == "_":
            self._take()
            name += "_" + "".join(self._taken_group())
        if name in ("e", "i"):
            return Expression("constant", (), name)
        content = self.tokens[self.at + 1 : self.at + 3]
        if self._peek() == "(" and (name[0] in _FUNCTION_NAMES or content in (("t", ")"), ("x", ")"), ("0", ")"))):
            self._take()
            return Expression("apply", self._list(), name)
        return symbol(name)

    def _derivative(self) -> Expression | None:
        r"""``\frac{dy}{dx}`` as the name y'."""
        if self.tokens[self.at + 1 : self.at + 2] not in (("d",), (r"\partial",)):
            return None
        middle = self.tokens.index("}", self.at)
        above = self.tokens[self.at + 2 : middle]
        below = self.tokens[middle + 1 : self.tokens.index("}", middle + 1)]
        if len(below) != 3 or below[1] not in ("d", r"\partial") or not above or "+" in above:
            return None
        self.at = middle + 5
        return symbol(f"{''.join(above)}'" if below[2] in "xt" else f"d{''.join(above)}/d{below[2]}")

    def _group(self) -> Expression:
        if self._take() != "{":
            raise Unreadable
        return self._until("}")

    def _taken_group(self) -> Tokens:
        """Tokens of a group without its braces, or a single token."""
        if self._peek() != "{":
            return (self._take(),)
        end = self.tokens.index("}", self.at) if "}" in self.tokens[self.at :] else len(self.tokens)
        taken = self.tokens[self.at + 1 : end]
        self.at = end + 1
        return taken

    def _until(self, closing: str) -> Expression:
        bars, self._bars = self._bars, 0
        inner = self.sum()
        if self._take() != closing:
            raise Unreadable
        self._bars = bars
        return inner

    def _peek(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _take(self) -> str:
        if self.at >= len(self.tokens):
            raise Unreadable
        self.at += 1
        return self.tokens[self.at - 1]


def _call(name: str, arguments: tuple[Expression, ...], base: Expression | None) -> Expression:
    """A function of its arguments in terms of few: sin, cos, tan, their inverses, ln, exp and the like."""
    one = number(1)
    stem, end = (name[:-1], "h") if name.endswith("h") else (name, "")
    if name in ("log", "lg", "ln"):
        if base is not None:
            return Expression("/", (Expression("ln", arguments), Expression("ln", (base,))))
        return (
            Expression("/", (Expression("ln", arguments), Expression("ln", (number(10),))))
            if name == "lg"
            else Expression(name, arguments)
        )
    if name == "exp":
        return Expression("^", (Expression("constant", (), "e"), *arguments))
    if stem in _RECIPROCALS:
        return Expression("/", (one, Expression(_RECIPROCALS[stem] + end, arguments)))
    if stem[1:] in _RECIPROCALS and stem[0] == "a":
        return Expression(f"a{_RECIPROCALS[stem[1:]]}{end}", (Expression("/", (one, *arguments)),))
    return Expression(name, arguments)


def _period(token: str) -> int:
    """Digits that repeat at the end of a decimal whose dots say that it goes on; 0 for none."""
    places = token.partition(".")[2]
    for size in range(1, len(places) // 2 + 1):
        times_seen = 3 if size == 1 else 2
        if len(places) >= times_seen * size and places[-size:] * times_seen == places[-times_seen * size :]:
            return size
    return 0
