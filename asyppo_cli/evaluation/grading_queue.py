"""Verdicts on stored samples: graded in a thread beside the sampling, stored as they arrive, never graded twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from typing import Self, cast

from asyppo_cli.evaluation.answer_classes import answer_classes
from asyppo_cli.evaluation.scores import GradedSample
from asyppo_cli.ports import Grader
from asyppo_cli.runs.evaluations import (
    EvaluationDirectory,
    FailedSample,
    JsonLines,
    Sample,
    StoredVerdict,
    read_verdicts,
    write_verdicts,
)
from asyppo_cli.tasks.grading.verify import GRADER_VERSION
from asyppo_cli.types import Problem, Verdict, VerdictKind

# The vote of a sample without an answer.
NO_VOTE = ""

StoredSamples = Mapping[str, Mapping[int, Sample]]
StoredFailures = Mapping[str, Mapping[int, FailedSample]]


def grader_version(unfinished: bool = False) -> str:
    """Versions of this grader and of the libraries it uses; and whether unfinished reasoning is graded."""
    libraries = (f"{name} {version(name)}" for name in ("sympy", "reasoning-gym"))
    return ", ".join([f"asyppo {GRADER_VERSION}", *libraries, *(["unfinished reasoning"] if unfinished else [])])


class GradingQueue:
    """Grades in its own thread, so that a slow answer does not delay the sampling. A context manager.

    Verdicts of another ``version`` of the grader are discarded and the samples graded again. ``text_of`` gives the
    part of a response that is graded.
    """

    def __init__(
        self,
        directory: EvaluationDirectory,
        problems: Sequence[Problem],
        grader: Grader,
        version: str,
        text_of: Callable[[Sample], str],
    ) -> None:
        self._directory, self._grader, self._version, self._text_of = directory, grader, version, text_of
        self._problems = {problem.id: problem for problem in problems}
        stored = read_verdicts(directory)
        self._graded = {
            problem_id: {number: row for number, row in rows.items() if row.grader == version}
            for problem_id, rows in stored.items()
        }
        self.outdated = sum(map(len, stored.values())) - sum(map(len, self._graded.values()))
        if self.outdated:
            write_verdicts(directory, self._rows())
        current = [row for problem_id in self._problems for row in self._graded.get(problem_id, {}).values()]
        self._kinds = Counter(row.verdict for row in current)
        self._pool = ThreadPoolExecutor(1)
        self._waiting: list[Future[list[StoredVerdict]]] = []

    def __enter__(self) -> Self:
        self._log = JsonLines(self._directory.verdicts)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._log.close()

    def submit(self, samples: Sequence[Sample]) -> None:
        """Queue samples that have no verdict yet and belong to the problems."""
        lacking = [s for s in samples if s.id in self._problems and s.sample not in self._graded.get(s.id, {})]
        if lacking:
            self._waiting.append(self._pool.submit(self._grade, lacking))

    def collect(self, wait: bool) -> None:
        """Store the verdicts that are ready; all of them with ``wait``."""
        while self._waiting and (wait or self._waiting[0].done()):
            rows = self._waiting.pop(0).result()
            self._log.append(rows)
            for row in rows:
                self._graded.setdefault(row.id, {})[row.sample] = row
            self._kinds.update(row.verdict for row in rows)

    def right_share(self) -> float | None:
        """Share of right answers so far; None before the first verdict."""
        return self._kinds["right"] / self._kinds.total() if self._kinds else None

    def count_votes(self) -> None:
        """Store the vote of every sample, for problems with samples that have none yet."""
        uncounted = [
            problem
            for problem in self._problems.values()
            if any(row.vote is None for row in self._graded.get(problem.id, {}).values())
        ]
        if not uncounted:
            return
        rows = [[row for _, row in sorted(self._graded[problem.id].items())] for problem in uncounted]
        verdicts = [[_verdict(row) for row in group] for group in rows]
        for group, found in zip(rows, answer_classes(self._grader, uncounted, verdicts), strict=True):
            for row, vote in zip(group, found, strict=True):
                self._graded[row.id][row.sample] = replace(row, vote=NO_VOTE if vote is None else vote)
        self._log.close()
        write_verdicts(self._directory, self._rows())
        self._log = JsonLines(self._directory.verdicts)

    def graded_samples(
        self, problems: Sequence[Problem], samples: int, stored: StoredSamples, failures: StoredFailures
    ) -> list[list[GradedSample]]:
        """The first ``samples`` samples of every problem, failed ones among them."""
        graded = []
        for problem in problems:
            drawn: dict[int, Sample | FailedSample] = {**failures.get(problem.id, {}), **stored.get(problem.id, {})}
            graded.append([self._graded_sample(drawn[number]) for number in range(samples)])
        return graded

    def _graded_sample(self, sample: Sample | FailedSample) -> GradedSample:
        if isinstance(sample, FailedSample):
            return GradedSample("failed", None, 0, False)
        return graded_sample(self._graded[sample.id][sample.sample], sample)

    def _grade(self, samples: Sequence[Sample]) -> list[StoredVerdict]:
        problems = [self._problems[sample.id] for sample in samples]
        verdicts = self._grader.grade(problems, [self._text_of(sample) for sample in samples])
        return [
            StoredVerdict(
                sample.id, sample.sample, verdict.kind, verdict.extracted, None, self._version, verdict.reason
            )
            for sample, verdict in zip(samples, verdicts, strict=True)
        ]

    def _rows(self) -> list[StoredVerdict]:
        return [row for rows in self._graded.values() for _, row in sorted(rows.items())]


def graded_sample(row: StoredVerdict, sample: Sample) -> GradedSample:
    """A stored verdict and its sample, as scores need them."""
    kind = cast("VerdictKind", row.verdict)
    return GradedSample(kind, row.vote or None, sample.length, sample.truncated, not sample.response.strip())


def _verdict(row: StoredVerdict) -> Verdict:
    return Verdict(cast("VerdictKind", row.verdict), float(row.verdict == "right"), row.extracted)
