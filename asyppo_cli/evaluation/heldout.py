"""Held-out accuracy of a sampler's policy during training: the same draws and scores as ``asyppo eval``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asyppo_cli.evaluation.sampling import BatchedSource, PromptSet, missing
from asyppo_cli.evaluation.scores import GradedSample, average, bootstrap
from asyppo_cli.ports import Grader, Sampler, Tokenizer
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.evaluations import Sample
from asyppo_cli.tasks.grading.reasoning import answer_part, opens_reasoning
from asyppo_cli.tasks.grading.reward_pool import RewardPool
from asyppo_cli.types import Prompt, SamplingParams


@dataclass(frozen=True)
class HeldOut:
    """Scores the sampler's policy on fixed problems, with the same ``params.seed`` each time, so that two evaluations
    differ only by the policy; at most ``rows`` responses are drawn in one batch. ``unfinished`` grades reasoning that
    was never closed; with ``rewards`` of the user's their mean is reported too, and accuracy stays the verifier's.
    """

    prompts: Sequence[Prompt]
    samples: int
    params: SamplingParams
    rows: int
    sampler: Sampler
    grader: Grader
    tokenizer: Tokenizer
    unfinished: bool = False
    rewards: RewardPool | None = None

    def evaluate(self) -> dict[str, float]:
        """avg@samples with half the width of its 95 % interval over problems, mean length, truncated share."""
        prompts = PromptSet({p.problem.id: p.tokens for p in self.prompts}, self.params.max_tokens)
        problems = {prompt.problem.id: prompt.problem for prompt in self.prompts}
        source = BatchedSource(self.sampler, self.tokenizer, prompts, self.params, self.rows)
        parts = source.draw(missing([*problems.values()], {}, self.samples))
        drawn = [sample for part in parts for sample in part if isinstance(sample, Sample)]
        opened = {p.problem.id: opens_reasoning(self.tokenizer.decode(p.tokens[-8:])) for p in self.prompts}
        texts = [s.response if self.unfinished else answer_part(s.response, opened[s.id]) for s in drawn]
        asked = [problems[sample.id] for sample in drawn]
        verdicts = self.grader.grade(asked, texts)
        rewarded = {}
        if self.rewards is not None:
            scored = self.rewards.score(asked, [sample.response for sample in drawn], verdicts)
            rewarded = {names.EVAL_REWARD: sum(verdict.reward for verdict in scored) / len(scored)}
        flat = [GradedSample(v.kind, None, s.length, s.truncated) for s, v in zip(drawn, verdicts, strict=True)]
        graded = [flat[i : i + self.samples] for i in range(0, len(flat), self.samples)]
        accuracy = bootstrap(average(graded))
        return {
            names.ACCURACY: accuracy.value,
            names.ACCURACY_HALFWIDTH: (accuracy.high - accuracy.low) / 2,
            names.EVAL_LENGTH: sum(sample.length for sample in flat) / len(flat),
            names.EVAL_TRUNCATED: sum(sample.truncated for sample in flat) / len(flat),
            **rewarded,
        }
