"""One evaluation from what is there already to its scores: draw what is missing, grade, score, write down."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asyppo_cli.display.progress import Progress
from asyppo_cli.evaluation.grading_queue import GradingQueue, Stored, grader_version
from asyppo_cli.evaluation.lm_eval_export import write_lm_eval_files
from asyppo_cli.evaluation.sampling import SampleRange, SampleSource, missing
from asyppo_cli.evaluation.scores import GradedSample, Scores, score
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
    open_source: Callable[[], SampleSource]

    @property
    def total(self) -> int:
        """How many samples it takes."""
        return len(self.problems) * self.samples


@dataclass(frozen=True)
class EvaluationResult:
    """Scores, the marks they come from, and what was new: samples, their tokens, and the seconds it took to draw them
    (those of loading the model among them).
    """

    scores: Scores
    marks: list[list[GradedSample]]
    drawn: int
    seconds: float
    tokens: int


def evaluate(
    evaluation: Evaluation, grader: Grader, progress: Progress, *, fresh: bool = False, regrade: bool = False
) -> EvaluationResult:
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


def _evaluate(evaluation: Evaluation, grader: Grader, progress: Progress) -> EvaluationResult:
    stored = read_samples(evaluation.directory)
    wanted = missing(evaluation.problems, stored, evaluation.samples)
    lacking = sum(want.count for want in wanted)
    progress.start(evaluation.title, evaluation.total, evaluation.total - lacking)
    with GradingQueue(evaluation.directory, evaluation.problems, grader, grader_version()) as queue:
        if queue.outdated:
            progress.note(f"{queue.outdated} verdicts are of another grader: those samples are graded again")
        _grade_stored(queue, stored, lambda: progress.advance(evaluation.total - lacking, _running(queue)))
        began = time.perf_counter()
        tokens = _draw(evaluation, wanted, stored, queue, progress) if wanted else 0
        seconds = time.perf_counter() - began
        queue.collect(wait=True)
        queue.votes()
        marks = queue.marks(evaluation.problems, evaluation.samples, stored)
    scores = score(marks)
    progress.finish(f"avg@{evaluation.samples} {100 * scores.avg.value:.1f} %")
    _write(evaluation, scores, marks, stored)
    return EvaluationResult(scores, marks, lacking, seconds, tokens)


def _draw(
    evaluation: Evaluation,
    wanted: Sequence[SampleRange],
    stored: dict[str, dict[int, Sample]],
    queue: GradingQueue,
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
            queue.submit(part)
            queue.collect(wait=False)
            done += len(part)
            tokens += sum(sample.length for sample in part)
            rate = tokens / max(time.perf_counter() - began, 1e-9)
            progress.advance(done, f"{_running(queue)}  {rate:,.0f} tokens/s")
    return tokens


def _grade_stored(queue: GradingQueue, stored: Stored, graded: Callable[[], None]) -> None:
    """Samples that a process left without a verdict, or whose verdicts no longer count; ``graded`` after each block."""
    samples = [sample for rows in stored.values() for sample in rows.values()]
    for start in range(0, len(samples), BLOCK):
        queue.submit(samples[start : start + BLOCK])
        queue.collect(wait=True)
        graded()


def _running(queue: GradingQueue) -> str:
    share = queue.right_share()
    return "nothing graded yet" if share is None else f"{100 * share:.1f} % right"


def _write(evaluation: Evaluation, scores: Scores, marks: Sequence[Sequence[GradedSample]], stored: Stored) -> None:
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
    write_lm_eval_files(evaluation.directory, row, evaluation.problems, responses, marks, now)
