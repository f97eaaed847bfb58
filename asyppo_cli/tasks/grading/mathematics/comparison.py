"""Whether two answers are the same, by kind. Not symmetric: the gold answer says what is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from asyppo_cli.tasks.grading.mathematics.expressions import Unreadable, minus
from asyppo_cli.tasks.grading.mathematics.kinds import (
    COMPARISONS,
    Congruence,
    GradedAnswer,
    MatrixRows,
    Ordered,
    Scalar,
    Several,
    Statement,
    UnionOfSets,
    expression_of,
    is_letter,
)
from asyppo_cli.tasks.grading.mathematics.latex import Tokens, is_text
from asyppo_cli.tasks.grading.mathematics.parser import parse
from asyppo_cli.tasks.grading.mathematics.quantities import Decision, ValueComparison, all_of
from asyppo_cli.tasks.grading.mathematics.reading import read_tokens
from asyppo_cli.tasks.grading.mathematics.values import clearly_differ, rational

_POINT = frozenset({"(", r"\langle"})
_OPERATORS = frozenset({"+", "-", "/", r"\cdot", r"\frac", "^", "!", r"\sqrt"})
_FUNCTIONS = frozenset({r"\sin", r"\cos", r"\tan", r"\ln", r"\log", r"\cot", r"\sec", r"\csc", r"\exp"})
_APPROXIMATE = r"\approx"


class AnswerComparison(ValueComparison):
    """One comparison of two answers."""

    def equal(self, gold: GradedAnswer, given: GradedAnswer) -> Decision:
        """Whether the given answer is the gold one; raises Unreadable."""
        if gold.tokens == given.tokens:
            return True
        if isinstance(gold, Congruence) or isinstance(given, Congruence):
            return self._congruent(gold, given)
        if isinstance(gold, Statement) or isinstance(given, Statement):
            return self._statement(gold, given)
        given = self._exact_side(given)
        match gold:
            case Several():
                return self._listed(gold, given)
            case UnionOfSets():
                return self._union(gold, given)
            case Ordered():
                return self._ordered(gold, given)
            case MatrixRows():
                return self._matrix(gold, given)
        if isinstance(given, Several) and len(given.items) == 1:
            return self.equal(gold, given.items[0])
        if isinstance(given, Scalar):
            return self.scalars(gold.tokens, given.tokens)
        return False

    def _congruent(self, gold: GradedAnswer, given: GradedAnswer) -> Decision:
        if not (isinstance(gold, Congruence) and isinstance(given, Congruence)):
            return False
        if gold.name and given.name and gold.name != given.name:
            return False
        modulus, other = (rational(parse(answer.modulus)) for answer in (gold, given))
        rests = [rational(parse(answer.rest)) for answer in (gold, given)]
        if modulus is None or rests[0] is None or rests[1] is None:
            return gold.modulus == given.modulus and self.scalars(gold.rest, given.rest)
        return modulus == other and modulus != 0 and (rests[0] - rests[1]) % modulus == 0

    def _statement(self, gold: GradedAnswer, given: GradedAnswer) -> Decision:
        """``x = 5`` is 5 where a value is asked for. Two names must agree, or be the same equation."""
        if isinstance(gold, Statement) and isinstance(given, Statement):
            return self._two_statements(gold, given)
        if isinstance(gold, Statement):
            if not (gold.is_member or _names_a_value(gold.name)):
                return False
            return self.equal(gold.value, given)
        assert isinstance(given, Statement)
        if given.is_member:
            return self.equal(gold, given.value) if isinstance(gold, Ordered | UnionOfSets | Several) else False
        if not _names_a_value(given.name) and not _is_constant(given.name):
            return False
        return all_of([self.equal(gold, self._value_of(given)), self._consistent(given)])

    def _two_statements(self, gold: Statement, given: Statement) -> Decision:
        if gold.is_member or given.is_member:
            if gold.name == given.name:
                return self.equal(gold.value, given.value)
            return gold.is_member and _turned(given.tokens) == gold.tokens
        value = self._value_of(given)
        names = gold.name == given.name or any(part == gold.name for part in given.parts[:-1])
        if names and _names_a_value(gold.name):
            decision = self.equal(gold.value, value)
            solved = gold.name[0] not in gold.value.tokens and gold.name[0] not in value.tokens
            if decision or solved:
                return all_of([decision, self._consistent(given)])
        renamed = _renamed_argument(gold, given)
        if renamed is not None:
            return self.scalars(gold.value.tokens, renamed)
        return self._equations(gold, given)

    def _equations(self, gold: Statement, given: Statement) -> Decision:
        """Whether one equation is a multiple of the other."""
        sides = [[expression_of(part)[0] for part in (s.parts[0], s.parts[-1])] for s in (gold, given)]
        first, second = (minus(*pair) for pair in sides)
        if first.symbols() != second.symbols() or len(given.parts) != 2:
            return False
        if not self._algebra:
            return None
        from asyppo_cli.tasks.grading.mathematics.algebra import equal_equations

        self.method = "as equations, by algebra, exactly"
        return equal_equations(first, second)

    def _value_of(self, given: Statement) -> GradedAnswer:
        r"""What a chain ends in; of ``x = 2/3 \approx 0.667`` the exact side."""
        return self._exact_side(given.value)

    def _consistent(self, given: Statement) -> Decision:
        """Whether the steps of a chain agree: ``3 = 6`` is no way to write 6."""
        steps = given.parts[:-1] if _is_constant(given.name) else given.parts[1:-1]
        decisions = []
        for step in steps:
            try:
                decisions.append(self.equal(self._value_of(given), read_tokens(step, 1)))
            except Unreadable:
                continue
        return all_of(decisions)

    def _exact_side(self, given: GradedAnswer) -> GradedAnswer:
        r"""Of ``2/3 \approx 0.667`` the left, if the two do not contradict each other."""
        if not isinstance(given, Scalar) or _APPROXIMATE not in given.tokens:
            return given
        place = given.tokens.index(_APPROXIMATE)
        left, right = given.tokens[:place], given.tokens[place + 1 :]
        if left and is_letter(left):
            return read_tokens(right, 1)
        try:
            far = bool(left) and clearly_differ(expression_of(left)[0], expression_of(right)[0], 0.025)
        except Unreadable:
            far = False
        return given if far or not left else read_tokens(left, 1)

    def _listed(self, gold: Several, given: GradedAnswer) -> Decision:
        if isinstance(given, Several):
            is_set = gold.is_set or given.is_set
            # The same member of a set written twice is one; an answer given twice is two.
            a, b = (_different(gold.items), _different(given.items)) if is_set else (gold.items, given.items)
            return self._matched(a, b)
        if isinstance(given, Ordered) and given.opening in _POINT and not given.is_interval and not gold.is_set:
            # Brackets around a list of answers; in another order they would be another point.
            values = [item.value if isinstance(item, Statement) else item for item in gold.items]
            return self._pairwise(values, given.items)
        return self.equal(gold.items[0], given) if len(gold.items) == 1 else False

    def _union(self, gold: UnionOfSets, given: GradedAnswer) -> Decision:
        """Sets joined, also as inequalities with "or" between them."""
        if isinstance(given, UnionOfSets | Several):
            return self._matched(gold.items, given.items)
        return False

    def _ordered(self, gold: Ordered, given: GradedAnswer) -> Decision:
        is_point = gold.opening in _POINT and not gold.is_interval
        if isinstance(given, Ordered):
            alike = (gold.opening, gold.closing) == (given.opening, given.closing)
            if alike or (is_point and given.opening in _POINT and not given.is_interval):
                return self._pairwise(gold.items, given.items)
            return False
        if is_point and isinstance(given, Several) and not given.is_set:
            return self._pairwise(gold.items, _by_name(given.items))
        if is_point and isinstance(given, MatrixRows) and given.vector is not None:
            return self._pairwise(gold.items, given.vector)
        return False

    def _matrix(self, gold: MatrixRows, given: GradedAnswer) -> Decision:
        if isinstance(given, MatrixRows):
            if len(gold.rows) != len(given.rows) or gold.is_determinant != given.is_determinant:
                return False
            return all_of([self._pairwise(a, b) for a, b in zip(gold.rows, given.rows, strict=True)])
        if (isinstance(given, Ordered) and not given.is_interval) or (
            isinstance(given, Ordered) and given.opening == "["
        ):
            return self._pairwise(gold.vector, given.items) if gold.vector is not None else False
        return False

    def _pairwise(self, gold: Sequence[GradedAnswer], given: Sequence[GradedAnswer]) -> Decision:
        if len(gold) != len(given):
            return False
        return all_of([self.equal(a, b) for a, b in zip(gold, given, strict=True)])

    def _matched(self, gold: Sequence[GradedAnswer], given: Sequence[GradedAnswer]) -> Decision:
        """Whether there is an order in which all are equal pairwise."""
        if len(gold) != len(given):
            return False
        table = [[self.equal(a, b) for b in given] for a in gold]
        if _has_matching([[cell is True for cell in row] for row in table]):
            return True
        return None if _has_matching([[cell is not False for cell in row] for row in table]) else False


def _turned(tokens: Tokens) -> Tokens:
    r"""``a \le b`` as ``b \ge a``."""
    for i, token in enumerate(tokens):
        if token in COMPARISONS:
            return (*tokens[i + 1 :], COMPARISONS[token], *tokens[:i])
    return ()


def _is_constant(tokens: Tokens) -> bool:
    """Whether they are a number, of which the value is known."""
    try:
        return not expression_of(tokens)[0].symbols()
    except Unreadable:
        return False


def _names_a_value(tokens: Tokens) -> bool:
    r"""Whether the left of an equation names what the right is the value of, rather than being solved for a variable.

    Names are ``x``, ``f(x)``, ``|z|``, ``P(X=2)``, words, and expressions of several variables (``m+n``); ``x^3``,
    ``e^x``, ``\sin x`` and ``2x`` are functions of one and leave an equation to be solved.
    """
    if not tokens or set(tokens) & set(COMPARISONS):
        return False
    if any(is_text(token) for token in tokens) or tokens[0] in (r"\angle", r"\triangle", r"\overline"):
        return True
    inside = _outside_brackets(tokens)
    if set(inside) & _FUNCTIONS:
        return all(token.isupper() for token in inside if len(token) == 1 and token.isalpha()) and len(tokens) > 1
    try:
        found = expression_of(tokens)[0]
    except Unreadable:
        return not set(inside) & _OPERATORS
    if found.op in ("symbol", "apply") or (found.op == "abs" and found.args[0].op == "symbol"):
        return True
    if found.op == "^" and found.args[0].op == "symbol" and tokens[1:3] == ("^", "{") and tokens[3] == "-":
        return True
    return len(found.symbols()) > 1


def _outside_brackets(tokens: Tokens) -> list[str]:
    depth, found = 0, []
    for token in tokens:
        depth += (token in ("(", "{", "|")) - (token in (")", "}"))
        if not depth:
            found.append(token)
    return found


def _renamed_argument(gold: Statement, given: Statement) -> Tokens | None:
    """Of ``f(n) = n + 1`` the right in the letter that ``f(x) = x + 1`` uses."""
    a, b = gold.name, given.name
    if (
        len(a) != 4
        or len(b) != 4
        or (a[0], a[1], a[3]) != (b[0], "(", ")")
        or b[1] != "("
        or not is_letter(a[2:3])
        or not is_letter(b[2:3])
    ):
        return None
    if a[2] in given.value.tokens:
        return None
    return tuple(a[2] if token == b[2] else token for token in given.value.tokens)


def _by_name(items: Sequence[GradedAnswer]) -> Sequence[GradedAnswer]:
    """``y = 4, x = 3`` in the order of the letters, without them."""
    named = [item for item in items if isinstance(item, Statement) and is_letter(item.name)]
    if len(named) != len(items) or len({item.name for item in named}) != len(items):
        return items
    return [item.value for item in sorted(named, key=lambda item: item.name)]


def _has_matching(allowed: list[list[bool]]) -> bool:
    """Whether rows and columns can be paired off along allowed cells (augmenting paths)."""
    taken: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for column, fits in enumerate(allowed[row]):
            if fits and column not in tried:
                tried.add(column)
                if column not in taken or place(taken[column], tried):
                    taken[column] = row
                    return True
        return False

    return all(place(row, set()) for row in range(len(allowed)))


def _different(items: Sequence[GradedAnswer]) -> list[GradedAnswer]:
    return list({item.tokens: item for item in items}.values())
