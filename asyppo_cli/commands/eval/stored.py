"""A stored evaluation, problem by problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asyppo_cli.runs.evaluations import (
    EvaluationDirectory,
    FailedSample,
    Sample,
    StoredVerdict,
    find_evaluation,
    read_failures,
    read_manifest,
    read_problems,
    read_samples,
    read_verdicts,
)


@dataclass(frozen=True)
class ProblemSamples:
    """A problem with its samples in order, each with its verdict (None: not graded yet), and its failures."""

    id: str
    question: str
    answer: str
    rows: Sequence[tuple[Sample, StoredVerdict | None]]
    failures: Sequence[FailedSample]

    @property
    def right(self) -> int:
        """Number of right samples."""
        return sum(graded is not None and graded.verdict == "right" for _, graded in self.rows)

    @property
    def votes(self) -> Counter[str]:
        """Answers and their number of samples; equal ones are one where votes were counted."""
        known = [graded for _, graded in self.rows if graded is not None]
        return Counter(answer for row in known if (answer := row.extracted if row.vote is None else row.vote))

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        shown = ("verdict", "extracted", "reason")
        samples = [
            {**asdict(sample), **{k: graded and getattr(graded, k) for k in shown}} for sample, graded in self.rows
        ]
        base = {"id": self.id, "problem": self.question, "answer": self.answer, "right": self.right}
        failed = [asdict(failure) for failure in self.failures]
        return {**base, "votes": dict(self.votes.most_common()), "samples": samples, "failed": failed}


@dataclass(frozen=True)
class StoredEvaluation:
    """The contents of a directory; problems without a sample are left out."""

    directory: EvaluationDirectory
    settings: Mapping[str, Any]
    problems: Sequence[ProblemSamples]

    @property
    def samples(self) -> int:
        """All samples."""
        return sum(len(answered.rows) for answered in self.problems)

    @property
    def ungraded(self) -> int:
        """Samples without a verdict."""
        return sum(graded is None for answered in self.problems for _, graded in answered.rows)


def open_stored(name: str | None, runs_dir: Path, elsewhere: Path) -> StoredEvaluation:
    """Find an evaluation and read it.

    Raises:
        ValueError: there is none, or several, or a file of it is damaged.
    """
    return read_stored(find_evaluation(name, runs_dir, elsewhere))


def read_stored(directory: EvaluationDirectory) -> StoredEvaluation:
    """Read an evaluation; ValueError if a file of it is damaged."""
    samples, verdicts, failures = read_samples(directory), read_verdicts(directory), read_failures(directory)
    problems = []
    for row in read_problems(directory):
        name = row["id"]
        drawn = sorted(samples.get(name, {}).items())
        failed = [failure for number, failure in failures.get(name, {}).items() if number not in dict(drawn)]
        rows = [(sample, verdicts.get(name, {}).get(number)) for number, sample in drawn]
        if rows or failed:
            problems.append(ProblemSamples(name, row["problem"], row["answer"], rows, failed))
    return StoredEvaluation(directory, read_manifest(directory)["settings"], problems)
