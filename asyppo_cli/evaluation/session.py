"""One evaluation: draw what is missing, grade, score, store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asyppo_cli.display.progress import Progress
from asyppo_cli.evaluation.diagnosis import ScoreWarning, diagnose
from asyppo_cli.evaluation.grading_queue import (
    GradingQueue,
    StoredSamples,
    grader_version,
)
from asyppo_cli.evaluation.lm_eval_export import write_lm_eval_files
from asyppo_cli.evaluation.sampling import SampleRange, SampleSource, missing
from asyppo_cli.evaluation.scores import GradedSample, Scores, score
from asyppo_cli.ports import Grader
from asyppo_cli.runs.evaluations import (
    EvaluationDirectory,
    FailedSample,
    JsonLines,
    Sample,
    open_evaluation,
    read_failures,
    read_samples,
    read_scores,
    write_json,
    write_problems,
    write_verdicts,
)
from asyppo_cli.runs.files.lock import lock_run
from asyppo_cli.tasks.grading.golds import check_golds
from asyppo_cli.tasks.grading.reasoning import answer_part, opens_reasoning
from asyppo_cli.types import Problem

# Stored samples are graded in blocks of this size, so that progress can be shown.
BLOCK = 256


@dataclass(frozen=True)
class Evaluation:
    """One model on one benchmark: ``samples`` of each problem.

    ``settings`` change scores and identify the directory, ``about`` is informative. ``open_source`` loads the model and
    is called only if a sample is missing; ``prompt_text`` is the prompt as the model reads it. ``unfinished`` grades
    reasoning that was never closed.
    """

    directory: EvaluationDirectory
    title: str
    problems: Sequence[Problem]
    samples: int
    settings: Mapping[str, Any]
    about: Mapping[str, Any]
    open_source: Callable[[], SampleSource]
    prompt_text: Callable[[Problem], str]
    unfinished: bool = False

    @property
    def total(self) -> int:
        """Number of samples."""
        return len(self.problems) * self.samples

    @property
    def grader(self) -> str:
        """The grader's version and mode."""
        return grader_version(self.unfinished)


@dataclass(frozen=True)
class EvaluationResult:
    """Scores, the graded samples they come from, and warnings to show beside them. ``drawn`` samples with ``tokens``
    tokens are new and took ``seconds``, including the loading of the model.
    """

    scores: Scores
    graded: list[list[GradedSample]]
    warnings: list[ScoreWarning]
    drawn: int
    seconds: float
    tokens: int


@dataclass(frozen=True)
class Redo:
    """What to discard first: everything, all verdicts, or the record of samples that failed."""

    fresh: bool = False
    regrade: bool = False
    retry_failed: bool = False


def evaluate(evaluation: Evaluation, grader: Grader, progress: Progress, redo: Redo | None = None) -> EvaluationResult:
    """Draw, grade and score what is missing; an interruption keeps all that was drawn.

    Raises:
        ValueError: other settings or another process in the directory, a damaged file, or no gold that can be read.
        RuntimeError: the engine or server has failed.
    """
    directory, redo = evaluation.directory, redo or Redo()
    directory.path.mkdir(parents=True, exist_ok=True)
    with lock_run(directory.path, directory.lock, "evaluation", "worked on"):
        if redo.fresh:
            directory.clear()
        open_evaluation(directory, evaluation.settings, evaluation.about)
        write_problems(directory, [problem_row(problem) for problem in evaluation.problems])
        if redo.regrade:
            write_verdicts(directory, [])
        if redo.retry_failed:
            directory.failures.unlink(missing_ok=True)
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
    stored, failures = read_samples(evaluation.directory), read_failures(evaluation.directory)
    present = {name: {**failures.get(name, {}), **stored.get(name, {})} for name in {**failures, **stored}}
    wanted = missing(evaluation.problems, present, evaluation.samples)
    lacking = sum(want.count for want in wanted)
    progress.start(evaluation.title, evaluation.total, evaluation.total - lacking)
    problems = {problem.id: problem for problem in evaluation.problems}
    # Some templates open the reasoning themselves.
    opened = {name for name, p in problems.items() if opens_reasoning(evaluation.prompt_text(p))}

    def text_of(sample: Sample) -> str:
        return sample.response if evaluation.unfinished else answer_part(sample.response, sample.id in opened)

    with GradingQueue(evaluation.directory, evaluation.problems, grader, evaluation.grader, text_of) as queue:
        if queue.outdated:
            progress.note(f"{queue.outdated} verdicts are of another grader: those samples are graded again")
        _grade_stored(queue, stored, lambda: progress.advance(evaluation.total - lacking, _running(queue)))
        began = time.perf_counter()
        if wanted and (unread := check_golds(grader, evaluation.problems)):
            progress.note(unread)
        tokens = _draw(evaluation, wanted, stored, failures, queue, progress) if wanted else 0
        seconds = time.perf_counter() - began
        queue.collect(wait=True)
        queue.count_votes()
        graded = queue.graded_samples(evaluation.problems, evaluation.samples, stored, failures)
    scores = score(graded)
    warnings = diagnose(scores, [row.reason for rows in failures.values() for row in rows.values()])
    shown = [f"avg@{evaluation.samples} {100 * scores.avg.value:.1f} %", *(warning.finding for warning in warnings)]
    progress.finish("; ".join(shown))
    _write(evaluation, scores, warnings, graded, stored)
    return EvaluationResult(scores, graded, warnings, lacking, seconds, tokens)


def _draw(
    evaluation: Evaluation,
    wanted: Sequence[SampleRange],
    stored: dict[str, dict[int, Sample]],
    failures: dict[str, dict[int, FailedSample]],
    queue: GradingQueue,
    progress: Progress,
) -> int:
    """Draw into ``stored`` and ``failures`` and to disk, and queue for grading; returns the number of tokens."""
    source = evaluation.open_source()
    began, tokens = time.perf_counter(), 0
    done = evaluation.total - sum(want.count for want in wanted)
    with JsonLines(evaluation.directory.samples) as log:
        for part in source.draw(wanted, progress.note):
            drawn = [row for row in part if isinstance(row, Sample)]
            failed = [row for row in part if isinstance(row, FailedSample)]
            if failed:
                with JsonLines(evaluation.directory.failures) as failure_log:
                    failure_log.append(failed)
            log.append(drawn)
            for sample in drawn:
                stored.setdefault(sample.id, {})[sample.sample] = sample
            for failure in failed:
                failures.setdefault(failure.id, {})[failure.sample] = failure
            queue.submit(drawn)
            queue.collect(wait=False)
            done += len(part)
            tokens += sum(sample.length for sample in drawn)
            rate = tokens / max(time.perf_counter() - began, 1e-9)
            progress.advance(done, f"{_running(queue)}  {rate:,.0f} tokens/s")
    return tokens


def _grade_stored(queue: GradingQueue, stored: StoredSamples, graded: Callable[[], None]) -> None:
    """Grade samples that have no verdict or an outdated one; ``graded`` is called after each block."""
    samples = [sample for rows in stored.values() for sample in rows.values()]
    for start in range(0, len(samples), BLOCK):
        queue.submit(samples[start : start + BLOCK])
        queue.collect(wait=True)
        graded()


def _running(queue: GradingQueue) -> str:
    share = queue.right_share()
    return "nothing graded yet" if share is None else f"{100 * share:.1f} % right"


def _write(
    evaluation: Evaluation,
    scores: Scores,
    warnings: Sequence[ScoreWarning],
    graded: Sequence[Sequence[GradedSample]],
    stored: StoredSamples,
) -> None:
    """Write scores.json and the files of lm-evaluation-harness, unless they are up to date."""
    row = {
        "settings": dict(evaluation.settings),
        "about": dict(evaluation.about),
        "grader": evaluation.grader,
        "scores": scores.as_json(),
        "warnings": [str(warning) for warning in warnings],
    }
    old = read_scores(evaluation.directory)
    if old is not None and {key: old.get(key) for key in row} == row:
        return
    now = datetime.now(UTC)
    write_json(evaluation.directory.scores, {**row, "written": now.isoformat(timespec="seconds")})
    responses = [
        [sample.response if (sample := stored.get(p.id, {}).get(n)) else "" for n in range(evaluation.samples)]
        for p in evaluation.problems
    ]
    prompts = [evaluation.prompt_text(problem) for problem in evaluation.problems]
    write_lm_eval_files(evaluation.directory, row, evaluation.problems, prompts, responses, graded, now)
