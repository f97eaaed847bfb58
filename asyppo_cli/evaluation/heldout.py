"""Held-out accuracy of the policy that a sampler holds, during training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from asyppo_cli.ports import Grader, Sampler, Tokenizer
from asyppo_cli.runs import metrics as names
from asyppo_cli.types import Prompt, SamplingParams


@dataclass(frozen=True)
class HeldOut:
    """Scores the sampler's policy on fixed problems. ``params.seed`` is the same at every evaluation, so that two
    evaluations differ by the policy and not by the draw.
    """

    prompts: Sequence[Prompt]
    samples: int
    params: SamplingParams
    sampler: Sampler
    grader: Grader
    tokenizer: Tokenizer

    def evaluate(self) -> dict[str, float]:
        """avg@samples with the half width of its 95 % interval over problems, mean length, truncated share."""
        groups = self.sampler.sample([prompt.tokens for prompt in self.prompts], self.samples, self.params)
        flat = [response for group in groups for response in group]
        problems = [prompt.problem for prompt in self.prompts for _ in range(self.samples)]
        verdicts = self.grader.grade(problems, [self.tokenizer.decode(response.tokens) for response in flat])
        rewards = [verdict.reward for verdict in verdicts]
        means = [sum(rewards[i : i + self.samples]) / self.samples for i in range(0, len(rewards), self.samples)]
        accuracy = sum(means) / len(means)
        variance = sum((mean - accuracy) ** 2 for mean in means) / max(1, len(means) - 1)
        return {
            names.ACCURACY: accuracy,
            names.ACCURACY_HALFWIDTH: 1.96 * math.sqrt(variance / len(means)),
            names.EVAL_LENGTH: sum(len(response.tokens) for response in flat) / len(flat),
            names.EVAL_TRUNCATED: sum(response.truncated for response in flat) / len(flat),
        }
