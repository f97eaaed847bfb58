"""From a task's configuration to its training and held-out problems."""

from __future__ import annotations

from collections.abc import Sequence

from asyppo_cli.config.method import TaskConfig
from asyppo_cli.tasks.jsonl import read_lines
from asyppo_cli.tasks.procedural import GeneratedProblems, heldout_problems
from asyppo_cli.types import Problem


def load_problems(task: TaskConfig, seed: int, heldout: int) -> tuple[Sequence[Problem], list[Problem]]:
    """Training problems (in fixed order, at most ``task.size``) and ``heldout`` held-out ones.

    No question is in both. The held-out problems do not depend on ``seed``, so all runs are scored on the same. Raises
    ValueError, naming key, file and line, for a task or file that cannot serve.
    """
    if task.source == "reasoning_gym":
        held = heldout_problems(task.name, task.params, heldout)
        excluded = frozenset(problem.question for problem in held)
        return GeneratedProblems(task.name, task.params, task.size, seed, excluded), held
    if task.path is None:
        raise ValueError("task.source=jsonl needs task.path=FILE")
    return _split(task.path, task.heldout_path, task.size, heldout)


def read_problems(path: str, key: str) -> list[Problem]:
    """Problems of a file of {id, problem, answer} lines; ``key`` is the configuration key that gave the path."""
    seen: dict[str, str] = {}
    problems = []
    for place, fields in read_lines(path, ("id", "problem", "answer"), key):
        name = fields["id"]
        if name in seen:
            raise ValueError(f'{place}: "id" {name!r} was given before, in {seen[name]}: ids must differ')
        seen[name] = place
        entry = {"difficulty": fields["difficulty"]} if "difficulty" in fields else {}
        problems.append(Problem(name, fields["problem"], fields["answer"], entry))
    return problems


def _split(path: str, heldout_path: str | None, size: int, heldout: int) -> tuple[list[Problem], list[Problem]]:
    """Held-out problems are the first of their own file, or the last of the training file."""
    problems = read_problems(path, "task.path")
    if heldout_path is not None:
        held = read_problems(heldout_path, "task.heldout_path")[:heldout]
        if len(held) < heldout:
            raise ValueError(
                f"evaluation.problems is {heldout}, but task.heldout_path ({heldout_path}) has {len(held)}: "
                f"set evaluation.problems to {len(held)} or less"
            )
    else:
        if len(problems) <= heldout:
            raise ValueError(
                f"evaluation.problems is {heldout}, but task.path ({path}) has {len(problems)} and the last ones are "
                "held out: lower evaluation.problems, or give task.heldout_path"
            )
        problems, held = problems[:-heldout], problems[-heldout:]
    questions = {problem.question for problem in held}
    train = [problem for problem in problems if problem.question not in questions][:size]
    if not train:
        raise ValueError(f"task.path ({path}): every problem is held out too: nothing is left to train on")
    return train, held
