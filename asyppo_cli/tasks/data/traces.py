"""Worked solutions for a supervised warm start, some with errors on request, so that the model stays imperfect."""

from __future__ import annotations

import random
from dataclasses import dataclass

from asyppo_cli.tasks.data.jsonl import read_lines
from asyppo_cli.tasks.grading.verify import source_task
from asyppo_cli.types import Problem

_LARGEST_SLIP = 3


@dataclass(frozen=True)
class TraceErrors:
    """Shares of traces with only the answer, with missing lines, and with a wrong line; the others are correct."""

    no_steps: float = 0.0
    skipped_steps: float = 0.0
    wrong_line: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError if the shares, which are disjoint, add up to more than 1."""
        total = self.no_steps + self.skipped_steps + self.wrong_line
        if min(self.no_steps, self.skipped_steps, self.wrong_line) < 0 or total > 1 + 1e-9:
            raise ValueError(
                f"no_steps_share + skipped_steps_share + wrong_line_share must lie in [0, 1], but is {total:g}"
            )


def worked_trace(problem: Problem, rng: random.Random, errors: TraceErrors) -> str:
    r"""A solution of a chain_sum problem: left to right, one operation a line, then ``\boxed{}``.

    ``4 - 1 + 7`` becomes ``4 - 1 = 3``, ``3 + 7 = 10``, ``\boxed{10}``. After a missing line the next one
    starts from the right total. A wrong line is off by up to 3, and all later lines follow from it. Raises ValueError
    for other tasks.
    """
    if source_task(problem.entry) != "chain_sum":
        raise ValueError(f"problem {problem.id}: only chain_sum has worked traces: give traces=FILE")
    first, *rest = str(problem.entry["metadata"]["expression"]).split()
    steps = [(sign, int(term)) for sign, term in zip(rest[::2], rest[1::2], strict=True)]
    draw = rng.random() - errors.no_steps
    skips = 0 <= draw < errors.skipped_steps
    slips = 0 <= draw - errors.skipped_steps < errors.wrong_line
    slip_at = rng.randrange(len(steps)) if slips and steps else None
    lines, total = _lines(int(first), steps, slip_at, _slip(rng) if slips else 0)
    if draw < 0:
        lines = []
    elif skips and lines:
        left_out = set(rng.sample(range(len(lines)), rng.randint(1, max(1, len(lines) - 1))))
        lines = [line for number, line in enumerate(lines) if number not in left_out]
    return "\n".join([*lines, f"\\boxed{{{total}}}"])


def load_traces(path: str) -> list[tuple[str, str]]:
    """(problem, response) texts of a file of {problem, response} lines; ValueErrors name file and line."""
    return [
        (fields["problem"], fields["response"]) for _, fields in read_lines(path, ("problem", "response"), "traces")
    ]


def _lines(total: int, steps: list[tuple[str, int]], slip_at: int | None, slip: int) -> tuple[list[str], int]:
    """The operations one by one, the result of line ``slip_at`` off by ``slip``; and the last total."""
    lines = []
    for number, (sign, term) in enumerate(steps):
        result = total + term if sign == "+" else total - term
        result += slip if number == slip_at else 0
        lines.append(f"{total} {sign} {term} = {result}")
        total = result
    return lines, total


def _slip(rng: random.Random) -> int:
    return rng.choice((-1, 1)) * rng.randint(1, _LARGEST_SLIP)
