"""The one object that gives a step its batch: sampled on request, or during the step before.

At level 0 sampler and trainer take turns. At level 1 the batch of step k + 1 is sampled in a thread during step k, with
the weights that step k started from: when the trainer reaches it, the policy is one version further.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from asyppo_cli.ports import Grader, Sampler, Tokenizer, Weights
from asyppo_cli.tasks.grading.reasoning import answer_part, opens_reasoning
from asyppo_cli.tasks.grading.reward_pool import RewardPool
from asyppo_cli.training.background import in_background
from asyppo_cli.training.clock import Clock
from asyppo_cli.training.rollouts.batch_files import read_batch, write_batch
from asyppo_cli.training.rollouts.rollout import Rollout, informative_groups, keep_informative
from asyppo_cli.training.seeds import derive_seed
from asyppo_cli.types import Prompt, SamplingParams

TRACK = "sampler"
STATE_FILE = "state.json"


@dataclass(frozen=True)
class DynamicSampler:
    """Samples and grades the batch of a step, in as many rounds (at most ``max_rounds``) as it takes to fill it with
    groups whose rewards differ. ``prompts`` and ``responses`` are counts: per step, and per prompt.
    ``unfinished`` grades reasoning that was never closed; ``rewards`` None: they are the verifier's.
    """

    sampler: Sampler
    grader: Grader
    tokenizer: Tokenizer
    prompts_at: Callable[[int, int], Sequence[Prompt]]
    seed: int
    prompts: int
    responses: int
    params: SamplingParams
    max_rounds: int
    unfinished: bool = False
    rewards: RewardPool | None = None

    def batch(self, step: int, position: int, clock: Clock) -> Rollout:
        """The batch of ``step``, problems from ``position`` of the stream on."""
        rounds: list[Rollout] = []
        for part in range(self.max_rounds):
            prompts = self.prompts_at(position + part * self.prompts, self.prompts)
            params = replace(self.params, seed=derive_seed(self.seed, "sample", step, part))
            rounds.append(self.answer(prompts, self.responses, params, clock))
            if sum(informative_groups(rollout) for rollout in rounds) >= self.prompts:
                break
        return rounds[0] if self.max_rounds == 1 else keep_informative(rounds, self.prompts)

    def answer(self, prompts: Sequence[Prompt], n: int, params: SamplingParams, clock: Clock) -> Rollout:
        """``n`` graded responses to each prompt."""
        with clock.phase("sample"):
            groups = self.sampler.sample([prompt.tokens for prompt in prompts], n, params)
        with clock.phase("grade"):
            flat = [response for group in groups for response in group]
            texts = [self.tokenizer.decode(response.tokens) for response in flat]
            opened = [opens_reasoning(self.tokenizer.decode(p.tokens[-8:])) for p in prompts for _ in range(n)]
            graded = texts if self.unfinished else list(map(answer_part, texts, opened))
            problems = [prompt.problem for prompt in prompts for _ in range(n)]
            verdicts = self.grader.grade(problems, graded)
            if self.rewards is not None:
                verdicts = self.rewards.score(problems, texts, verdicts)
        return Rollout(list(prompts), flat, texts, verdicts)


@dataclass
class PendingRollout:
    """A batch that is being sampled, or is complete and not yet used."""

    step: int
    clock: Clock
    batch: Future[Rollout]


@dataclass
class RolloutSource:
    """Gives each step its batch and keeps the sampler's weights up to date.

    ``level`` 1 samples one step ahead; ``position`` counts problems drawn for the steps begun, ``version`` the policies
    that the sampler has been given. Between :meth:`wait_until_idle` and the next :meth:`next` the sampler is idle.
    """

    sampler: DynamicSampler
    level: int
    max_steps: int
    position: int = 0
    version: int = 0
    pending: PendingRollout | None = None

    def next(self, step: int, clock: Clock) -> Rollout:
        """The batch of ``step``; at level 1, the sampling of the next one has begun when this returns."""
        rollout = self._sample(step, clock) if self.pending is None else self._take_pending(step, clock)
        self.position += rollout.rounds * self.sampler.prompts
        if self.level and step < self.max_steps:
            beside = Clock(None, TRACK)
            batch = in_background(lambda: self._sample(step + 1, beside))
            self.pending = PendingRollout(step + 1, beside, batch)
        return rollout

    def wait_until_idle(self, clock: Clock) -> None:
        """Wait for the batch that is being sampled, if there is one."""
        if self.pending is not None:
            with clock.phase("wait"):
                self.pending.batch.result()

    def sync(self, weights: Weights, clock: Clock) -> None:
        """Give the sampler the policy's new weights."""
        with clock.phase("sync"):
            self.sampler.sampler.load_weights(weights)
        self.version += 1

    def save(self, folder: Path) -> None:
        """Write position, version and the batch sampled ahead."""
        folder.mkdir(parents=True, exist_ok=True)
        pending = None if self.pending is None else self.pending.step
        state = {"position": self.position, "version": self.version, "pending": pending}
        (folder / STATE_FILE).write_text(json.dumps(state))
        if self.pending is not None:
            write_batch(self.pending.batch.result(), folder)

    def load(self, folder: Path, weights: Weights) -> None:
        """Restore what :meth:`save` wrote, and give the sampler the policy's weights of that time."""
        state = json.loads((folder / STATE_FILE).read_text())
        self.position, self.version = state["position"], state["version"]
        self.sampler.sampler.load_weights(weights)
        if self.level and state["pending"] is not None:
            batch: Future[Rollout] = Future()
            batch.set_result(read_batch(folder))
            self.pending = PendingRollout(state["pending"], Clock(None, TRACK), batch)

    def close(self) -> None:
        """Wait for a batch that is being sampled, then release the sampler."""
        if self.pending is not None:
            self.pending.batch.exception()
        self.sampler.sampler.close()

    def _sample(self, step: int, clock: Clock) -> Rollout:
        return replace(self.sampler.batch(step, self.position, clock), version=self.version)

    def _take_pending(self, step: int, clock: Clock) -> Rollout:
        pending, self.pending = self.pending, None
        assert pending is not None
        assert pending.step == step, f"the batch sampled ahead is that of step {pending.step}"
        with clock.phase("wait"):
            rollout = pending.batch.result()
        clock.include(pending.clock)
        return rollout
