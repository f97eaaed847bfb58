r"""Canonical tokens as an answer of some kind. Without algebra: quick, total and safe."""

from __future__ import annotations

import functools
import itertools

from asyppo_cli.tasks.grading.mathematics.kinds import (
    CLOSING,
    COMPARISONS,
    INFINITY,
    Congruence,
    GradedAnswer,
    MatrixRows,
    Ordered,
    Scalar,
    Several,
    Statement,
    UnionOfSets,
    at_top,
    is_letter,
    is_whole,
    separates_items,
    split_top,
    words_of,
)
from asyppo_cli.tasks.grading.mathematics.latex import Tokens, canonical, is_text, text_of
from asyppo_cli.tasks.grading.mathematics.sets import intersection, interval, range_of, without_points

# Kinds within kinds deeper than this are not read: no answer has four levels, and recursion must end.
_MAX_DEPTH = 6
# More plus-minus signs than this in one answer are not written out.
_MAX_SIGNS = 4
_MATCHING = {"(": (")", "]"), "[": (")", "]"), r"\{": (r"\}",), r"\langle": (r"\rangle",)}
_NUMBER_SETS = frozenset("ZNQ")


@functools.lru_cache(4096)
def read(text: str) -> GradedAnswer:
    """The answer that a text is."""
    return read_tokens(canonical(text))


def read_tokens(tokens: Tokens, depth: int = 0) -> GradedAnswer:
    """The answer that tokens are."""
    tokens = _without_ranges(_bare(tokens))
    if depth >= _MAX_DEPTH or not tokens:
        return Scalar(tokens)
    if tokens[0] == "]" and tokens[-1] == "[" and tokens.count(",") == 1:
        tokens = ("(", *tokens[1:-1], ")")
    for separates in (separates_items, "\\\\".__eq__):
        parts = split_top(tokens, separates)
        if len(parts) > 1:
            return _several(tokens, [part for part in parts if part], depth)
    found = None if tokens[0] == r"\{" else _statement(tokens, depth)
    found = found or _signs(tokens, depth) or _set(tokens, depth) or _enclosed(tokens, depth)
    return found or Scalar(tokens)


def _several(tokens: Tokens, parts: list[Tokens], depth: int) -> GradedAnswer:
    items = [read_tokens(part, depth + 1) for part in parts]
    if len(items) < 2:
        return items[0] if items else Scalar(tokens)
    members = [item for item in items if isinstance(item, Statement) and item.is_member]
    if len(members) == len(items) and len({item.name for item in members}) == 1:
        both = intersection(tokens, members) if not any(is_text(t) and text_of(t) == "or" for t in tokens) else None
        return both or Statement(
            tokens, (members[0].name,), UnionOfSets(tokens, _flat([m.value for m in members])), True
        )
    flat = itertools.chain.from_iterable(i.items if isinstance(i, Several) and not i.is_set else (i,) for i in items)
    return Several(tokens, tuple(flat))


def _flat(items: list[GradedAnswer]) -> tuple[GradedAnswer, ...]:
    return tuple(itertools.chain.from_iterable(i.items if isinstance(i, UnionOfSets) else (i,) for i in items))


def _statement(tokens: Tokens, depth: int) -> GradedAnswer | None:
    if r"\equiv" in tokens:
        return _congruence(tokens)
    parts = split_top(tokens, "=".__eq__)
    if len(parts) > 1 and all(parts) and not set(COMPARISONS) & set(at_top(tokens)):
        return _chain(tokens, parts, depth)
    parts = split_top(tokens, r"\in".__eq__)
    if len(parts) == 2 and all(parts):
        return Statement(tokens, (parts[0],), read_tokens(parts[1], depth + 1), True)
    parts = split_top(tokens, r"\ne".__eq__)
    if len(parts) == 2 and all(parts) and is_letter(parts[0]):
        return Statement(tokens, (parts[0],), without_points(tokens, [parts[1]]), True)
    return range_of(tokens)


def _chain(tokens: Tokens, parts: list[Tokens], depth: int) -> GradedAnswer:
    names, values = (read_tokens(part, depth + 1) for part in (parts[0], parts[-1]))
    if (
        isinstance(names, Ordered)
        and isinstance(values, Ordered)
        and len(names.items) == len(values.items)
        and len(parts) == 2
    ):
        pairs = zip(names.items, values.items, strict=True)
        return Several(tokens, tuple(Statement((*a.tokens, "=", *b.tokens), (a.tokens, b.tokens), b) for a, b in pairs))
    if is_letter(parts[-1]) and not is_letter(parts[0]) and len(parts) == 2 and parts[-1] not in (("e",), ("i",)):
        parts = parts[::-1]  # 5 = x
        if parts[0][0] in parts[1]:
            parts = parts[::-1]
    return Statement(tokens, tuple(parts), read_tokens(parts[-1], depth + 1))


def _congruence(tokens: Tokens) -> Congruence | None:
    name, rest = (*split_top(tokens, r"\equiv".__eq__), ())[:2]
    for i, token in enumerate(rest):
        word = text_of(token) if is_text(token) else token
        if word in (r"\pmod", r"\bmod", r"\mod", "mod", r"\pod") or rest[i : i + 3] == ("m", "o", "d"):
            modulus = rest[i + (3 if token == "m" else 1) :]
            value = rest[:i][:-1] if rest[i - 1 : i] == ("(",) else rest[:i]
            return Congruence(tokens, name, value, tuple(t for t in modulus if t not in "(){}"))
    return None


def _set(tokens: Tokens, depth: int) -> GradedAnswer | None:
    r"""Unions, ``\mathbb{R}``, and all numbers but some."""
    parts = split_top(tokens, r"\cup".__eq__)
    if len(parts) > 1 and all(parts):
        return UnionOfSets(tokens, _flat([read_tokens(part, depth + 1) for part in parts]))
    words = words_of(tokens) or ""
    if tokens == (r"\mathbb", "{", "R", "}") or words in (
        "allrealnumbers",
        "allreals",
        "allrealvalues",
        "realnumbers",
        "thereals",
    ):
        return interval("(", ("-", *INFINITY), INFINITY, ")")
    if (len(tokens) > 5 and tokens[:5] == (r"\mathbb", "{", "R", "}", r"\setminus")) or tokens[:5] == (
        r"\mathbb",
        "{",
        "R",
        "}",
        "-",
    ):
        rest = read_tokens(tokens[5:], depth + 1)
        return (
            without_points(tokens, [i.tokens for i in rest.items])
            if isinstance(rest, Several) and rest.is_set
            else None
        )
    is_empty = tokens in ((r"\emptyset",), (r"\{", r"\}")) or words in ("nosolution", "nosolutions", "emptyset")
    return Several(tokens, (), True) if is_empty else None


def _signs(tokens: Tokens, depth: int) -> GradedAnswer | None:
    r"""Every choice of the signs of ``\pm``; with ``\mp`` about, upper and lower signs go together."""
    places = [i for i, token in enumerate(tokens) if token in (r"\pm", r"\mp")]
    if not places or len(places) > _MAX_SIGNS or tokens[0] == r"\{":
        return None
    if any(tokens[i] == r"\mp" for i in places):
        choices = [tuple(sign if tokens[i] == r"\pm" else other for i in places) for sign, other in ("+-", "-+")]
    else:
        choices = list(itertools.product("+-", repeat=len(places)))
    items = []
    for choice in choices:
        signs = dict(zip(places, choice, strict=True))
        items.append(read_tokens(tuple(signs.get(i, token) for i, token in enumerate(tokens)), depth + 1))
    return Several(tokens, tuple(items))


def _enclosed(tokens: Tokens, depth: int) -> GradedAnswer | None:
    """What stands between brackets that open first and close last."""
    if tokens[-4:] in (("^", "{", "T", "}"), ("^", "{", r"\prime", "}")):
        inner = read_tokens(tokens[:-4], depth + 1)
        cells = inner.items if isinstance(inner, Ordered) else None
        rows = (
            tuple((cell,) for cell in cells)
            if cells
            else tuple(zip(*inner.rows, strict=False))
            if isinstance(inner, MatrixRows)
            else ()
        )
        return MatrixRows(tokens, rows) if rows else None
    if tokens[0] in (r"\beginmatrix", r"\beginvmatrix", r"\begincases") and tokens[-1] in CLOSING and is_whole(tokens):
        return _environment(tokens, depth)
    if tokens[-1] not in _MATCHING.get(tokens[0], ()) or not is_whole(tokens):
        return None
    if tokens[1:2] == (r"\beginmatrix",) and tokens[-2] == r"\endmatrix" and is_whole(tokens[1:-1]):
        return read_tokens(tokens[1:-1], depth + 1)
    items = tuple(read_tokens(cell, depth + 1) for cell in split_top(tokens[1:-1], separates_items) if cell)
    if tokens[0] == r"\{":
        flat = itertools.chain.from_iterable(
            i.items if isinstance(i, Several) and not i.is_set else (i,) for i in items
        )
        # A set defined by a property has a bar in it and is not read.
        return Scalar(tokens) if {"|", ":"} & set(tokens) else Several(tokens, tuple(flat), True)
    if tokens[0] == "[" and items and all(isinstance(i, Ordered) and i.opening == "[" for i in items):
        return MatrixRows(tokens, tuple(i.items for i in items if isinstance(i, Ordered)))
    return Ordered(tokens, tokens[0], items, tokens[-1]) if len(items) > 1 else None


def _environment(tokens: Tokens, depth: int) -> GradedAnswer:
    rows = [row for row in split_top(tokens[1:-1], "\\\\".__eq__) if row]
    if tokens[0] == r"\begincases" and not any("&" in row and row.index("&") and "=" not in row for row in rows):
        lines = [tuple(token for token in row if token != "&") for row in rows]
        return _several(tokens, [line[:-1] if line[-1] in (",", ";", ".") else line for line in lines], depth)
    cells = tuple(tuple(read_tokens(cell, depth + 1) for cell in split_top(row, "&".__eq__)) for row in rows)
    return MatrixRows(tokens, cells, tokens[0] == r"\beginvmatrix")


def _bare(tokens: Tokens) -> Tokens:
    """Without braces around all of it, and a sign of approximation or equality in front."""
    while len(tokens) >= 2 and tokens[0] == "{" and tokens[-1] == "}" and is_whole(tokens):
        tokens = tokens[1:-1]
    return tokens[1:] if tokens and tokens[0] in (r"\approx", "=", "+", r"\therefore", r"\Rightarrow") else tokens


def _without_ranges(tokens: Tokens) -> Tokens:
    r"""Without the range of a parameter behind it: ``, k \in \mathbb{Z}``, ``(k \in \mathbb{Z})``, ``, n \ge 1``."""
    if not ({r"\in", r"\ge", ">"} & set(tokens) or any(is_text(t) for t in tokens)):
        return tokens
    for i in range(1, len(tokens)):
        if tokens[i] in (",", ";", "(") or (
            is_text(tokens[i]) and text_of(tokens[i]) in ("for", "where", "with", "for any", "for all", "for some")
        ):
            rest = tokens[i + 1 :][: -1 if tokens[i] == "(" else None]
            if _is_parameter_range(rest, tokens[:i]):
                return tokens[:i]
    return tokens


def _is_parameter_range(rest: Tokens, main: Tokens) -> bool:
    while rest and is_text(rest[0]) and text_of(rest[0]) in ("where", "for", "with", "for all", "for any", "for some"):
        rest = rest[1:]
    letter = rest[:1]
    if not letter or not is_letter(letter) or letter[0] not in main or len(rest) < 3:
        return False
    integers = rest[1] == r"\in" and rest[2] == r"\mathbb" and rest[4] in _NUMBER_SETS
    words = is_text(rest[1]) and "integer" in text_of(rest[1])
    ranged = (
        rest[1] in (r"\ge", ">", r"\in")
        and main[:1] != letter
        and not set(main) & set(COMPARISONS)
        and r"\in" not in main
    )
    return integers or words or ranged
