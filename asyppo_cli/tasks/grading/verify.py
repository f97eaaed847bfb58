r"""Decide whether the boxed answer of a response is right. Strings and JSON in, a judgement out.

Integers are compared as such; problems of reasoning-gym go to that task's own verifier; everything else is read by
kind and compared (:mod:`~asyppo_cli.tasks.grading.mathematics`). What needs no algebra is safe and quick and runs
anywhere (:func:`decide`). The rest may compute for ever or fill the memory on a hostile answer, and some verifiers
evaluate it as Python (:func:`judge`): it belongs in a process that can be killed, which imports this module, so it
stays light: no torch, and sympy only at first use.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from asyppo_cli.tasks.grading.boxed import last_boxed
from asyppo_cli.tasks.grading.mathematics.comparison import AnswerComparison
from asyppo_cli.tasks.grading.mathematics.expressions import Unreadable
from asyppo_cli.tasks.grading.mathematics.latex import MAX_LENGTH, write
from asyppo_cli.tasks.grading.mathematics.reading import read

if TYPE_CHECKING:
    from asyppo_cli.types import VerdictKind

# Changed by hand whenever a verdict may change; stored beside every score.
GRADER_VERSION = "3"

Entry = Mapping[str, Any]
Scorer = Callable[[str, dict[str, Any]], float]

# 12, +012, 12., 12.00, 1,234, 1{,}234 and 1\,234 after dollars are gone; unicode minus is replaced before.
_INTEGER = re.compile(r"([+-]?)\s*([0-9]+|[0-9]{1,3}(?:(?:,|\{,\}|\\,)[0-9]{3})+)(?:\.0*)?", re.ASCII)

# reasoning-gym tasks whose verifier compares two decimal numbers: unequal integers need no second opinion there.
_DECIMAL_TASKS = frozenset({"chain_sum", "products"})
# Their verifiers compare grids that are tuples of tuples, which JSON turned into lists.
_TUPLE_TASKS = frozenset({"arc_agi", "rearc"})
# An integer of more digits is right to the digit or not at all, however large the tolerance.
_MAX_DIGITS = 400
# Scores are floats, and anything below full marks is partial credit, not a right answer.
_FULL_SCORE = 1.0 - 1e-9


class Judgement(NamedTuple):
    """A kind of verdict, and in words what was compared with what, as what, and how."""

    kind: VerdictKind
    reason: str


NO_BOX = Judgement("unparseable", "no box with an answer in it")


def verify(gold: str, text: str, entry: Entry) -> tuple[VerdictKind, str | None]:
    """Kind of verdict on a response ``text``, and its extracted answer (None without a box)."""
    judgement, answer = decide(gold, text, entry)
    if judgement is None and answer is not None:
        judgement = judge(gold, answer, entry)
    return (judgement or NO_BOX).kind, answer


def decide(gold: str, text: str, entry: Entry) -> tuple[Judgement | None, str | None]:
    """The judgement, where it can be made at once and safely, else None; and the extracted answer."""
    answer = last_boxed(text)
    if answer is None or not answer.strip():
        return NO_BOX, answer
    task = source_task(entry)
    if task is not None and task not in _DECIMAL_TASKS:
        # Other answers than the known one may be right, and 007 may differ from 7: only the verifier knows.
        same = answer.strip() == gold.strip()
        return (Judgement("right", "the known answer as written") if same else None), answer
    return _decide_mathematics(gold, answer, tolerance(entry)), answer


def judge(gold: str, answer: str, entry: Entry) -> Judgement:
    """The judgement on an extracted answer that :func:`decide` left open. May not return: run it under a deadline."""
    task = source_task(entry)
    if task is None:
        return _judge_mathematics(gold, answer, tolerance(entry))
    scored = _tuples(dict(entry)) if task in _TUPLE_TASKS else dict(entry)
    try:
        score = _scorer(task, _params(entry))(answer.strip(), scored)
    except MemoryError:
        return Judgement("timed_out", "out of memory")
    except (Exception, SystemExit) as error:  # noqa: BLE001
        # Broad on purpose: strangers' verifiers on hostile text raise anything, and mean that they cannot read it.
        return Judgement("unparseable", f"the verifier of {task} raised {type(error).__name__}")
    return Judgement("right" if score >= _FULL_SCORE else "wrong", f"the verifier of {task} gave {score:g} of 1")


def load(entry: Entry) -> None:
    """Import what :func:`judge` will need for this entry, so that its deadline does not pay for imports."""
    task = source_task(entry)
    if task is None:
        from asyppo_cli.tasks.grading.mathematics.algebra import prepare

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


def _decide_mathematics(gold: str, answer: str, tolerance: float) -> Judgement | None:
    """Text, integers, kinds and exact numbers; None where algebra is needed."""
    if gold.strip() == answer.strip():
        return Judgement("right", f"{answer.strip()} is the gold answer as written")
    expected, given = integer(gold), integer(answer)
    if expected is not None and given is not None:
        right = expected == given or _near(expected, given, tolerance)
        return Judgement("right" if right else "wrong", f"{given} against {expected} as integers, exactly")
    if len(answer) > MAX_LENGTH:
        # No gold answer is as long, so what it means does not matter.
        return Judgement("unparseable", f"longer than {MAX_LENGTH} characters")
    return _compared(gold, answer, tolerance, algebra=False)


def _compared(gold: str, answer: str, tolerance: float, algebra: bool) -> Judgement | None:
    comparison = AnswerComparison(tolerance, algebra)
    try:
        asked, given = read(gold), read(answer)
        decision = comparison.equal(asked, given)
    except Unreadable as unreadable:
        side, text = ("gold answer", gold) if unreadable.gold else ("answer", answer)
        return Judgement(
            "unparseable_gold" if unreadable.gold else "unparseable", f"the {side} {text[:80]} cannot be read"
        )
    except (ArithmeticError, RecursionError, ValueError, IndexError) as error:
        return Judgement("unparseable", f"the answer {answer[:80]} cannot be computed ({type(error).__name__})")
    if decision is None:
        return None
    reason = f"{write(given.tokens)} ({given.kind}) against {write(asked.tokens)} ({asked.kind}), {comparison.method}"
    return Judgement("right" if decision else "wrong", reason)


def _near(expected: str, given: str, tolerance: float) -> bool:
    if not tolerance or max(len(expected), len(given)) > _MAX_DIGITS:
        return False
    return abs(int(expected) - int(given)) <= Fraction(tolerance) * abs(int(expected))


def _judge_mathematics(gold: str, answer: str, tolerance: float) -> Judgement:
    """As :func:`_decide_mathematics`, with algebra for what is left."""
    decided = _decide_mathematics(gold, answer, tolerance)
    if decided is not None:
        return decided
    try:
        found = _compared(gold, answer, tolerance, algebra=True)
    except MemoryError:
        return Judgement("timed_out", "out of memory")
    except (AttributeError, TypeError, NotImplementedError) as error:
        # sympy on what it was not made for: nothing that could be compared with the gold answer.
        return Judgement("unparseable", f"algebra cannot read {answer[:80]} ({type(error).__name__})")
    return found or Judgement("wrong", "not comparable")
