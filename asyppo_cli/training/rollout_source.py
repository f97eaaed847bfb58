"""Where a step's batch comes from: sampled when it is asked for, or one step ahead while the last one is learnt from.

At level 0 sampler and trainer take turns. At level 1 the batch of step k + 1 is sampled in a thread during step k, with
the weights that step k started from: when the trainer comes to it, the policy is one version further.
"""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

from asyppo_cli.ports import Sampler, Weights
from asyppo_cli.training.background import in_background
from asyppo_cli.training.batch_files import read_batch, write_batch
from asyppo_cli.training.clock import Clock
from asyppo_cli.training.rollout import Collector, Rollout, informative_groups, keep_informative
from asyppo_cli.training.seeds import derive_seed
from asyppo_cli.types import SamplingParams

LANE = "sampler"
STATE_FILE = "supply.json"


@dataclass(frozen=True)
class Gatherer:
    """Samples the batch of a step, in one round or as many as it takes to fill it with groups that differ."""

    seed: int
    prompts: int
    params: SamplingParams
    collector: Collector
    max_rounds: int

    def gather(self, step: int, position: int, clock: Clock) -> Rollout:
        """The batch of ``step``, problems from ``position`` of the stream on."""
        rounds: list[Rollout] = []
        for part in range(self.max_rounds):
            params = replace(self.params, seed=derive_seed(self.seed, "sample", step, part))
            rounds.append(self.collector.collect(position + part * self.prompts, self.prompts, params, clock.phase))
            if sum(informative_groups(rollout) for rollout in rounds) >= self.prompts:
                break
        return rounds[0] if self.max_rounds == 1 else keep_informative(rounds, self.prompts)


@dataclass
class Ahead:
    """A batch that is on its way, or waits for its step."""

    step: int
    clock: Clock
    batch: Future[Rollout]


@dataclass
class Supply:
    """Hands out batches and keeps the sampler's weights; ``version`` counts the policies it has been given.

    The sampler is idle whenever :meth:`settle` has returned and no batch has been taken since.
    """

    gatherer: Gatherer
    sampler: Sampler
    level: int
    max_steps: int
    version: int = 0
    ahead: Ahead | None = field(default=None, init=False)

    def take(self, step: int, position: int, clock: Clock) -> Rollout:
        """The batch of ``step``; at level 1, the next one is under way when this returns."""
        rollout = self._waiting(step, clock) if self.ahead is not None else self._gather(step, position, clock)
        if self.level and step < self.max_steps:
            self._start(step + 1, position + rollout.rounds * self.gatherer.prompts)
        return rollout

    def settle(self, clock: Clock) -> None:
        """Wait until the sampler is idle."""
        if self.ahead is not None:
            with clock.phase("wait"):
                self.ahead.batch.result()

    def sync(self, weights: Weights, clock: Clock) -> None:
        """Give the sampler the policy's new weights."""
        with clock.phase("sync"):
            self.sampler.load_weights(weights)
        self.version += 1

    def save(self, folder: Path) -> None:
        """Write the version, and the batch that waits for its step."""
        folder.mkdir(parents=True, exist_ok=True)
        waiting = None if self.ahead is None else self.ahead.step
        (folder / STATE_FILE).write_text(json.dumps({"version": self.version, "waiting": waiting}))
        if self.ahead is not None:
            write_batch(self.ahead.batch.result(), folder)

    def load(self, folder: Path, weights: Weights) -> None:
        """Take back what :meth:`save` wrote, and give the sampler the policy's weights of that time."""
        state = json.loads((folder / STATE_FILE).read_text())
        self.version = state["version"]
        self.sampler.load_weights(weights)
        if self.level and state["waiting"] is not None:
            batch: Future[Rollout] = Future()
            batch.set_result(read_batch(folder))
            self.ahead = Ahead(state["waiting"], Clock.silent(LANE), batch)

    def close(self) -> None:
        """Let a batch that is under way come to its end, then release the sampler."""
        if self.ahead is not None:
            self.ahead.batch.exception()
        self.sampler.close()

    def _gather(self, step: int, position: int, clock: Clock) -> Rollout:
        return replace(self.gatherer.gather(step, position, clock), version=self.version)

    def _waiting(self, step: int, clock: Clock) -> Rollout:
        ahead, self.ahead = self.ahead, None
        assert ahead is not None
        assert ahead.step == step, f"the batch that waits is that of step {ahead.step}"
        with clock.phase("wait"):
            rollout = ahead.batch.result()
        clock.include(ahead.clock)
        return rollout

    def _start(self, step: int, position: int) -> None:
        clock = Clock.silent(LANE)
        self.ahead = Ahead(step, clock, in_background(lambda: self._gather(step, position, clock)))
