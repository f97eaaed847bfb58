r"""Sets of real numbers from inequalities: ``a < x \le b``, ``|x| > a``, ``x \ne a``."""

from __future__ import annotations

import itertools

from asyppo_cli.tasks.grading.mathematics.expressions import Unreadable
from asyppo_cli.tasks.grading.mathematics.kinds import (
    COMPARISONS,
    INFINITY,
    GradedAnswer,
    Ordered,
    Scalar,
    Statement,
    UnionOfSets,
    at_top,
    expression_of,
    is_letter,
    split_top,
)
from asyppo_cli.tasks.grading.mathematics.latex import Tokens
from asyppo_cli.tasks.grading.mathematics.values import float_value


def intersection(tokens: Tokens, members: list[Statement]) -> Statement | None:
    """``x > 1 and x < 3`` as an interval, if the ends are numbers in that order."""
    ends = [item.value for item in members if isinstance(item.value, Ordered)]
    lows = [e for e in ends if e.items[0].tokens != ("-", *INFINITY)]
    highs = [e for e in ends if e.items[1].tokens != INFINITY]
    if len(ends) != 2 or len(lows) != 1 or len(highs) != 1:
        return None
    (low,), (high,) = lows, highs
    try:
        a, b = (float_value(expression_of(end.tokens)[0]) for end in (low.items[0], high.items[1]))
    except Unreadable:
        return None
    if a is None or b is None or not a.real < b.real:
        return None
    return Statement(
        tokens, members[0].parts, interval(low.opening, low.items[0].tokens, high.items[1].tokens, high.closing), True
    )


def interval(opening: str, low: Tokens, high: Tokens, closing: str) -> Ordered:
    """An interval between two ends."""
    return Ordered((opening, *low, ",", *high, closing), opening, (Scalar(low), Scalar(high)), closing)


def range_of(tokens: Tokens) -> GradedAnswer | None:
    r"""``a < x \le b``, ``x > a`` and ``|x| > a`` as the set that the letter is in."""
    parts = split_top(tokens, COMPARISONS.__contains__)
    signs = [token for token in at_top(tokens) if token in COMPARISONS]
    if not all(parts) or len(parts) not in (2, 3):
        return None
    if len(parts) == 2 and not _is_bounded(parts[0]):
        parts, signs = parts[::-1], [COMPARISONS[signs[0]]]
    elif len(parts) == 3 and signs[0] in (">", r"\ge"):
        parts, signs = parts[::-1], [COMPARISONS[sign] for sign in signs[::-1]]
    closed = [sign in (r"\le", r"\ge") for sign in signs]
    if len(parts) == 3:
        if not is_letter(parts[1]) or not {*signs} <= {"<", r"\le"}:
            return None
        return Statement(
            tokens,
            (parts[1],),
            interval("[" if closed[0] else "(", parts[0], parts[2], "]" if closed[1] else ")"),
            True,
        )
    if not _is_bounded(parts[0]):
        return None
    end, upward = parts[1], signs[0] in (">", r"\ge")
    opposite = end[1:] if end[0] == "-" else ("-", *end)
    brackets = ("[", "]") if closed[0] else ("(", ")")
    above = interval(brackets[0], end, INFINITY, ")")
    if is_letter(parts[0]):
        return Statement(
            tokens, (parts[0],), above if upward else interval("(", ("-", *INFINITY), end, brackets[1]), True
        )
    below = interval("(", ("-", *INFINITY), opposite, brackets[1])
    inside = interval(brackets[0], opposite, end, brackets[1])
    return Statement(tokens, (parts[0][1:-1],), UnionOfSets(tokens, (below, above)) if upward else inside, True)


def _is_bounded(tokens: Tokens) -> bool:
    return is_letter(tokens) or (tokens[0] == tokens[-1] == "|" and len(tokens) > 2 and is_letter(tokens[1:-1]))


def without_points(tokens: Tokens, points: list[Tokens]) -> GradedAnswer:
    """All numbers but some, as a union of open intervals; they are sorted by value."""
    try:
        values = [float_value(expression_of(point)[0]) for point in points]
    except Unreadable:
        return Scalar(tokens)
    if None in values and len(points) > 1:
        return Scalar(tokens)
    ordered = [p for _, p in sorted(zip(values, points, strict=True), key=lambda pair: pair[0].real if pair[0] else 0)]
    ends = [("-", *INFINITY), *ordered, INFINITY]
    return UnionOfSets(tokens, tuple(interval("(", low, high, ")") for low, high in itertools.pairwise(ends)))
