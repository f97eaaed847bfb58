"""A draw of problems without replacement, with probabilities proportional to their difficulty.

Sort by ``-ln(u) / difficulty`` for independent uniform ``u`` (Efraimidis and Spirakis 2006, "Weighted random sampling
with a reservoir"). ``u`` is a hash of the question, so the draw is the same on every machine and in any file order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

from asyppo_cli.types import Problem

SALT = "asyppo draw 1\n"


def order_by_difficulty(problems: Sequence[Problem], most: int, key: str) -> list[Problem]:
    """All problems of positive difficulty in the order of the draw; the others are left out.

    A file of at most ``most`` problems without difficulties is taken for an earlier draw and only shuffled. Raises
    ValueError, naming the problem and ``key``, for a missing or invalid difficulty.
    """
    known = [problem.entry.get("difficulty") for problem in problems]
    if all(difficulty is None for difficulty in known):
        if len(problems) > most:
            raise ValueError(
                f"{key}: none of its {len(problems)} problems has a difficulty to draw by: give a file with them, or "
                f"keep its order with task.params.draw=in_order"
            )
        known = [1.0] * len(problems)
    weights = [_weight(difficulty, problem, key) for difficulty, problem in zip(known, problems, strict=True)]
    arrivals = {
        index: -math.log(_uniform(problem.question)) / weight
        for index, (problem, weight) in enumerate(zip(problems, weights, strict=True))
        if weight > 0
    }
    if not arrivals:
        raise ValueError(f"{key}: no problem has a difficulty above 0, so none can be drawn")
    return [problems[index] for index in sorted(arrivals, key=arrivals.__getitem__)]


def _weight(difficulty: Any, problem: Problem, key: str) -> float:
    if isinstance(difficulty, bool) or not isinstance(difficulty, int | float) or not math.isfinite(difficulty):
        said = "no difficulty" if difficulty is None else f"the difficulty {difficulty!r}"
        raise ValueError(f"{key}: problem {problem.id} has {said}: each needs a number to be drawn by")
    return float(difficulty)


def _uniform(text: str) -> float:
    """A hash of the text as a number in (0, 1)."""
    digest = hashlib.sha256((SALT + text).encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") + 0.5) / 2.0**64
