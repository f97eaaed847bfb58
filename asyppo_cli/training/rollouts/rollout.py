"""A batch: prompts, responses, verdicts.

Shapes: ``P`` prompts, ``G`` responses per prompt, ``B = P G`` responses; response ``b`` answers prompt ``b // G``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from asyppo_cli.algorithm.baselines import uniform_groups
from asyppo_cli.runs import metrics as names
from asyppo_cli.types import Prompt, Response, Sequences, Verdict, unpacked


@dataclass(frozen=True)
class Rollout:
    """A graded batch. Lists are flat over responses, except ``prompts``; ``rounds`` counts sampling rounds.

    ``version`` says how often the sampler had been given new weights.
    """

    prompts: list[Prompt]
    responses: list[Response]
    texts: list[str]
    verdicts: list[Verdict]
    rounds: int = 1
    version: int = 0

    @property
    def group_size(self) -> int:
        """Responses per prompt G."""
        return len(self.responses) // len(self.prompts)

    @property
    def prompt_index(self) -> Tensor:
        """Which prompt each response answers, int64 ``[B]``."""
        return torch.arange(len(self.prompts)).repeat_interleave(self.group_size)

    @property
    def rewards(self) -> Tensor:
        """Outcome as graded, float32 ``[B]``."""
        return torch.tensor([verdict.reward for verdict in self.verdicts])

    @property
    def truncated(self) -> Tensor:
        """Responses cut by the length limit, bool ``[B]``."""
        return torch.tensor([response.truncated for response in self.responses])

    def sequences(self) -> Sequences:
        """Prompts and responses as tensors."""
        prompts = [self.prompts[i].tokens for i in self.prompt_index.tolist()]
        return Sequences.join(prompts, [response.tokens for response in self.responses])

    def sampler_logprobs(self) -> Tensor:
        """Log-probabilities of the tokens as the sampler saw them, ``[B, T]``."""
        rows = [unpacked(response.logprobs) for response in self.responses]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def keep_informative(rounds: Sequence[Rollout], count: int) -> Rollout:
    """DAPO's dynamic sampling: ``count`` groups of all rounds, those with unequal rewards first.

    Where too few differ, uniform groups fill the batch up, so that its size never depends on luck.
    """
    group_size = rounds[0].group_size
    merged = Rollout(
        [prompt for part in rounds for prompt in part.prompts],
        [response for part in rounds for response in part.responses],
        [text for part in rounds for text in part.texts],
        [verdict for part in rounds for verdict in part.verdicts],
    )
    uniform = uniform_groups(merged.rewards, merged.prompt_index)[::group_size]
    chosen = sorted(uniform.int().argsort(stable=True)[:count].tolist())
    rows = [g * group_size + i for g in chosen for i in range(group_size)]
    return Rollout(
        [merged.prompts[g] for g in chosen],
        [merged.responses[b] for b in rows],
        [merged.texts[b] for b in rows],
        [merged.verdicts[b] for b in rows],
        len(rounds),
    )


def informative_groups(rollout: Rollout) -> int:
    """How many groups have unequal rewards."""
    uniform = uniform_groups(rollout.rewards, rollout.prompt_index)
    return int((~uniform).sum()) // rollout.group_size


def rollout_metrics(rollout: Rollout) -> dict[str, float]:
    """Rewards, lengths and verdicts of a batch."""
    kinds = Counter(verdict.kind for verdict in rollout.verdicts)
    total = len(rollout.responses)
    rewards = rollout.rewards.view(-1, rollout.group_size)
    return {
        names.REWARD_MEAN: float(rewards.mean()),
        names.REWARD_GROUP_STD: float(rewards.std(1, unbiased=False).mean()),
        names.DEAD_GROUPS: 1.0 - informative_groups(rollout) / len(rollout.prompts),
        names.LENGTH_MEAN: sum(len(response.tokens) for response in rollout.responses) / total,
        names.TRUNCATED: float(rollout.truncated.float().mean()),
        names.WRONG: kinds["wrong"] / total,
        names.UNPARSEABLE: kinds["unparseable"] / total,
        names.UNPARSEABLE_GOLD: kinds["unparseable_gold"] / total,
        names.TIMED_OUT: kinds["timed_out"] / total,
        names.RESAMPLES: float(rollout.rounds),
        **reward_metrics(rollout.verdicts),
    }


def reward_metrics(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """The mean of every component of the rewards, and the share of calls that failed; nothing for a verifier's."""
    found = sorted({name for verdict in verdicts for name in verdict.components})
    means = {
        names.reward(name): sum(values) / len(values)
        for name in found
        if (values := [verdict.components[name] for verdict in verdicts if name in verdict.components])
    }
    failed = sum(bool(verdict.failure) for verdict in verdicts)
    return means | ({names.REWARD_FAILED: failed / len(verdicts)} if found or failed else {})
