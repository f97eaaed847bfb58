"""Mathematical expressions as trees, and how to make them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction


class Unreadable(ValueError):
    """Tokens that are no expression; ``gold`` says whose they are, once known."""

    gold = False


@dataclass(frozen=True, slots=True)
class Expression:
    """A node: ``op`` is number, symbol, constant, +, *, /, ^, the name of a function, sum, product, or apply."""

    op: str
    args: tuple[Expression, ...] = ()
    atom: Fraction | str | None = None

    def nodes(self) -> Iterator[Expression]:
        """This node and all below it."""
        yield self
        for part in self.args:
            yield from part.nodes()

    def symbols(self) -> set[str]:
        """Names of free variables."""
        if self.op == "symbol":
            return {str(self.atom)}
        found = {name for part in self.args for name in part.symbols()}
        return found - {str(self.atom)} if self.op in ("sum", "product") else found

    def replaced(self, old: Expression, new: Expression) -> Expression:
        """The tree with one node in another's place."""
        if self == old:
            return new
        return (
            Expression(self.op, tuple(part.replaced(old, new) for part in self.args), self.atom) if self.args else self
        )


def number(value: Fraction | int) -> Expression:
    """A rational number."""
    return Expression("number", (), Fraction(value))


def symbol(name: str) -> Expression:
    """A variable."""
    return Expression("symbol", (), name)


def plus(*terms: Expression) -> Expression:
    """A sum."""
    return terms[0] if len(terms) == 1 else Expression("+", terms)


def times(*factors: Expression) -> Expression:
    """A product."""
    return factors[0] if len(factors) == 1 else Expression("*", factors)


def minus(left: Expression, right: Expression) -> Expression:
    """A difference."""
    return plus(left, times(MINUS_ONE, right))


MINUS_ONE = number(-1)
PI = Expression("constant", (), "pi")
DEGREE = Expression("/", (PI, number(180)))
