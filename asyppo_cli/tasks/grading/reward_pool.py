"""Rewards from a function of the user's or from a server, in processes that can be killed.

The verifier's verdict stays what it is (accuracy is measured by it); its reward is replaced.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from asyppo_cli.config.method import RewardsConfig
from asyppo_cli.extensions.function import Extension, ExtensionError
from asyppo_cli.tasks.grading.pool import Job, WorkerPool, line_of
from asyppo_cli.types import Problem, Verdict


class RewardPool(WorkerPool):
    """Scores responses by ``rewards.function`` (``extension``) or ``rewards.url``, with at most ``workers`` processes.

    A call that raises, ends its process or takes longer than ``rewards.timeout`` gives the reward 0 and is counted, or
    ends the run (``rewards.on_error``); so does a first batch in which every call fails.
    """

    def __init__(self, config: RewardsConfig, extension: Extension | None, workers: int) -> None:
        super().__init__("asyppo_cli.tasks.grading.reward_worker", workers, config.timeout)
        self._config = config
        self._setting = f"rewards.url={config.url}" if extension is None else f"{extension.key}={extension.reference}"
        self._request: dict[str, Any] = {
            "extension": None if extension is None else dataclasses.asdict(extension),
            "url": config.url,
            "timeout": config.timeout,
        }
        self._proven = False
        self._separate = self._ask_form() == "single"

    def score(self, problems: Sequence[Problem], texts: Sequence[str], verdicts: Sequence[Verdict]) -> list[Verdict]:
        """The verdicts with the rewards of the function.

        Raises:
            ExtensionError: it failed for every response of the first batch, or for one under ``on_error=error``; or a
                weight is given for a component that it does not return.
        """
        rows = [_row(*each) for each in zip(problems, texts, verdicts, strict=True)]
        parts = [[index] for index in range(len(rows))] if self._separate else [[*range(len(rows))]] if rows else []
        jobs = [Job(line_of({**self._request, "rows": [rows[i] for i in part]}), part) for part in parts]
        self.run(jobs)
        scores = {row: score for job in jobs for row, score in zip(job.rows, self._scores(job), strict=True)}
        scored = [self._rewarded(verdict, scores[row]) for row, verdict in enumerate(verdicts)]
        self._check(scored)
        return scored

    def _ask_form(self) -> str:
        job = Job(line_of({**self._request, "rows": []}))
        self.run([job])
        if job.lost is not None or "fault" in job.reply:
            self.close()
            raise ExtensionError(job.reply["fault"] if job.lost is None else f"{self._setting}: {job.lost}")
        return str(job.reply["form"])

    def _scores(self, job: Job) -> list[Any]:
        if job.lost is not None:
            return [{"failed": f"{self._setting}: {job.lost}"}] * len(job.rows)
        if "fault" in job.reply:
            raise ExtensionError(job.reply["fault"])
        scores: list[Any] = job.reply["scores"]
        return scores

    def _rewarded(self, verdict: Verdict, score: Any) -> Verdict:
        if not isinstance(score, Mapping):
            return dataclasses.replace(verdict, reward=float(score))
        if "failed" in score and isinstance(score["failed"], str):
            return dataclasses.replace(verdict, reward=0.0, failure=score["failed"])
        weights = self._config.weights
        if unknown := [name for name in weights if name not in score]:
            raise ExtensionError(
                f"rewards.weights.{unknown[0]}: {self._setting} returns no component of that name, only "
                f"{', '.join(score)}"
            )
        total = sum(weights.get(name, 1.0) * value for name, value in score.items())
        return dataclasses.replace(verdict, reward=total, components=dict(score))

    def _check(self, scored: Sequence[Verdict]) -> None:
        failures = [verdict.failure for verdict in scored if verdict.failure]
        if failures and (self._config.on_error == "error" or (len(failures) == len(scored) and not self._proven)):
            raise ExtensionError(f"{failures[0]} ({len(failures)} of {len(scored)} responses have no reward)")
        self._proven = self._proven or len(failures) < len(scored)


def _row(problem: Problem, text: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "response": text,
        "question": problem.question,
        "answer": problem.answer,
        "id": problem.id,
        "entry": dict(problem.entry),
        "correct": verdict.kind == "right",
        "extracted": verdict.extracted,
    }
