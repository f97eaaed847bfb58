"""Classes of equal answers, by the grader: what the majority vote counts."""

from __future__ import annotations

from collections.abc import Sequence

from asyppo_cli.ports import Grader
from asyppo_cli.tasks.grading.verify import integer, source_task
from asyppo_cli.types import Problem, Verdict


def answer_classes(
    grader: Grader, problems: Sequence[Problem], verdicts: Sequence[Sequence[Verdict]]
) -> list[list[str | None]]:
    """For every problem's samples the representative of all equal answers, or None without an answer.

    Right answers are one class, represented by the gold answer. The others are compared with each other as if the
    first were gold; an unreadable one equals only itself. Verifiers of reasoning-gym take no other gold: their answers
    are compared as text.
    """
    chosen = [dict(_certain(problem, row)) for problem, row in zip(problems, verdicts, strict=True)]
    open_answers = [_open(row, known) for row, known in zip(verdicts, chosen, strict=True)]
    while any(open_answers):
        # One representative a problem in each round, so that the workers get the answers of all problems together.
        asked = [(i, answers[0], answer) for i, answers in enumerate(open_answers) for answer in answers[1:]]
        golds = [Problem(f"{problems[i].id}/{leader}", "", leader, problems[i].entry) for i, leader, _ in asked]
        marks = grader.grade(golds, [f"\\boxed{{{answer}}}" for _, _, answer in asked])
        for known, answers in zip(chosen, open_answers, strict=True):
            known.update((answer, answer) for answer in answers[:1])
        for (i, leader, answer), mark in zip(asked, marks, strict=True):
            if mark.kind == "right":
                chosen[i][answer] = leader
        open_answers = [
            [answer for answer in answers[1:] if answer not in known]
            for answers, known in zip(open_answers, chosen, strict=True)
        ]
    return [
        [None if v.extracted is None else known.get(v.extracted) for v in row]
        for row, known in zip(verdicts, chosen, strict=True)
    ]


def _certain(problem: Problem, row: Sequence[Verdict]) -> list[tuple[str, str]]:
    """Answers whose class is known without the grader."""
    found = []
    for verdict in row:
        answer = verdict.extracted
        if answer is None or not answer.strip():
            continue
        if verdict.kind == "right":
            found.append((answer, problem.answer))
        elif integer(answer) is not None:
            found.append((answer, integer(answer) or answer))
        elif verdict.kind != "wrong" or source_task(problem.entry) is not None:
            found.append((answer, answer.strip()))
    return found


def _open(row: Sequence[Verdict], known: dict[str, str]) -> list[str]:
    answers = (verdict.extracted for verdict in row if verdict.extracted is not None and verdict.extracted.strip())
    return [answer for answer in dict.fromkeys(answers) if answer not in known]
