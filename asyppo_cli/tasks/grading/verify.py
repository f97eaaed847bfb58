r"""Decide whether the boxed answer of a response is right. Strings and JSON in, a verdict's kind out.

Three judges, tried in this order: integers are compared as such; problems of reasoning-gym go to that task's own
verifier; of everything else the shape is compared, then its terms: as text, as exact numbers, and by algebra with
math-verify's parser. What needs no algebra is safe and quick and runs anywhere (:func:`decide`). The rest may compute
for ever or fill the memory on a hostile answer, and some verifiers evaluate it as Python (:func:`judge`): it belongs in
a process that can be killed. This module is imported by such processes and therefore stays light: no torch, and the
judges' own packages only at first use.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from asyppo_cli.tasks.grading.answer_shapes import Shape, read
from asyppo_cli.tasks.grading.boxed import last_boxed
from asyppo_cli.tasks.grading.equivalence import Decision, equal, quick_terms
from asyppo_cli.tasks.grading.latex import LONGEST

if TYPE_CHECKING:
    from asyppo_cli.types import VerdictKind

# Changed by hand whenever a verdict may change; stored beside every score.
GRADER_VERSION = "2"

Entry = Mapping[str, Any]
Scorer = Callable[[str, dict[str, Any]], float]

# 12, +012, 12., 12.00, 1,234, 1{,}234 and 1\,234 after dollars are gone; unicode minus is replaced before.
_INTEGER = re.compile(r"([+-]?)\s*([0-9]+|[0-9]{1,3}(?:(?:,|\{,\}|\\,)[0-9]{3})+)(?:\.0*)?", re.ASCII)

# reasoning-gym tasks whose verifier compares two decimal numbers: unequal integers need no second opinion there.
_DECIMAL_TASKS = frozenset({"chain_sum", "products"})
# Their verifiers compare grids that are tuples of tuples, which JSON turned into lists.
_TUPLE_TASKS = frozenset({"arc_agi", "rearc"})
# An integer of more digits is right to the digit or not at all, however large the tolerance.
_MOST_DIGITS = 400
# Shapes of golds kept: they come back with every sample of their problem.
_KEPT_GOLDS = 4096
# Scores are floats, and anything below full marks is partial credit, not a right answer.
_FULL_SCORE = 1.0 - 1e-9


def verify(gold: str, text: str, entry: Entry) -> tuple[VerdictKind, str | None]:
    """Kind of verdict on a response ``text``, and its extracted answer (None without a box)."""
    kind, answer = decide(gold, text, entry)
    if kind is None and answer is not None:
        return judge(gold, answer, entry), answer
    return kind or "unparseable", answer


def decide(gold: str, text: str, entry: Entry) -> tuple[VerdictKind | None, str | None]:
    """The kind, where it can be told at once and safely, else None; and the extracted answer."""
    answer = last_boxed(text)
    if answer is None or not answer.strip():
        return "unparseable", answer
    task = source_task(entry)
    if task is not None and task not in _DECIMAL_TASKS:
        # Other answers than the known one may be right, and 007 may differ from 7: only the verifier knows.
        return ("right" if answer.strip() == gold.strip() else None), answer
    return _decide_mathematics(gold, answer, tolerance(entry)), answer


def judge(gold: str, answer: str, entry: Entry) -> VerdictKind:
    """The kind for an extracted answer that :func:`decide` left open. May not return: run it under a deadline."""
    task = source_task(entry)
    if task is None:
        return _judge_mathematics(gold, answer, tolerance(entry))
    scored = _tuples(dict(entry)) if task in _TUPLE_TASKS else dict(entry)
    try:
        score = _scorer(task, _params(entry))(answer.strip(), scored)
    except MemoryError:
        return "timed_out"
    except (Exception, SystemExit):  # noqa: BLE001
        # Broad on purpose: strangers' verifiers on hostile text raise anything, and mean that they cannot read it.
        return "unparseable"
    return "right" if score >= _FULL_SCORE else "wrong"


def load(entry: Entry) -> None:
    """Import what :func:`judge` will need for this entry, so that its deadline does not pay for imports."""
    task = source_task(entry)
    if task is None:
        from asyppo_cli.tasks.grading.symbolic import prepare

        prepare()
    else:
        _scorer(task, _params(entry))


def source_task(entry: Entry) -> str | None:
    """Name of the reasoning-gym task that an entry comes from, or None."""
    metadata = entry.get("metadata")
    name = metadata.get("source_dataset") if isinstance(metadata, Mapping) else None
    return name if isinstance(name, str) else None


def tolerance(entry: Entry) -> float:
    """How far a number may be off, relative to the gold one: what the entry says, or nothing."""
    value = entry.get("tolerance", 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def integer(text: str) -> str | None:
    """Canonical digits of an integer in any usual spelling, or None: a string, so that no length is too much."""
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    if len(text) > 1 and text[0] == text[-1] == "$":
        text = text.strip("$").strip()
    found = _INTEGER.fullmatch(text)
    if found is None:
        return None
    digits = re.sub("[^0-9]", "", found.group(2)).lstrip("0") or "0"
    return "-" + digits if found.group(1) == "-" and digits != "0" else digits


def _params(entry: Entry) -> str:
    return json.dumps(entry.get("params", {}), sort_keys=True)


@functools.cache
def _scorer(task: str, params: str) -> Scorer:
    """The task's own verifier. Some consult the task's parameters, so it is made with them."""
    import reasoning_gym

    scorer: Scorer = reasoning_gym.create_dataset(task, seed=0, **json.loads(params)).score_answer
    return scorer


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _decide_mathematics(gold: str, answer: str, tolerance: float) -> VerdictKind | None:
    """Text, integers, shapes and exact numbers; None where algebra is needed."""
    if gold.strip() == answer.strip():
        return "right"
    expected, given = integer(gold), integer(answer)
    if expected is not None and given is not None:
        return "right" if expected == given or _near(expected, given, tolerance) else "wrong"
    if len(answer) > LONGEST:
        # No gold answer is as long, so what it means does not matter.
        return "unparseable"
    decision = equal(_gold_shape(gold), read(answer), quick_terms(tolerance))
    return None if decision is None else "right" if decision else "wrong"


def _near(expected: str, given: str, tolerance: float) -> bool:
    if not tolerance or max(len(expected), len(given)) > _MOST_DIGITS:
        return False
    return abs(int(expected) - int(given)) <= Fraction(tolerance) * abs(int(expected))


@functools.lru_cache(_KEPT_GOLDS)
def _gold_shape(gold: str) -> Shape:
    return read(gold)


def _judge_mathematics(gold: str, answer: str, tolerance: float) -> VerdictKind:
    """As :func:`_decide_mathematics`, with algebra for the terms that are left."""
    from asyppo_cli.tasks.grading.symbolic import Unreadable, algebraic_terms

    decided = _decide_mathematics(gold, answer, tolerance)
    if decided is not None:
        return decided
    try:
        decision: Decision = equal(_gold_shape(gold), read(answer), algebraic_terms(tolerance))
    except Unreadable as unreadable:
        return "unparseable_gold" if unreadable.gold else "unparseable"
    except MemoryError:
        return "timed_out"
    except (ArithmeticError, AttributeError, RecursionError, TypeError, ValueError, NotImplementedError):
        # sympy on what it was not made for: nothing that could be compared with the gold answer.
        return "unparseable"
    return "right" if decision else "wrong"
