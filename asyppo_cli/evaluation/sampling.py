"""Drawing the samples that an evaluation lacks, from any engine or server.

A seed fixes the draw of a batch, and the plan of batches depends only on what is missing. So an evaluation interrupted
between two batches continues exactly, to the bit where the engine is deterministic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol

from asyppo_cli.ports import Sampler, Tokenizer
from asyppo_cli.runs.evaluations import FailedSample, Sample
from asyppo_cli.types import Problem, SamplingParams

Note = Callable[[str], None]


def ignore(_: str) -> None:
    """The :data:`Note` of a caller without a display."""


@dataclass(frozen=True)
class SampleRange:
    """Samples ``start`` to ``stop`` (exclusive) of a problem, which is at ``position`` in its benchmark."""

    position: int
    problem: Problem
    start: int
    stop: int

    @property
    def count(self) -> int:
        """Number of samples."""
        return self.stop - self.start


class SampleSource(Protocol):
    """Generates responses: an engine in this process, or a server."""

    def draw(self, wanted: Sequence[SampleRange], note: Note = ignore) -> Iterator[list[Sample | FailedSample]]:
        """All samples wanted, in parts, each as soon as it is ready; in no particular order.

        Raises RuntimeError, with the reason in one line, if the engine or server has failed.
        """
        ...


@dataclass(frozen=True)
class PromptSet:
    """Prompts as token ids by problem id. A response has at most ``max_tokens`` tokens, and what the ``context`` of
    the model (None: unlimited) leaves behind its own prompt; other problems' prompts do not matter.
    """

    tokens: Mapping[str, Sequence[int]]
    max_tokens: int
    context: int | None = None

    def limit(self, want: SampleRange) -> int:
        """Most tokens of a response to this problem."""
        room = self.max_tokens if self.context is None else self.context - len(self.tokens[want.problem.id])
        return max(0, min(self.max_tokens, room))

    def longest(self) -> int:
        """The largest number of tokens of a prompt and its response."""
        lengths = map(len, self.tokens.values())
        return max((min(n + self.max_tokens, self.context or n + self.max_tokens) for n in lengths), default=0)

    def by_limit(self, wanted: Sequence[SampleRange]) -> Iterator[tuple[int, list[SampleRange]]]:
        """Ranges with the same limit, the longest first, each group in order."""
        for limit, group in groupby(sorted(wanted, key=self.limit, reverse=True), self.limit):
            yield limit, list(group)

    def too_long(self, wanted: Sequence[SampleRange]) -> list[FailedSample]:
        """Samples whose prompt leaves no room for a response."""
        return [
            FailedSample(want.problem.id, number, f"a prompt of {length} tokens in a context of {self.context}")
            for want in wanted
            if (length := len(self.tokens[want.problem.id])) and not self.limit(want)
            for number in range(want.start, want.stop)
        ]


@dataclass(frozen=True)
class BatchedSource:
    """A :class:`SampleSource` around a sampler that draws at most ``rows`` responses in one batch."""

    sampler: Sampler
    tokenizer: Tokenizer
    prompts: PromptSet
    params: SamplingParams
    rows: int

    def draw(self, wanted: Sequence[SampleRange], note: Note = ignore) -> Iterator[list[Sample | FailedSample]]:
        """Batch by batch."""
        for limit, group in self.prompts.by_limit(wanted):
            for batch in batches(group, self.rows) if limit else ():
                yield self._draw(batch, limit)
        yield [*self.prompts.too_long(wanted)]

    def _draw(self, batch: Sequence[SampleRange], limit: int) -> list[Sample | FailedSample]:
        first = batch[0]
        seed = draw_seed(self.params.seed, first.position, first.start)
        prompts = [self.prompts.tokens[want.problem.id] for want in batch]
        groups = self.sampler.sample(prompts, first.count, replace(self.params, seed=seed, max_tokens=limit))
        return [
            Sample(want.problem.id, number, self.tokenizer.decode(answer.tokens), len(answer.tokens), answer.truncated)
            for want, group in zip(batch, groups, strict=True)
            for number, answer in enumerate(group, want.start)
        ]


def missing(problems: Sequence[Problem], stored: Mapping[str, Mapping[int, object]], samples: int) -> list[SampleRange]:
    """The ranges that complete the first ``samples`` samples of every problem.

    Responses that finish out of order may leave gaps, so a problem can have several ranges.
    """
    found = []
    for position, problem in enumerate(problems):
        present = stored.get(problem.id, {})
        lacking = [number for number in range(samples) if number not in present]
        # Consecutive numbers differ from their index by the same amount.
        for _, run in groupby(enumerate(lacking), lambda pair: pair[1] - pair[0]):
            numbers = [number for _, number in run]
            found.append(SampleRange(position, problem, numbers[0], numbers[-1] + 1))
    return found


def batches(wanted: Sequence[SampleRange], rows: int) -> Iterator[list[SampleRange]]:
    """Neighbours that lack the same samples, in batches of at most ``rows`` responses (but one problem at least)."""
    batch: list[SampleRange] = []
    for want in wanted:
        fits = not batch or (
            (want.start, want.stop) == (batch[0].start, batch[0].stop) and (len(batch) + 1) * want.count <= rows
        )
        if not fits:
            yield batch
            batch = []
        batch.append(want)
    if batch:
        yield batch


def draw_seed(seed: int, position: int, start: int) -> int:
    """The 63-bit seed of a batch from its first problem's position and sample; ``seed`` itself for the first batch,
    as in a draw without batches.
    """
    if position == start == 0:
        return seed
    found = hashlib.sha256(f"{seed}/draw/{position}/{start}".encode()).digest()
    return int.from_bytes(found[:8], "little") >> 1
