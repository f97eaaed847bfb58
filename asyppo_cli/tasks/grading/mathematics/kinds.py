r"""Answers by kind: a quantity, words, a list, a set, a tuple, an interval, a union, a matrix, a statement."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from asyppo_cli.tasks.grading.mathematics.expressions import Expression, Unreadable
from asyppo_cli.tasks.grading.mathematics.latex import Tokens, is_text, text_of
from asyppo_cli.tasks.grading.mathematics.parser import parse
from asyppo_cli.tasks.grading.mathematics.units import MeasureUnit, split_unit

OPENING = frozenset(
    {"(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil", r"\beginmatrix", r"\beginvmatrix", r"\begincases"}
)
CLOSING = frozenset(
    {")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil", r"\endmatrix", r"\endvmatrix", r"\endcases"}
)
COMPARISONS = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
INFINITY = (r"\infty",)
_ABBREVIATIONS = {"dne": "does not exist"}


@dataclass(frozen=True)
class GradedAnswer:
    """An answer or a part of one; ``tokens`` are all of it."""

    tokens: Tokens

    @property
    def kind(self) -> str:
        """For explanations."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Scalar(GradedAnswer):
    """A number or an expression, with a unit; or words, or what cannot be read."""

    @property
    def kind(self) -> str:
        """For explanations."""
        return "words" if words_of(self.tokens) is not None else "a number or expression"


@dataclass(frozen=True)
class Several(GradedAnswer):
    """Answers side by side, in no order; ``is_set`` in braces."""

    items: tuple[GradedAnswer, ...]
    is_set: bool = False


@dataclass(frozen=True)
class Ordered(GradedAnswer):
    """A tuple or an interval, ``(1, 2]``."""

    opening: str
    items: tuple[GradedAnswer, ...]
    closing: str

    @property
    def is_interval(self) -> bool:
        """Whether it cannot be a point: brackets that differ or are square, or an end at infinity."""
        endless = any(r"\infty" in item.tokens for item in self.items)
        return len(self.items) == 2 and (self.opening == "[" or self.closing == "]" or endless)


@dataclass(frozen=True)
class UnionOfSets(GradedAnswer):
    """Intervals and sets joined, in no order."""

    items: tuple[GradedAnswer, ...]


@dataclass(frozen=True)
class MatrixRows(GradedAnswer):
    """Rows of cells; a determinant has straight bars."""

    rows: tuple[tuple[GradedAnswer, ...], ...]
    is_determinant: bool = False

    @property
    def vector(self) -> tuple[GradedAnswer, ...] | None:
        """The cells of a single row or column."""
        if len(self.rows) == 1:
            return self.rows[0]
        return tuple(row[0] for row in self.rows) if all(len(row) == 1 for row in self.rows) else None


@dataclass(frozen=True)
class Statement(GradedAnswer):
    r"""``x = 5``, a chain ``A = 2 \cdot 3 = 6``, or (``is_member``) a variable in a set: ``x > 2``."""

    parts: tuple[Tokens, ...]
    value: GradedAnswer
    is_member: bool = False

    @property
    def name(self) -> Tokens:
        """What stands first."""
        return self.parts[0]


@dataclass(frozen=True)
class Congruence(GradedAnswer):
    r"""``x \equiv 2 \pmod 5``."""

    name: Tokens
    rest: Tokens
    modulus: Tokens


@functools.lru_cache(16384)
def expression_of(tokens: Tokens) -> tuple[Expression, MeasureUnit]:
    """Expression and unit of a scalar; raises Unreadable."""
    found = split_unit(tokens)
    if found is None:
        raise Unreadable
    body, unit = found
    if body[-1:] == (r"\cdot",):
        body = body[:-1]
    return parse(body), unit


def words_of(tokens: Tokens) -> str | None:
    """An answer in words, in small letters and without blanks; None for mathematics. A single letter keeps its size."""
    if not tokens:
        return None
    letters = all(len(token) == 1 and token.isalpha() for token in tokens)
    marked = any(is_text(token) and len(text_of(token)) > 1 for token in tokens)
    return spelled(tokens) if (marked and not tokens[0][0].isdigit()) or (letters and len(tokens) > 1) else None


def spelled(tokens: Tokens) -> str:
    """Everything as words, without brackets, blanks and articles."""
    whole = " ".join("".join(text_of(t) + " " if is_text(t) else t for t in tokens).split()).strip("()[]{}.*!\"' ")
    lowered = whole.lower().replace(".", "") if len(whole) > 1 else whole
    lowered = _ABBREVIATIONS.get(lowered, lowered)
    return "".join(part for part in lowered.split() if part not in ("a", "an", "the") or lowered == part)


def is_letter(tokens: Tokens) -> bool:
    """A variable: one letter or Greek letter, perhaps with an index."""
    first = tokens[0]
    named = (len(first) == 1 and first.isalpha()) or (first.startswith("\\") and first[1:].isalpha())
    if not named or first in (r"\infty", r"\pi", r"\frac", r"\sqrt", r"\binom"):
        return False
    return len(tokens) == 1 or (
        tokens[1] == "_" and tokens.index("}") == len(tokens) - 1 if "}" in tokens else len(tokens) == 3
    )


def split_top(tokens: Tokens, separates: Callable[[str], bool]) -> list[Tokens]:
    """Parts between separating tokens outside of brackets."""
    parts: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token in OPENING) - (token in CLOSING)
        if depth == 0 and token not in CLOSING and separates(token):
            parts.append([])
        else:
            parts[-1].append(token)
    return [tuple(part) for part in parts]


def at_top(tokens: Tokens) -> list[str]:
    """Tokens outside of brackets."""
    depths = itertools.accumulate((token in OPENING) - (token in CLOSING) for token in tokens)
    return [token for token, depth in zip(tokens, depths, strict=True) if not depth]


def is_whole(tokens: Tokens) -> bool:
    """Whether the first bracket closes with the last token and not before."""
    depths = list(itertools.accumulate((token in OPENING) - (token in CLOSING) for token in tokens))
    return depths[-1] == 0 and all(depth > 0 for depth in depths[:-1])


def separates_items(token: str) -> bool:
    """Whether it stands between answers: a comma, a semicolon, and, or."""
    return token in (",", ";", r"\vee") or (is_text(token) and text_of(token).strip(", ") in ("and", "or"))
