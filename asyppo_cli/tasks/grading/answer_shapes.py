r"""The shape of an answer: a list, set, tuple, interval, union or matrix, something with a name, or a plain term.

Read from canonical tokens (:mod:`asyppo_cli.tasks.grading.latex`) without any algebra, so it is quick, total and safe.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from asyppo_cli.tasks.grading.latex import Tokens, canonical, is_text, text_of

# Shapes within shapes deeper than this are a term: no answer has four levels, and recursion must end.
_DEEPEST = 6
# More plus-minus signs than this in one answer are not written out.
_MOST_SIGNS = 4
OPENING = frozenset({"(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil", r"\beginmatrix", r"\beginvmatrix"})
CLOSING = frozenset({")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil", r"\endmatrix", r"\endvmatrix"})
_COMPARISONS = frozenset({"<", ">", r"\le", r"\ge"})
_MATCHING = {"(": (")", "]"), "[": (")", "]"), r"\{": (r"\}",), r"\langle": (r"\rangle",)}


@dataclass(frozen=True)
class Shape:
    """An answer or a part of one; ``tokens`` are all of it."""

    tokens: Tokens


@dataclass(frozen=True)
class Term(Shape):
    """Nothing with parts: a number, an expression, a relation, words."""


@dataclass(frozen=True)
class Several(Shape):
    """Answers side by side, in no order."""

    items: tuple[Shape, ...]


@dataclass(frozen=True)
class Braces(Shape):
    r"""A set, ``\{1, 2\}``."""

    items: tuple[Shape, ...]


@dataclass(frozen=True)
class Ordered(Shape):
    """A point or an interval, ``(1, 2]``."""

    opening: str
    items: tuple[Shape, ...]
    closing: str

    @property
    def is_interval(self) -> bool:
        """Whether it cannot be a point: brackets that differ or are square, or an end at infinity."""
        endless = any(r"\infty" in item.tokens for item in self.items)
        return len(self.items) == 2 and (self.opening == "[" or self.closing == "]" or endless)


@dataclass(frozen=True)
class Union(Shape):
    """Sets joined, in no order."""

    items: tuple[Shape, ...]


@dataclass(frozen=True)
class Matrix(Shape):
    """Rows of cells."""

    rows: tuple[tuple[Shape, ...], ...]

    @property
    def vector(self) -> tuple[Shape, ...] | None:
        """The cells of a single row or column."""
        if len(self.rows) == 1:
            return self.rows[0]
        return tuple(row[0] for row in self.rows) if all(len(row) == 1 for row in self.rows) else None


@dataclass(frozen=True)
class Named(Shape):
    """``x = 5``, ``f(x) = 2x`` or ``x \\in [0, 1]``: what is left of the last sign, and what is right of it."""

    name: Tokens
    value: Shape


def read(text: str) -> Shape:
    """The shape of an answer."""
    return shape(canonical(text))


def shape(tokens: Tokens, depth: int = 0) -> Shape:
    """The shape that tokens have."""
    tokens = _bare(tokens)
    if depth >= _DEEPEST or not tokens:
        return Term(tokens)
    parts = _split(tokens, _separates)
    if len(parts) > 1:
        return _several(tokens, parts, depth)
    if tokens[0] == r"\{":
        return _enclosed(tokens, depth) or Term(tokens)
    return _named(tokens, depth) or _signs(tokens, depth) or _enclosed(tokens, depth) or Term(tokens)


def _several(tokens: Tokens, parts: list[Tokens], depth: int) -> Shape:
    items = [shape(part, depth + 1) for part in parts if part]
    if not items:
        return Term(tokens)
    if len(items) == 1:
        return items[0]
    # Two values behind a plus-minus are answers like the others.
    flat = itertools.chain.from_iterable(item.items if isinstance(item, Several) else (item,) for item in items)
    return Several(tokens, tuple(flat))


def _named(tokens: Tokens, depth: int) -> Shape | None:
    for sign in ("=", r"\in"):
        parts = _split(tokens, sign.__eq__)
        if len(parts) > 1 and all(parts):
            name = tokens[: len(tokens) - len(parts[-1]) - 1]
            return Named(tokens, name, shape(parts[-1], depth + 1))
    return _range(tokens, depth)


def _range(tokens: Tokens, depth: int) -> Shape | None:
    """``a < x \\le b`` and ``x > a`` as the interval of the letter that they bound."""
    parts = _split(tokens, _COMPARISONS.__contains__)
    signs = [token for token in _at_top(tokens) if token in _COMPARISONS]
    if not all(parts) or len(parts) not in (2, 3):
        return None
    if len(parts) == 2:
        if not _is_letter(parts[0]):
            parts, signs = parts[::-1], [_flipped(signs[0])]
        if not _is_letter(parts[0]):
            return None
        upward = signs[0] in (">", r"\ge")
        low, high = (parts[1], ("\\infty",)) if upward else (("-", r"\infty"), parts[1])
        strict = (signs[0] == ">", True) if upward else (True, signs[0] == "<")
    else:
        if not _is_letter(parts[1]) or (signs[0] in (">", r"\ge")) != (signs[1] in (">", r"\ge")):
            return None
        if signs[0] in (">", r"\ge"):
            parts, signs = parts[::-1], [_flipped(sign) for sign in signs[::-1]]
        low, high = parts[0], parts[2]
        strict = (signs[0] == "<", signs[1] == "<")
    opening, closing = "(" if strict[0] else "[", ")" if strict[1] else "]"
    ends = (shape(low, depth + 1), shape(high, depth + 1))
    name = parts[1] if len(parts) == 3 else parts[0]
    return Named(tokens, name, Ordered((opening, *low, ",", *high, closing), opening, ends, closing))


def _signs(tokens: Tokens, depth: int) -> Shape | None:
    r"""Every choice of the signs of ``\pm``; with ``\mp`` about, upper and lower signs go together."""
    places = [i for i, token in enumerate(tokens) if token in (r"\pm", r"\mp")]
    if not places or len(places) > _MOST_SIGNS:
        return None
    if any(tokens[i] == r"\mp" for i in places):
        choices = [tuple(sign if tokens[i] == r"\pm" else other for i in places) for sign, other in ("+-", "-+")]
    else:
        choices = list(itertools.product("+-", repeat=len(places)))
    items = []
    for choice in choices:
        signs = dict(zip(places, choice, strict=True))
        items.append(shape(tuple(signs.get(i, token) for i, token in enumerate(tokens)), depth + 1))
    return Several(tokens, tuple(items))


def _enclosed(tokens: Tokens, depth: int) -> Shape | None:
    """What stands between brackets that open first and close last; or a union of such."""
    parts = _split(tokens, r"\cup".__eq__)
    if len(parts) > 1 and all(parts):
        return Union(tokens, tuple(shape(part, depth + 1) for part in parts))
    if tokens[0] == r"\beginmatrix" and tokens[-1] == r"\endmatrix" and _is_whole(tokens):
        rows = [row for row in _split(tokens[1:-1], "\\\\".__eq__) if row]
        return Matrix(tokens, tuple(tuple(shape(c, depth + 1) for c in _split(row, "&".__eq__)) for row in rows))
    if tokens[-1] not in _MATCHING.get(tokens[0], ()) or not _is_whole(tokens):
        return None
    cells = _split(tokens[1:-1], _separates)
    if tokens[0] == r"\{":
        items = tuple(shape(cell, depth + 1) for cell in cells if cell)
        flat = itertools.chain.from_iterable(i.items if isinstance(i, Several) else (i,) for i in items)
        # A set defined by a property has a bar in it and is beyond us.
        return Term(tokens) if {"|", r"\mid", ":"} & set(tokens) else Braces(tokens, tuple(flat))
    if len(cells) < 2 or not all(cells):
        return None
    return Ordered(tokens, tokens[0], tuple(shape(cell, depth + 1) for cell in cells), tokens[-1])


def _bare(tokens: Tokens) -> Tokens:
    """Without braces around all of it, and a sign of approximation or equality in front."""
    while len(tokens) >= 2 and tokens[0] == "{" and tokens[-1] == "}" and _is_whole(tokens):
        tokens = tokens[1:-1]
    return tokens[1:] if tokens and tokens[0] in (r"\approx", "=", "+") else tokens


def _split(tokens: Tokens, separates: object) -> list[Tokens]:
    assert callable(separates)
    parts: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token in OPENING) - (token in CLOSING)
        if depth == 0 and token not in CLOSING and separates(token):
            parts.append([])
        else:
            parts[-1].append(token)
    return [tuple(part) for part in parts]


def _at_top(tokens: Tokens) -> Iterator[str]:
    depth = 0
    for token in tokens:
        depth += (token in OPENING) - (token in CLOSING)
        if depth == 0:
            yield token


def _is_whole(tokens: Tokens) -> bool:
    """Whether the first bracket closes with the last token and not before."""
    depth = 0
    for i, token in enumerate(tokens):
        depth += (token in OPENING) - (token in CLOSING)
        if depth <= 0:
            return depth == 0 and i == len(tokens) - 1
    return False


def _separates(token: str) -> bool:
    return token in (",", ";", r"\vee") or (is_text(token) and text_of(token) in ("and", "or"))


def _is_letter(tokens: Tokens) -> bool:
    """A variable: one letter or Greek letter, perhaps with an index."""
    first = tokens[0]
    named = (len(first) == 1 and first.isalpha()) or (first.startswith("\\") and first[1:].isalpha())
    return named and first != r"\infty" and (len(tokens) == 1 or tokens[1] == "_")


def _flipped(sign: str) -> str:
    return {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}[sign]
