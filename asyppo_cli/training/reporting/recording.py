"""What a step leaves in the run directory: a row for every response token, and samples to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from asyppo_cli.algorithm.diagnostics import policy_gradient_norm
from asyppo_cli.config.schema import RecordsConfig
from asyppo_cli.ports import Journal
from asyppo_cli.runs.records import RecordTexts
from asyppo_cli.training.clock import Clock
from asyppo_cli.training.reporting.probes import Probes
from asyppo_cli.training.step import StepOutcome
from asyppo_cli.types import Verdict


@dataclass(frozen=True)
class Recorder:
    """Writes token records, samples and probes into the journal, as often as ``records`` says.

    ``temperature`` is that of the sampler; ``probes`` None: there are none.
    """

    records: RecordsConfig
    journal: Journal
    token_text: Callable[[int], str]
    temperature: float
    probes: Probes | None

    def record(self, outcome: StepOutcome, clock: Clock) -> None:
        """What a step leaves."""
        step, count = outcome.step, self.records.responses
        with clock.phase("records"):
            if self._due(step):
                self.journal.records(step, self._columns(outcome, count), record_texts(outcome, count))
            if self.records.samples:
                self.journal.samples(step, sample_rows(step, outcome, self.records.samples))

    def probe(self, step: int, clock: Clock) -> None:
        """Answer the probes with the models as they are now, if records of this step are due."""
        if self.probes is None or not self._due(step):
            return
        with clock.phase("probes"):
            outcome = self.probes.outcome(step)
            if outcome is not None:
                count = len(outcome.batch)
                self.journal.probes(step, self._columns(outcome, count), record_texts(outcome, count))

    def _due(self, step: int) -> bool:
        return bool(self.records.every) and step % self.records.every == 0

    def _columns(self, outcome: StepOutcome, count: int) -> dict[str, Any]:
        return token_columns(outcome, count, self.token_text, self.temperature)


def token_columns(
    outcome: StepOutcome, limit: int, token_text: Callable[[int], str], temperature: float
) -> dict[str, Any]:
    """Columns of the token records of the first ``limit`` responses, whole groups first to last, a row a token.

    ``gradient_norm`` is the norm of the policy loss's gradient with respect to the token's logits at the start of the
    update (ratio 1), before the mask I^A and without the loss's token weights.
    """
    rollout, targets, old = outcome.rollout, outcome.targets, outcome.old
    assert old is not None
    rows = torch.arange(min(limit, len(outcome.batch)))
    mask = outcome.batch.response_mask[rows]
    gradient = policy_gradient_norm(
        torch.ones_like(old.logprobs),
        targets.advantages,
        torch.zeros_like(old.logprobs, dtype=torch.bool),
        old.logprobs,
        old.others_squared,
        temperature,
    )
    tokens = [token for row in rows.tolist() for token in rollout.responses[row].tokens]
    width = mask.shape[1]
    columns: dict[str, Any] = {
        "step": np.full(len(tokens), outcome.step),
        "prompt_id": [rollout.prompts[b // rollout.group_size].problem.id for b in mask.nonzero()[:, 0].tolist()],
        "response_id": mask.nonzero()[:, 0].numpy(),
        "position": mask.nonzero()[:, 1].numpy(),
        "token_id": np.array(tokens),
        "token": _texts(tokens, token_text),
    }
    if outcome.values is not None:
        columns |= {f"value_{m}": value[rows, :width][mask].numpy() for m, value in enumerate(outcome.values)}
    for name, tensor in {
        "value_mean": targets.values,
        "value_std": targets.disagreement,
        "advantage": targets.advantages,
        "entropy": old.entropy,
        "logprob": old.logprobs,
        "gradient_norm": gradient,
        "advantage_kept": targets.advantage_kept,
        "entropy_kept": targets.entropy_kept,
    }.items():
        columns[name] = tensor[rows, :width][mask].numpy()
    columns["reward"] = rollout.rewards[mask.nonzero()[:, 0]].numpy()
    return columns


def record_texts(outcome: StepOutcome, limit: int) -> RecordTexts:
    """Questions, gold answers and verdicts of the first ``limit`` responses."""
    rollout = outcome.rollout
    verdicts, responses = rollout.verdicts[:limit], rollout.responses[:limit]
    problems = [rollout.prompts[b // rollout.group_size].problem for b in range(len(responses))]
    return RecordTexts(
        {problem.id: {"problem": problem.question, "answer": problem.answer} for problem in problems},
        [
            {"verdict": verdict.kind, "extracted": verdict.extracted, "truncated": response.truncated}
            | scored_columns(verdict)
            for verdict, response in zip(verdicts, responses, strict=True)
        ],
    )


def _texts(tokens: list[int], token_text: Callable[[int], str]) -> list[str]:
    """Token texts, each distinct token read once."""
    known = {token: token_text(token) for token in set(tokens)}
    return [known[token] for token in tokens]


def sample_rows(step: int, outcome: StepOutcome, limit: int) -> list[dict[str, Any]]:
    """The first ``limit`` responses as readable rows, taken from different prompts."""
    rollout = outcome.rollout
    order = [g * rollout.group_size + i for i in range(rollout.group_size) for g in range(len(rollout.prompts))]
    rows = []
    for b in order[:limit]:
        problem, verdict = rollout.prompts[b // rollout.group_size].problem, rollout.verdicts[b]
        rows.append(
            {
                "step": step,
                "prompt_id": problem.id,
                "problem": problem.question,
                "answer": problem.answer,
                "response": rollout.texts[b],
                "reward": verdict.reward,
                "verdict": verdict.kind,
                "extracted": verdict.extracted,
                "truncated": rollout.responses[b].truncated,
                "length": len(rollout.responses[b].tokens),
                **scored_columns(verdict),
            }
        )
    return rows


def scored_columns(verdict: Verdict) -> dict[str, Any]:
    """The components of a reward of the user's, and why there is none; nothing for a verifier's."""
    found = {"components": dict(verdict.components), "failure": verdict.failure}
    return {name: value for name, value in found.items() if value}
