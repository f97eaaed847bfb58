"""One evaluation from what is there already to its scores: draw what is missing, grade, score, write down."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from asyppo_cli.evaluation.drawing import Source, Wanted, missing
from asyppo_cli.evaluation.lm_eval_export import write_harness_form
from asyppo_cli.evaluation.marking import Marker, Stored, grader_version
from asyppo_cli.evaluation.scores import Mark, Scores, score
from asyppo_cli.ports import Grader
from asyppo_cli.runs.evaluations import (
    EvaluationDirectory,
    JsonLines,
    Sample,
    open_evaluation,
    read_samples,
    read_scores,
    write_json,
    write_problems,
    write_verdicts,
)
from asyppo_cli.runs.files.lock import lock_run
from asyppo_cli.types import Problem

# Stored samples are graded in blocks of so many, so that progress can be shown.
BLOCK = 256


class Progress(Protocol):
    """Whoever watches."""

    def start(self, title: str, total: int, done: int) -> None:
        """An evaluation of ``total`` samples begins, or goes on."""
        ...

    def advance(self, done: int, text: str) -> None:
        """So many samples are there; ``text`` is the running score."""
        ...

    def finish(self, text: str) -> None:
        """All samples are there and graded."""
        ...

    def note(self, text: str) -> None:
        """Something to know."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """One model on one benchmark: ``samples`` of each problem.

    ``settings`` make scores differ and belong to the directory, ``about`` is worth knowing. ``open_source`` loads the
    model and is called only if a sample is missing.
    """

    directory: EvaluationDirectory
    title: str
    problems: Sequence[Problem]
    samples: int
    settings: Mapping[str, Any]
    about: Mapping[str, Any]
    open_source: Callable[[], Source]

    @property
    def total(self) -> int:
        """How many samples it takes."""
        return len(self.problems) * self.samples


@dataclass(frozen=True)
class Outcome:
    """Scores, the marks they come from, and what was new: samples, their tokens, and the seconds it took to draw them
    (those of loading the model among them).
    """

    scores: Scores
    marks: list[list[Mark]]
    drawn: int
    seconds: float
    tokens: int


def evaluate(
    evaluation: Evaluation, grader: Grader, progress: Progress, *, fresh: bool = False, regrade: bool = False
) -> Outcome:
    """Draw, grade and score what is missing. Whatever ends this early, what was drawn is on the disk.

    ``fresh`` starts over; ``regrade`` forgets all verdicts.

    Raises:
        ValueError: other settings or another process in the directory, or a damaged file.
        RuntimeError: what generates has failed.
    """
    directory = evaluation.directory
    directory.path.mkdir(parents=True, exist_ok=True)
    with lock_run(directory.path, directory.lock, "evaluation", "worked on"):
        if fresh:
            directory.clear()
        open_evaluation(directory, evaluation.settings, evaluation.about)
        write_problems(directory, [problem_row(problem) for problem in evaluation.problems])
        if regrade:
            write_verdicts(directory, [])
        return _evaluate(evaluation, grader, progress)


def problem_row(problem: Problem) -> dict[str, Any]:
    """The stored form of a problem."""
    return {
        "id": problem.id,
        "problem": problem.question,
        "answer": problem.answer,
        "entry": dict(problem.entry),
    }


def _evaluate(evaluation: Evaluation, grader: Grader, progress: Progress) -> Outcome:
    stored = read_samples(evaluation.directory)
    wanted = missing(evaluation.problems, stored, evaluation.samples)
    lacking = sum(want.count for want in wanted)
    progress.start(evaluation.title, evaluation.total, evaluation.total - lacking)
    with Marker(evaluation.directory, evaluation.problems, grader, grader_version()) as marker:
        if marker.outdated:
            progress.note(f"{marker.outdated} verdicts are of another grader: those samples are graded again")
        _grade_stored(marker, stored, lambda: progress.advance(evaluation.total - lacking, _running(marker)))
        began = time.perf_counter()
        tokens = _draw(evaluation, wanted, stored, marker, progress) if wanted else 0
        seconds = time.perf_counter() - began
        marker.collect(wait=True)
        marker.votes()
        marks = marker.marks(evaluation.problems, evaluation.samples, stored)
    scores = score(marks)
    progress.finish(f"avg@{evaluation.samples} {100 * scores.avg.value:.1f} %")
    _write(evaluation, scores, marks, stored)
    return Outcome(scores, marks, lacking, seconds, tokens)


def _draw(
    evaluation: Evaluation,
    wanted: Sequence[Wanted],
    stored: dict[str, dict[int, Sample]],
    marker: Marker,
    progress: Progress,
) -> int:
    """Draw what is wanted into ``stored`` and onto the disk, and have it graded meanwhile; returns tokens."""
    source = evaluation.open_source()
    began, tokens = time.perf_counter(), 0
    done = evaluation.total - sum(want.count for want in wanted)
    with JsonLines(evaluation.directory.samples) as log:
        for part in source.draw(wanted):
            log.append(part)
            for sample in part:
                stored.setdefault(sample.id, {})[sample.sample] = sample
            marker.submit(part)
            marker.collect(wait=False)
            done += len(part)
            tokens += sum(sample.length for sample in part)
            rate = tokens / max(time.perf_counter() - began, 1e-9)
            progress.advance(done, f"{_running(marker)}  {rate:,.0f} tokens/s")
    return tokens


def _grade_stored(marker: Marker, stored: Stored, graded: Callable[[], None]) -> None:
    """Samples that a process left without a verdict, or whose verdicts no longer count; ``graded`` after each block."""
    samples = [sample for rows in stored.values() for sample in rows.values()]
    for start in range(0, len(samples), BLOCK):
        marker.submit(samples[start : start + BLOCK])
        marker.collect(wait=True)
        graded()


def _running(marker: Marker) -> str:
    share = marker.right_share()
    return "nothing graded yet" if share is None else f"{100 * share:.1f} % right"


def _write(evaluation: Evaluation, scores: Scores, marks: Sequence[Sequence[Mark]], stored: Stored) -> None:
    """scores.json and the harness's form, unless the very same is there already."""
    row = {
        "settings": dict(evaluation.settings),
        "about": dict(evaluation.about),
        "grader": grader_version(),
        "scores": scores.as_json(),
    }
    old = read_scores(evaluation.directory)
    if old is not None and {key: old.get(key) for key in row} == row:
        return
    now = datetime.now(UTC)
    write_json(evaluation.directory.scores, {**row, "written": now.isoformat(timespec="seconds")})
    responses = [
        [stored[problem.id][number] for number in range(evaluation.samples)] for problem in evaluation.problems
    ]
    write_harness_form(evaluation.directory, row, evaluation.problems, responses, marks, now)
