"""Whether two single values are the same: words, numbers, expressions, quantities with units, ratios, times of day."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from asyppo_cli.tasks.grading.mathematics.expressions import DEGREE, Expression, Unreadable, number, times
from asyppo_cli.tasks.grading.mathematics.kinds import expression_of, spelled, words_of
from asyppo_cli.tasks.grading.mathematics.latex import Tokens, is_text, text_of
from asyppo_cli.tasks.grading.mathematics.parser import parse
from asyppo_cli.tasks.grading.mathematics.units import DEGREES, NO_UNIT, MeasureUnit
from asyppo_cli.tasks.grading.mathematics.values import clearly_differ, rational

Decision = bool | None
# A decimal for a number without finite decimals must show these digits, in all and behind the point.
_ENOUGH_DIGITS = 6
_CHOICE = re.compile(r"\(([A-Z])\)")


class ValueComparison:
    """Compares single values; ``method`` says afterwards how the last were compared.

    Decisions are True, False, or None where only algebra can tell and ``algebra`` is not allowed.
    """

    def __init__(self, tolerance: float, algebra: bool) -> None:
        self._tolerance = tolerance
        self._algebra = algebra
        self.method = "as written"

    def scalars(self, gold: Tokens, given: Tokens) -> Decision:
        """Words, numbers, expressions and quantities."""
        decision = _words(gold, given)
        if decision is not None:
            self.method = "as words"
            return decision
        if _has_base(gold) or _has_base(given):
            return _has_base(gold) and given == gold[:1]
        if ":" in gold or ":" in given:
            return self._ratio(gold, given)
        try:
            a, gold_unit = expression_of(gold)
        except Unreadable as error:
            error.gold = True
            raise
        b, given_unit = expression_of(given)
        return self._quantities(a, gold_unit, b, given_unit, given)

    def _quantities(
        self, a: Expression, unit: MeasureUnit, b: Expression, other: MeasureUnit, given: Tokens
    ) -> Decision:
        """Two numbers with units: a unit may be left out, but what both give must agree after conversion."""
        size, other_size = _size(unit), _size(other)
        if unit.is_percent or other.is_percent:
            return self._percent(a, unit, b, other, given)
        if unit.words and other.words and unit.words != other.words:
            return False
        if unit.dimension and other.dimension:
            angles = {unit.dimension, other.dimension} == {(("degree", 1),), (("rad", 1),)}
            if unit.dimension != other.dimension and not angles:
                return False
            if angles:
                a, b = (times(e, DEGREE) if u.dimension == DEGREES.dimension else e for e, u in ((a, unit), (b, other)))
            size, other_size = unit.factor, other.factor
        elif ((unit.words or other.words) and (unit.dimension or other.dimension)) or {
            unit.dimension,
            other.dimension,
        } & {(("am", 1),), (("pm", 1),)}:
            return False
        decision = self._values(_scaled(a, size), _scaled(b, other_size), given)
        if decision is not False or {unit.dimension, other.dimension} != {(), DEGREES.dimension}:
            return decision
        a, b = (times(e, DEGREE) if u.dimension else e for e, u in ((a, unit), (b, other)))
        return self._values(a, b, given)

    def _percent(self, a: Expression, unit: MeasureUnit, b: Expression, other: MeasureUnit, given: Tokens) -> Decision:
        """35 % is 35 and 0.35 to a gold 35 %; a given percentage of a plain gold number below 1 is its hundredth."""
        if unit.is_percent and other.is_percent:
            return self._values(a, b, given)
        if (unit if other.is_percent else other) != NO_UNIT:
            return False
        as_share = [_scaled(e, Fraction(1, 100)) if u.is_percent else e for e, u in ((a, unit), (b, other))]
        share = self._values(as_share[0], as_share[1], given)
        whole = rational(a)
        if share is not False or (not unit.is_percent and (whole is None or abs(whole) < 1)):
            return share
        return self._values(a, b, given)

    def _values(self, a: Expression, b: Expression, given: Tokens) -> Decision:
        """Two expressions: exact fractions, else by floating point where that is far off, else by algebra."""
        if a == b:
            return True
        x, y = rational(a), rational(b)
        if x is not None and y is not None:
            self.method = "as fractions, exactly"
            return x == y or self._within(x, y) or _rounds_to(x, y, given)
        decisions = [self._expressions(_with_base(a, base), _with_base(b, base), given) for base in _bases(a, b)]
        return True if True in decisions else None if None in decisions else False

    def _within(self, gold: Fraction, given: Fraction) -> bool:
        return bool(self._tolerance) and abs(gold - given) <= Fraction(self._tolerance) * abs(gold)

    def _expressions(self, a: Expression, b: Expression, given: Tokens) -> Decision:
        if clearly_differ(a, b, self._tolerance):
            self.method = "numerically, which is enough to tell them apart"
            return False
        if not self._algebra:
            return None
        from asyppo_cli.tasks.grading.mathematics.algebra import equal_expressions

        self.method = "by algebra, exactly"
        return equal_expressions(a, b) or self._approximates(a, b, given)

    def _approximates(self, a: Expression, b: Expression, given: Tokens) -> bool:
        """A decimal for an irrational number, right in all its digits, or a number within the tolerance."""
        from asyppo_cli.tasks.grading.mathematics.algebra import number_of

        if a.symbols() or b.symbols():
            return False
        x, y = number_of(a), number_of(b)
        if x is None or y is None:
            return False
        if self._tolerance and abs(x - y) <= self._tolerance * abs(x):
            self.method = "numerically, within the tolerance"
            return True
        places = _places(given)
        if places < _ENOUGH_DIGITS or rational(a) is not None:
            return False
        self.method = "numerically, as a rounded decimal"
        return bool(abs(x - y) <= 0.5000001 * 10.0**-places)

    def _ratio(self, gold: Tokens, given: Tokens) -> Decision:
        """``3:2`` up to a factor, times of day to the digit; ``2:3`` for two thirds."""
        first, second = ([tuple(part) for part in _parts(tokens, ":")] for tokens in (gold, given))
        if len(second) == 2 and len(first) == 1:
            return self.scalars(gold, (*second[0], "/", *second[1]))
        if len(first) == 2 and len(second) == 1:
            return self.scalars((r"\frac", "{", *first[0], "}", "{", *first[1], "}"), given)
        if len(first) != len(second):
            return False
        if any(is_text(token) for token in (*gold, *given)) or _is_time(first):
            pairs = zip(first, second, strict=True)
            return all_of([self.scalars(a, b) if a and b else False for a, b in pairs])
        return all_of([self._crossed(first[0], second[0], a, b) for a, b in zip(first[1:], second[1:], strict=True)])

    def _crossed(self, a: Tokens, b: Tokens, c: Tokens, d: Tokens) -> Decision:
        p, q, r, s = (parse(part) for part in (a, b, c, d))
        return self._values(times(p, s), times(q, r), ())


def _words(gold: Tokens, given: Tokens) -> Decision:
    """Answers in words, and choices by their letter; None for mathematics."""
    if len(gold) == 1 and gold[0].isalpha() and gold[0].isupper() and given:
        found = _CHOICE.match(text_of(given[0])) if is_text(given[0]) else None
        letter = found[1] if found else given[1] if given[:1] == ("(",) and given[2:3] == (")",) else spelled(given)
        return True if letter == gold[0] else None
    words = words_of(gold)
    if words is None:
        if any(is_text(t) for t in (*gold, *given)) and spelled(gold) == spelled(given):
            return True
        marked = words_of(given) is not None and any(is_text(token) for token in given)
        return False if marked and any(token[0].isdigit() for token in gold) and not is_text(given[-1]) else None
    marked = any(is_text(token) for token in gold)
    if not marked and not _is_word("".join(gold)):
        return True if "".join(gold) == _spelled_exactly(given) else None
    if words == spelled(given):
        return True
    return None if any(token[0].isdigit() for token in gold) and marked and _number_first(gold) else False


def _spelled_exactly(tokens: Tokens) -> str:
    """The letters as they stand."""
    return "".join(text_of(t) if is_text(t) else t for t in tokens).strip("(). ")


def _is_word(letters: str) -> bool:
    return letters.lower() in ("no", "yes") or (
        len(letters) > 2 and any(v in letters.lower() for v in "aeiou") and letters[1:].islower()
    )


def _number_first(tokens: Tokens) -> bool:
    return tokens[0][0].isdigit() or tokens[0] in ("-", r"\frac")


def _has_base(tokens: Tokens) -> bool:
    return len(tokens) == 5 and tokens[0].isalnum() and tokens[0][0].isdigit() and tokens[1:3] == ("_", "{")


def _size(unit: MeasureUnit) -> Fraction:
    """The factor of magnitude words; 1 for units, which may be left out."""
    return unit.factor if not unit.dimension else Fraction(1)


def _scaled(e: Expression, factor: Fraction) -> Expression:
    return e if factor == 1 else times(number(factor), e)


def _rounds_to(exact: Fraction, given_value: Fraction, given: Tokens) -> bool:
    """A decimal for a fraction without finite decimals, right in all of at least six digits."""
    places = _places(given)
    rest = exact.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return places >= _ENOUGH_DIGITS and rest != 1 and abs(exact - given_value) <= Fraction(1, 2 * 10**places)


def _places(given: Tokens) -> int:
    """Digits behind the point of a plain decimal that has six digits in all; 0 for anything else."""
    tokens = given[1:] if given[:1] in (("-",), ("+",)) else given
    text = tokens[0] if len(tokens) == 1 or (len(tokens) == 2 and is_text(tokens[1])) else ""
    return len(text.partition(".")[2]) if len(text.replace(".", "").lstrip("0")) >= _ENOUGH_DIGITS else 0


def _bases(a: Expression, b: Expression) -> tuple[int, ...]:
    r"""Readings of ``\log`` without a base: e, then 10."""
    return (0, 10) if any(node.op == "log" for e in (a, b) for node in e.nodes()) else (0,)


def _with_base(e: Expression, base: int) -> Expression:
    args = tuple(_with_base(part, base) for part in e.args)
    if e.op != "log":
        return Expression(e.op, args, e.atom) if args else e
    natural = Expression("ln", args)
    return Expression("/", (natural, Expression("ln", (number(base),)))) if base else natural


def _is_time(parts: list[Tokens]) -> bool:
    return (
        len(parts) == 2 and len(parts[1]) == 1 and len(parts[1][0]) == 2 and parts[1][0] < "60" and parts[0][0] < "25"
    )


def _parts(tokens: Tokens, separator: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == separator:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def all_of(decisions: Sequence[Decision]) -> Decision:
    """Whether all are true: False where one is false, None where one is open."""
    if any(decision is False for decision in decisions):
        return False
    return None if None in decisions else True
