"""Whether two answers are the same, part by part: shapes against shapes, terms by whoever can tell.

Three answers are possible: True, False, and None where it depends on terms that the comparer at hand cannot tell
apart (:func:`quick_terms` knows no algebra).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from asyppo_cli.tasks.grading.answer_shapes import Braces, Matrix, Named, Ordered, Several, Shape, Term, Union, shape
from asyppo_cli.tasks.grading.float_evaluation import differ
from asyppo_cli.tasks.grading.latex import Tokens, is_text, text_of, write
from asyppo_cli.tasks.grading.numbers import quantity, same

Decision = bool | None
# Compares a gold term with a given one.
Terms = Callable[[Tokens, Tokens], Decision]

_COMPARISONS = frozenset({"<", ">", r"\le", r"\ge"})
_POINT = frozenset({"(", r"\langle"})


def equal(gold: Shape, given: Shape, terms: Terms) -> Decision:
    """Whether the given answer is the gold one. Not symmetric: the gold answer says what is asked for."""
    if gold.tokens == given.tokens:
        return True
    if isinstance(gold, Named) or isinstance(given, Named):
        return _named(gold, given, terms)
    given = _exact_side(given)
    match gold:
        case Several() | Braces():
            return _listed(gold, given, terms)
        case Union():
            return _union(gold.items, given, terms)
        case Ordered():
            return _ordered(gold, given, terms)
        case Matrix():
            return _matrix(gold, given, terms)
    if isinstance(given, Several | Braces) and len(given.items) == 1:
        return equal(gold, given.items[0], terms)
    if isinstance(given, Term) or (isinstance(gold, Term) and _is_symbolic_set(gold.tokens)):
        return terms(gold.tokens, given.tokens)
    return False


def quick_terms(tolerance: float) -> Terms:
    """Compares terms that are words or numbers, and leaves the others open."""

    def compare(gold: Tokens, given: Tokens) -> Decision:
        if gold == given or _plain(gold) == _plain(given) != "":
            return True
        words = words_of(gold)
        if words is not None:
            return words == spelled(given)
        a, b = quantity(gold), quantity(given)
        if a is not None and words_of(given) is not None:
            return False
        if a is None or b is None:
            based = _based(gold, given)
            return False if based is None and differ(gold, given, tolerance) else based
        return same(a, b, tolerance)

    return compare


def words_of(tokens: Tokens) -> str | None:
    """An answer in words, in small letters; None for mathematics. A single letter keeps its size."""
    marked = len(tokens) == 1 and is_text(tokens[0])
    letters = all(token.isalpha() and len(token) == 1 for token in tokens)
    return spelled(tokens) if marked or (letters and len(tokens) > 2 and len(set(tokens)) > 1) else None


def spelled(tokens: Tokens) -> str:
    """Everything as words, without brackets and blanks."""
    whole = "".join(text_of(token) if is_text(token) else token for token in tokens)
    word = "".join(whole.split()).strip("()[]{}.*")
    return word.lower() if len(word) > 1 else word


def _plain(tokens: Tokens) -> str:
    """Words and mathematics alike as one run of characters, for answers of prose."""
    if not any(is_text(token) for token in tokens):
        return ""
    return "".join("".join((text_of(token) if is_text(token) else token).split()) for token in tokens).lower()


def _based(gold: Tokens, given: Tokens) -> Decision:
    """Numbers in another base: the base may be left out, nothing is converted; None for other terms."""
    if not _has_base(gold):
        return False if _has_base(given) else None
    return given in (gold, gold[:1])


def _has_base(tokens: Tokens) -> bool:
    return len(tokens) == 5 and tokens[0].isalnum() and tokens[0][0].isdigit() and tokens[1:3] == ("_", "{")


def _named(gold: Shape, given: Shape, terms: Terms) -> Decision:
    """``x = 5`` is 5 where a value is asked for. Two names must be alike, or the equations the same by algebra."""
    if isinstance(gold, Named) and isinstance(given, Named):
        if gold.name == given.name or _last(gold.name) == _last(given.name):
            decision = equal(gold.value, given.value, terms)
            if decision or not _is_equation(gold) or (_is_solved(gold) and _is_solved(given)):
                return decision
            return _either(decision, terms(gold.tokens, given.tokens))
        return terms(gold.tokens, given.tokens) if _is_equation(gold) else False
    if isinstance(gold, Named):
        return equal(gold.value, given, terms) if _is_name(gold.name) else terms(gold.tokens, given.tokens)
    assert isinstance(given, Named)
    if _bounded(given) and isinstance(gold, Ordered) and not gold.is_interval:
        return False
    if _is_name(given.name):
        return equal(gold, given.value, terms)
    # Of a chain 2 + 3 = 5 the left must be what the right is: 3 = 5 is no way to write 5.
    return _all([equal(gold, given.value, terms), equal(given.value, shape(_last(given.name)), terms)])


def _last(name: Tokens) -> Tokens:
    """What stands before the last sign of a chain a = b = 5."""
    for sign in ("=", r"\in"):
        if sign in name:
            first = name[: name.index(sign)]
            return first if _is_name(first) else name[len(name) - name[::-1].index(sign) :]
    return name


def _exact_side(given: Shape) -> Shape:
    r"""Of ``2/3 \approx 0.667`` the left, if the two do not contradict each other."""
    if not isinstance(given, Term) or r"\approx" not in given.tokens:
        return given
    place = given.tokens.index(r"\approx")
    left, right = given.tokens[:place], given.tokens[place + 1 :]
    a, b = quantity(left), quantity(right)
    contradiction = a is not None and b is not None and abs(a.value - b.value) > abs(a.value) / 20
    return given if contradiction or not left else shape(left)


def _listed(gold: Several | Braces, given: Shape, terms: Terms) -> Decision:
    if isinstance(given, Several | Braces):
        is_set = isinstance(gold, Braces) or isinstance(given, Braces)
        # The same member of a set written twice is one; an answer given twice is two.
        a, b = (_different(gold.items), _different(given.items)) if is_set else (gold.items, given.items)
        return _matched(a, b, terms)
    if isinstance(given, Ordered) and given.opening in _POINT and not given.is_interval and isinstance(gold, Several):
        # Brackets around a list of answers; in another order they would be another point.
        return _pairwise(gold.items, given.items, terms)
    if len(gold.items) == 1:
        return equal(gold.items[0], given, terms)
    return False


def _union(items: Sequence[Shape], given: Shape, terms: Terms) -> Decision:
    """Sets joined, also as inequalities with "or" between them."""
    if isinstance(given, Union | Several):
        intervals = [i.value if isinstance(i, Named) and _bounded(i) else i for i in given.items]
        return _matched(items, intervals, terms)
    return None if isinstance(given, Term) and _is_symbolic_set(given.tokens) else False


def _ordered(gold: Ordered, given: Shape, terms: Terms) -> Decision:
    is_point = gold.opening in _POINT and not gold.is_interval
    if isinstance(given, Ordered):
        alike = (gold.opening, gold.closing) == (given.opening, given.closing)
        if alike or (is_point and given.opening in _POINT and not given.is_interval):
            return _pairwise(gold.items, given.items, terms)
        return False
    if is_point and isinstance(given, Several):
        return _pairwise(gold.items, given.items, terms)
    if is_point and isinstance(given, Matrix) and given.vector is not None:
        return _pairwise(gold.items, given.vector, terms)
    return None if isinstance(given, Term) and _is_symbolic_set(given.tokens) else False


def _matrix(gold: Matrix, given: Shape, terms: Terms) -> Decision:
    if isinstance(given, Matrix):
        if len(gold.rows) != len(given.rows):
            return False
        return _all([_pairwise(a, b, terms) for a, b in zip(gold.rows, given.rows, strict=True)])
    if isinstance(given, Ordered) and given.opening in _POINT and given.closing in (")", r"\rangle"):
        return _pairwise(gold.vector, given.items, terms) if gold.vector is not None else False
    return False


def _pairwise(gold: Sequence[Shape], given: Sequence[Shape], terms: Terms) -> Decision:
    if len(gold) != len(given):
        return False
    return _all([equal(a, b, terms) for a, b in zip(gold, given, strict=True)])


def _matched(gold: Sequence[Shape], given: Sequence[Shape], terms: Terms) -> Decision:
    """Whether there is an order in which all are equal pairwise."""
    if len(gold) != len(given):
        return False
    table = [[equal(a, b, terms) for b in given] for a in gold]
    if _has_matching([[cell is True for cell in row] for row in table]):
        return True
    return None if _has_matching([[cell is not False for cell in row] for row in table]) else False


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


def _different(items: Sequence[Shape]) -> list[Shape]:
    return list({item.tokens: item for item in items}.values())


def _all(decisions: Sequence[Decision]) -> Decision:
    if any(decision is False for decision in decisions):
        return False
    return None if None in decisions else True


def _either(first: Decision, second: Decision) -> Decision:
    if first or second:
        return True
    return None if first is None or second is None else False


def _is_solved(answer: Named) -> bool:
    """Whether it says what its name is in terms of something else: then only the value counts."""
    return _is_name(answer.name) and answer.name[0] not in answer.value.tokens


def _is_equation(answer: Named) -> bool:
    """Whether it can be solved for something else."""
    return "=" in answer.tokens and isinstance(answer.value, Term)


def _bounded(answer: Named) -> bool:
    """Whether it is an inequality, read as the interval of its variable."""
    return not _COMPARISONS.isdisjoint(answer.tokens) and "=" not in answer.tokens


def _is_name(tokens: Tokens) -> bool:
    r"""A variable, a function of some, words, or an angle: ``x``, ``f(x)``, ``m_{\max}``, ``\angle ABC``."""
    if not tokens or not (tokens[0][0].isalpha() or is_text(tokens[0]) or tokens[0].startswith("\\")):
        return False
    text = write(tokens)
    return not any(
        sign in text for sign in ("+", "-", "/", "=", r"\cdot", r"\frac", r"\sqrt", "^{2}", r"\pi", "<", ">")
    )


def _is_symbolic_set(tokens: Tokens) -> bool:
    r"""``\mathbb{R}``, ``\mathbb{R} \setminus \{0\}`` and the like, which are no shape here but a set."""
    return r"\mathbb" in tokens or r"\setminus" in tokens or r"\emptyset" in tokens
