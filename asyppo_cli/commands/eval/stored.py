"""A stored evaluation, problem by problem, for the commands that look at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asyppo_cli.runs.evaluations import (
    EvaluationDirectory,
    Sample,
    StoredVerdict,
    find_evaluation,
    read_manifest,
    read_problems,
    read_samples,
    read_verdicts,
)


@dataclass(frozen=True)
class ProblemSamples:
    """A problem with its samples, in order, each with its verdict (None: not graded yet)."""

    id: str
    question: str
    answer: str
    rows: Sequence[tuple[Sample, StoredVerdict | None]]

    @property
    def right(self) -> int:
        """How many samples are right."""
        return sum(graded is not None and graded.verdict == "right" for _, graded in self.rows)

    @property
    def votes(self) -> Counter[str]:
        """Answers and how many samples gave them, equal ones counted as one where that is known."""
        known = [graded for _, graded in self.rows if graded is not None]
        return Counter(answer for row in known if (answer := row.extracted if row.vote is None else row.vote))

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        samples = [
            {**asdict(sample), "verdict": graded and graded.verdict, "extracted": graded and graded.extracted}
            for sample, graded in self.rows
        ]
        base = {"id": self.id, "problem": self.question, "answer": self.answer, "right": self.right}
        return {**base, "votes": dict(self.votes.most_common()), "samples": samples}


@dataclass(frozen=True)
class StoredEvaluation:
    """What a directory holds; only problems with a sample are in it."""

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
    """Find an evaluation and read all of it.

    Raises:
        ValueError: there is none, or several, or a file of it is damaged.
    """
    directory = find_evaluation(name, runs_dir, elsewhere)
    samples, verdicts = read_samples(directory), read_verdicts(directory)
    problems = [
        ProblemSamples(
            row["id"],
            row["problem"],
            row["answer"],
            [
                (sample, verdicts.get(row["id"], {}).get(number))
                for number, sample in sorted(samples[row["id"]].items())
            ],
        )
        for row in read_problems(directory)
        if row["id"] in samples
    ]
    return StoredEvaluation(directory, read_manifest(directory)["settings"], problems)
