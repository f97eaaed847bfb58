"""Held-out accuracy of the policy that a sampler holds, during training: the same draws and scores as asyppo eval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asyppo_cli.evaluation.sampling import BatchedSource, missing
from asyppo_cli.evaluation.scores import GradedSample, average, bootstrap
from asyppo_cli.ports import Grader, Sampler, Tokenizer
from asyppo_cli.runs import metrics as names
from asyppo_cli.types import Prompt, SamplingParams


@dataclass(frozen=True)
class HeldOut:
    """Scores the sampler's policy on fixed problems. ``params.seed`` is the same at every evaluation, so that two
    evaluations differ by the policy and not by the draw; at most ``rows`` responses are drawn at once.
    """

    prompts: Sequence[Prompt]
    samples: int
    params: SamplingParams
    rows: int
    sampler: Sampler
    grader: Grader
    tokenizer: Tokenizer

    def evaluate(self) -> dict[str, float]:
        """avg@samples with half the width of its 95 % interval over problems, mean length, truncated share."""
        tokens = {prompt.problem.id: prompt.tokens for prompt in self.prompts}
        problems = {prompt.problem.id: prompt.problem for prompt in self.prompts}
        source = BatchedSource(self.sampler, self.tokenizer, lambda p: tokens[p.id], self.params, self.rows)
        drawn = [sample for part in source.draw(missing([*problems.values()], {}, self.samples)) for sample in part]
        verdicts = self.grader.grade([problems[s.id] for s in drawn], [sample.response for sample in drawn])
        flat = [GradedSample(v.kind, None, s.length, s.truncated) for s, v in zip(drawn, verdicts, strict=True)]
        marks = [flat[i : i + self.samples] for i in range(0, len(flat), self.samples)]
        accuracy = bootstrap(average(marks))
        return {
            names.ACCURACY: accuracy.value,
            names.ACCURACY_HALFWIDTH: (accuracy.high - accuracy.low) / 2,
            names.EVAL_LENGTH: sum(mark.length for mark in flat) / len(flat),
            names.EVAL_TRUNCATED: sum(mark.truncated for mark in flat) / len(flat),
        }
