"""Check before the first sample that gold answers can be read: each must be right against itself."""

from __future__ import annotations

from collections.abc import Sequence

from asyppo_cli.ports import Grader
from asyppo_cli.tasks.grading.verify import source_task
from asyppo_cli.types import Problem

# Golds that are tried, evenly spread: LaTeX takes some milliseconds each.
TRIED = 512
EXAMPLES = 3
# An answer that needs algebra to be refused: equal text would be right even where the gold cannot be read.
PROBE = r"\boxed{\sqrt{7919}+\frac{1}{7907}}"


def check_golds(grader: Grader, problems: Sequence[Problem]) -> str | None:
    """One line about golds that are not right against themselves, with their share and examples; None if all are.

    Tasks of reasoning-gym are left out: their verifiers were made with the problems.

    Raises:
        ValueError: none of the golds can be read, so every response would be wrong.
    """
    checked = [problem for problem in problems if source_task(problem.entry) is None]
    tried = checked[:: max(1, -(-len(checked) // TRIED))]
    own = grader.grade(tried, [f"\\boxed{{{problem.answer}}}" for problem in tried])
    other = grader.grade(tried, [PROBE] * len(tried))
    unread = [
        problem
        for problem, itself, probe in zip(tried, own, other, strict=True)
        if itself.kind != "right" or probe.kind == "unparseable_gold"
    ]
    if not unread:
        return None
    shown = ", ".join(f"{problem.id}: {problem.answer[:40]!r}" for problem in unread[:EXAMPLES])
    share = f"{len(unread)} of {len(tried)} gold answers cannot be read ({shown})"
    if len(unread) == len(tried):
        raise ValueError(f"{share}: every response would be wrong: give answers alone, such as 42 or \\frac{{1}}{{2}}")
    return f"{share}: no response to them can be right"
