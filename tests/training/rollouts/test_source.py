"""Batches ahead of the trainer: one version at most, under the weights that the step before started from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Event
from types import MappingProxyType

import pytest
import torch
from torch import Tensor

from asyppo_cli.training.clock import Clock
from asyppo_cli.training.rollouts.batch_files import read_batch, write_batch
from asyppo_cli.training.rollouts.source import DynamicSampler, RolloutSource
from asyppo_cli.types import Problem, Prompt, Response, SamplingParams, Verdict

TIMEOUT = 10.0


class Numbered:
    """A sampler whose log-probabilities name its weights, and which draws only when it is let."""

    def __init__(self) -> None:
        self.weights, self.free, self.begun, self.closed = 0.0, Event(), Event(), False
        self.free.set()

    def sample(self, prompts: Sequence[Sequence[int]], n: int, params: SamplingParams) -> list[list[Response]]:
        self.begun.set()
        if not self.free.wait(TIMEOUT):
            raise TimeoutError
        if self.weights < 0:
            raise RuntimeError("the engine died")
        return [[Response((params.seed % 97, 1), (self.weights, -0.1), False)] * n for _ in prompts]

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        ((_, tensor),) = weights
        self.weights = float(tensor)

    def close(self) -> None:
        self.closed = True


class Judge:
    def grade(self, problems: Sequence[Problem], texts: Sequence[str]) -> list[Verdict]:
        return [Verdict("right" if b % 2 else "wrong", float(b % 2), text) for b, text in enumerate(texts)]

    def close(self) -> None: ...


class Digits:
    eos_token_id = pad_token_id = 1

    def encode(self, text: str) -> list[int]:
        return [int(character) for character in text]

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(map(str, tokens))

    def chat(self, system: str, user: str) -> list[int]:
        return self.encode(user)


def prompts_at(position: int, count: int) -> list[Prompt]:
    return [Prompt(Problem(f"p{i}", "?", "1"), (2, i)) for i in range(position, position + count)]


def source(level: int, sampler: Numbered, max_steps: int = 3) -> RolloutSource:
    params = SamplingParams(4, 1.0, 1.0, 0, 0)
    dynamic = DynamicSampler(sampler, Judge(), Digits(), prompts_at, 1, 2, 2, params, max_rounds=1)
    return RolloutSource(dynamic, level, max_steps)


def weights(version: int) -> list[tuple[str, Tensor]]:
    return [("w", torch.tensor(float(version)))]


def steps(batches: RolloutSource, first: int = 1, last: int = 3) -> list[tuple[float, int, str]]:
    """Of each step: the weights that sampled it, its staleness, and its first problem."""
    seen = []
    for step in range(first, last + 1):
        clock = Clock(None)
        rollout = batches.next(step, clock)
        staleness = batches.version - rollout.version
        seen.append((rollout.responses[0].logprobs[0], staleness, rollout.prompts[0].problem.id))
        batches.wait_until_idle(clock)
        batches.sync(weights(step), clock)
    return seen


def test_in_turn_every_batch_is_the_newest_policys() -> None:
    assert steps(source(0, Numbered())) == [(0.0, 0, "p0"), (1.0, 0, "p2"), (2.0, 0, "p4")]


def test_ahead_every_batch_is_one_version_old_but_the_first() -> None:
    batches = source(1, Numbered())
    assert steps(batches) == [(0.0, 0, "p0"), (0.0, 1, "p2"), (1.0, 1, "p4")]
    # There is no step after the last to sample for.
    assert batches.pending is None


def test_sampling_goes_on_while_the_trainer_works() -> None:
    sampler = Numbered()
    batches = source(1, sampler)
    batches.next(1, Clock(None))
    sampler.free.clear()
    sampler.begun.clear()
    assert batches.pending is not None
    batches.pending.batch.result(TIMEOUT)
    batches.next(2, Clock(None))
    # The batch of step 3 has been begun and is not done: the trainer was not made to wait for it.
    assert sampler.begun.wait(TIMEOUT) and not batches.pending.batch.done()
    sampler.free.set()
    clock = Clock(None)
    batches.wait_until_idle(clock)
    assert batches.pending.batch.done() and "wait" in clock.seconds


def test_what_was_sampled_ahead_is_timed_in_its_own_track() -> None:
    batches = source(1, Numbered())
    batches.next(1, Clock(None))
    clock = Clock(None)
    batches.next(2, clock)
    assert {span.phase for span in clock.spans if span.track == "sampler"} == {"sample", "grade"}
    assert {span.phase for span in clock.spans if span.track == "trainer"} == {"wait"}


def test_a_sampler_that_dies_in_the_background_is_heard_of() -> None:
    sampler = Numbered()
    batches = source(1, sampler)
    batches.sync(weights(-1), Clock(None))
    sampler.weights = 0.0
    batches.next(1, Clock(None))
    batches.wait_until_idle(Clock(None))
    sampler.weights = -1.0
    batches.next(2, Clock(None))
    with pytest.raises(RuntimeError, match="the engine died"):
        batches.wait_until_idle(Clock(None))


def test_a_batch_that_waits_survives_its_checkpoint(tmp_path: Path) -> None:
    through = source(1, Numbered())
    steps(through, 1, 1)
    through.save(tmp_path)
    expected = steps(through, 2)
    resumed = source(1, Numbered())
    resumed.load(tmp_path, weights(1))
    assert steps(resumed, 2) == expected
    assert json.loads((tmp_path / "state.json").read_text()) == {"position": 2, "version": 1, "pending": 2}


def test_a_batch_is_read_back_to_the_bit(tmp_path: Path) -> None:
    batch = source(0, Numbered()).next(1, Clock(None))
    batch.responses[1] = Response((5,), (-1 / 3,), True)
    write_batch(batch, tmp_path)
    assert read_batch(tmp_path) == batch


def test_closing_releases_the_sampler() -> None:
    sampler = Numbered()
    batches = source(1, sampler)
    batches.next(1, Clock(None))
    batches.close()
    assert sampler.closed and batches.pending is not None and batches.pending.batch.done()


class Thinking(Digits):
    """Prompts end where the reasoning begins; responses are closed, unfinished or none, by their first token."""

    texts: Mapping[int, str] = MappingProxyType(
        {7: "so \\boxed{1}</think>\\boxed{1}", 8: "so \\boxed{1}", 9: "<think>"}
    )

    def decode(self, tokens: Sequence[int]) -> str:
        return self.texts.get(tokens[0], "?")


class Recording(Judge):
    def grade(self, problems: Sequence[Problem], texts: Sequence[str]) -> list[Verdict]:
        self.graded = list(texts)
        return super().grade(problems, texts)


class Fixed(Numbered):
    def sample(self, prompts: Sequence[Sequence[int]], n: int, params: SamplingParams) -> list[list[Response]]:
        return [[Response((7, 1), (0.0, 0.0), False), Response((8, 1), (0.0, 0.0), False)] for _ in prompts]


@pytest.mark.parametrize("unfinished", [False, True])
@pytest.mark.parametrize("opened", [True, False])
def test_a_box_in_unfinished_reasoning_is_graded_only_on_request(opened: bool, unfinished: bool) -> None:
    judge, closed, cut = Recording(), Thinking.texts[7], Thinking.texts[8]
    params = SamplingParams(4, 1.0, 1.0, 0, 0)
    sampler = DynamicSampler(Fixed(), judge, Thinking(), prompts_at, 1, 1, 2, params, 1, unfinished)
    rollout = sampler.answer([Prompt(Problem("p", "?", "1"), (9 if opened else 2,))], 2, params, Clock(None))
    assert judge.graded == [closed, "" if opened and not unfinished else cut]
    # What is recorded is the whole response either way.
    assert rollout.texts == [closed, cut]
