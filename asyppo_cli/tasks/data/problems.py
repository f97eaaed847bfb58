"""From a task's configuration to its training and held-out problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from asyppo_cli.config.method import TaskConfig
from asyppo_cli.config.section import Scalar
from asyppo_cli.keys import did_you_mean
from asyppo_cli.tasks.data.difficulty import order_by_difficulty
from asyppo_cli.tasks.data.hub import cached_files, copied_files, split_files
from asyppo_cli.tasks.data.problem_files import read_problem_file
from asyppo_cli.tasks.data.procedural import GeneratedProblems, heldout_problems
from asyppo_cli.types import Problem

SPLIT = "train"
# What task.params may say of each source that is read, and the values allowed (None: any text or null).
READ_PARAMS: Mapping[str, Mapping[str, tuple[str, ...] | None]] = {
    "jsonl": {"draw": ("in_order", "by_difficulty")},
    "hub": {"draw": ("in_order", "by_difficulty"), "revision": None},
}


def load_problems(task: TaskConfig, seed: int, heldout: int) -> tuple[Sequence[Problem], list[Problem]]:
    """Training problems (in fixed order, at most ``task.size``) and ``heldout`` held-out ones.

    No question is in both. The held-out problems do not depend on ``seed``, so all runs are scored on the same; nor
    does a draw, so all runs of a data set train on the same problems. Raises ValueError, naming key, file and line, for
    a task or file that cannot serve.
    """
    if task.source == "reasoning_gym":
        for name in _columns(task):
            raise ValueError(f"task.columns.{name}: task.source=reasoning_gym generates problems, it has no columns")
        held = heldout_problems(task.name, task.params, heldout)
        excluded = frozenset(problem.question for problem in held)
        return GeneratedProblems(task.name, task.params, task.size, seed, excluded), held
    _check_params(task.source, task.params)
    problems, key = _read(task)
    if task.params.get("draw", "in_order") == "by_difficulty":
        own = 0 if task.heldout_path else heldout
        return _split(order_by_difficulty(problems, task.size + own, key), task, heldout, key, held_first=True)
    return _split(problems, task, heldout, key, held_first=False)


def describe_source(task: TaskConfig) -> str | None:
    """The revision of a hub's data set that was read, in words; None for other sources."""
    if task.source != "hub" or task.path is not None:
        return None
    found = cached_files(task.name, SPLIT, _revision(task))
    return None if found is None else f"problems of {task.name} at revision {found.commit}"


def _read(task: TaskConfig) -> tuple[list[Problem], str]:
    """All problems of a file or data set, and its name in messages."""
    if task.path is not None:
        return _read_any(task, task.path, "task.path"), f"task.path ({task.path})"
    if task.source == "jsonl":
        raise ValueError("task.source=jsonl needs task.path=FILE")
    wanted = "give a copy: task.path=FILE, a JSONL or Parquet file with problem, answer and difficulty"
    files = split_files(task.name, SPLIT, _revision(task), "task.name", wanted).files
    return _read_all(task, files, "task.name"), f"task.name ({task.name})"


def _read_any(task: TaskConfig, path: str, key: str) -> list[Problem]:
    """Problems of a file, or of a folder of files."""
    return _read_all(task, copied_files(Path(path).expanduser(), SPLIT, key), key)


def _read_all(task: TaskConfig, files: Sequence[Path], key: str) -> list[Problem]:
    return [problem for file in files for problem in read_problem_file(file, key, {}, _columns(task))]


def _columns(task: TaskConfig) -> dict[str, str]:
    """Columns that are named in the configuration."""
    return {name: column for name, column in task.columns.model_dump().items() if column is not None}


def _split(
    problems: list[Problem], task: TaskConfig, heldout: int, key: str, held_first: bool
) -> tuple[list[Problem], list[Problem]]:
    """Held-out problems: the first of their own file, else the last of the file, or the first of the draw."""
    if task.heldout_path is not None:
        held = _read_any(task, task.heldout_path, "task.heldout_path")[:heldout]
        if len(held) < heldout:
            raise ValueError(
                f"evaluation.problems is {heldout}, but task.heldout_path ({task.heldout_path}) has {len(held)}: "
                f"set evaluation.problems to {len(held)} or less"
            )
    else:
        if len(problems) <= heldout:
            which = "first" if held_first else "last"
            raise ValueError(
                f"evaluation.problems is {heldout}, but {key} has {len(problems)} and the {which} ones are "
                "held out: lower evaluation.problems, or give task.heldout_path"
            )
        cut = heldout if held_first else len(problems) - heldout
        first, last = problems[:cut], problems[cut:]
        held, problems = (first, last) if held_first else (last, first)
    questions = {problem.question for problem in held}
    train = [problem for problem in problems if problem.question not in questions][: task.size]
    if not train:
        raise ValueError(f"{key}: every problem is also held out, so none is left to train on")
    return train, held


def _revision(task: TaskConfig) -> str | None:
    revision = task.params.get("revision")
    return None if revision is None else str(revision)


def _check_params(source: str, params: Mapping[str, Scalar]) -> None:
    """Raise ValueError for a key that the source does not have, or a value it does not take."""
    known = READ_PARAMS[source]
    for name, value in params.items():
        if name not in known:
            near = did_you_mean(name, known)
            raise ValueError(f"task.params.{name}: task.source={source} has no such parameter; {near}")
        allowed = known[name]
        if allowed is not None and value not in allowed:
            raise ValueError(f"task.params.{name}={value} must be one of {', '.join(allowed)}")
        if allowed is None and not isinstance(value, str | None):
            raise ValueError(f"task.params.{name}={value} must be text: put it in quotes")
