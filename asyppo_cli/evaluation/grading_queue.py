"""Verdicts on stored samples: graded beside the sampling, written down as they come, never twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from typing import Self, cast

from asyppo_cli.evaluation.answer_classes import classes
from asyppo_cli.evaluation.scores import GradedSample
from asyppo_cli.ports import Grader
from asyppo_cli.runs.evaluations import (
    EvaluationDirectory,
    JsonLines,
    Sample,
    StoredVerdict,
    read_verdicts,
    write_verdicts,
)
from asyppo_cli.tasks.grading.verify import GRADER_VERSION
from asyppo_cli.types import Problem, Verdict, VerdictKind

# What a sample without an answer votes for.
NO_VOTE = ""

Stored = Mapping[str, Mapping[int, Sample]]


def grader_version() -> str:
    """What tells this grader from any other: our own version, and those of whom we ask."""
    judges = ("math-verify", "reasoning-gym")
    return ", ".join([f"asyppo {GRADER_VERSION}", *(f"{name} {version(name)}" for name in judges)])


class GradingQueue:
    """Grades in a thread of its own, so that an answer that hangs does not hold up the sampling. A context manager.

    Verdicts of another ``version`` of the grader do not count: such samples are graded again.
    """

    def __init__(
        self, directory: EvaluationDirectory, problems: Sequence[Problem], grader: Grader, grader_version: str
    ) -> None:
        self._directory, self._grader, self._version = directory, grader, grader_version
        self._problems = {problem.id: problem for problem in problems}
        stored = read_verdicts(directory)
        self._graded = {
            problem_id: {number: row for number, row in rows.items() if row.grader == grader_version}
            for problem_id, rows in stored.items()
        }
        self.outdated = sum(map(len, stored.values())) - sum(map(len, self._graded.values()))
        if self.outdated:
            write_verdicts(directory, self._rows())
        asked = [row for problem_id in self._problems for row in self._graded.get(problem_id, {}).values()]
        self._kinds = Counter(row.verdict for row in asked)
        self._pool = ThreadPoolExecutor(1)
        self._waiting: list[Future[list[StoredVerdict]]] = []

    def __enter__(self) -> Self:
        self._log = JsonLines(self._directory.verdicts)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._log.close()

    def submit(self, samples: Sequence[Sample]) -> None:
        """Have samples graded; those that are already, or belong to problems not asked for, are left out."""
        lacking = [s for s in samples if s.id in self._problems and s.sample not in self._graded.get(s.id, {})]
        if lacking:
            self._waiting.append(self._pool.submit(self._grade, lacking))

    def collect(self, wait: bool) -> None:
        """Write down what has been graded; all of it with ``wait``."""
        while self._waiting and (wait or self._waiting[0].done()):
            rows = self._waiting.pop(0).result()
            self._log.append(rows)
            for row in rows:
                self._graded.setdefault(row.id, {})[row.sample] = row
            self._kinds.update(row.verdict for row in rows)

    def right_share(self) -> float | None:
        """Share of right answers among those graded so far; None before the first."""
        return self._kinds["right"] / self._kinds.total() if self._kinds else None

    def votes(self) -> None:
        """Fill in what every sample votes for, where a problem has samples that were not counted yet."""
        asked = [
            problem
            for problem in self._problems.values()
            if any(row.vote is None for row in self._graded.get(problem.id, {}).values())
        ]
        rows = [[row for _, row in sorted(self._graded[problem.id].items())] for problem in asked]
        verdicts = [[_verdict(row) for row in group] for group in rows]
        for group, found in zip(rows, classes(self._grader, asked, verdicts) if asked else [], strict=True):
            for row, vote in zip(group, found, strict=True):
                self._graded[row.id][row.sample] = replace(row, vote=NO_VOTE if vote is None else vote)
        if asked:
            self._log.close()
            write_verdicts(self._directory, self._rows())
            self._log = JsonLines(self._directory.verdicts)

    def marks(self, problems: Sequence[Problem], samples: int, stored: Stored) -> list[list[GradedSample]]:
        """The first ``samples`` marks of every problem."""
        return [
            [mark(self._graded[problem.id][number], stored[problem.id][number]) for number in range(samples)]
            for problem in problems
        ]

    def _grade(self, samples: Sequence[Sample]) -> list[StoredVerdict]:
        problems = [self._problems[sample.id] for sample in samples]
        verdicts = self._grader.grade(problems, [sample.response for sample in samples])
        return [
            StoredVerdict(sample.id, sample.sample, verdict.kind, verdict.extracted, None, self._version)
            for sample, verdict in zip(samples, verdicts, strict=True)
        ]

    def _rows(self) -> list[StoredVerdict]:
        return [row for rows in self._graded.values() for _, row in sorted(rows.items())]


def mark(graded: StoredVerdict, sample: Sample) -> GradedSample:
    """A verdict and its sample as the scores want them."""
    return GradedSample(cast("VerdictKind", graded.verdict), graded.vote or None, sample.length, sample.truncated)


def _verdict(row: StoredVerdict) -> Verdict:
    return Verdict(cast("VerdictKind", row.verdict), float(row.verdict == "right"), row.extracted)
