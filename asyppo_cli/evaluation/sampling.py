"""Drawing the samples that an evaluation still lacks, by whatever generates them.

A seed fixes the draw of a batch, and the plan of batches depends on nothing but what is lacking. So an evaluation that
was interrupted between two batches goes on as if nothing had happened, to the bit where the engine is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol

from asyppo_cli.ports import Sampler, Tokenizer
from asyppo_cli.runs.evaluations import Sample
from asyppo_cli.types import Problem, SamplingParams


@dataclass(frozen=True)
class SampleRange:
    """Samples number ``start`` to ``stop`` (not included) of a problem, which is at ``position`` in its benchmark."""

    position: int
    problem: Problem
    start: int
    stop: int

    @property
    def count(self) -> int:
        """How many samples that is."""
        return self.stop - self.start


class SampleSource(Protocol):
    """What generates responses: an engine in this process, or a server."""

    def draw(self, wanted: Sequence[SampleRange]) -> Iterator[list[Sample]]:
        """All samples wanted, in parts, each as soon as it is there; in no particular order.

        Raises RuntimeError, saying why in one line, if what generates has failed.
        """
        ...


@dataclass(frozen=True)
class BatchedSource:
    """A :class:`SampleSource` around a sampler that draws at most ``rows`` responses in one batch."""

    sampler: Sampler
    tokenizer: Tokenizer
    tokens: Callable[[Problem], Sequence[int]]
    params: SamplingParams
    rows: int

    def draw(self, wanted: Sequence[SampleRange]) -> Iterator[list[Sample]]:
        """Batch by batch."""
        for batch in batches(wanted, self.rows):
            first = batch[0]
            params = replace(self.params, seed=draw_seed(self.params.seed, first.position, first.start))
            groups = self.sampler.sample([self.tokens(want.problem) for want in batch], first.count, params)
            yield [
                Sample(
                    want.problem.id,
                    number,
                    self.tokenizer.decode(response.tokens),
                    len(response.tokens),
                    response.truncated,
                )
                for want, group in zip(batch, groups, strict=True)
                for number, response in enumerate(group, want.start)
            ]


def missing(problems: Sequence[Problem], stored: Mapping[str, Mapping[int, Sample]], samples: int) -> list[SampleRange]:
    """What is wanted so that every problem has its first ``samples`` samples, and nothing that is there.

    Responses that finish out of order may leave gaps, so a problem can be wanted more than once.
    """
    found = []
    for position, problem in enumerate(problems):
        there = stored.get(problem.id, {})
        lacking = [number for number in range(samples) if number not in there]
        # Neighbours differ from their place in the list by the same number.
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
    """The 63-bit seed of a batch by its first problem's position and sample; the very first batch has ``seed`` itself,
    as a draw in one go has.
    """
    if position == start == 0:
        return seed
    found = hashlib.sha256(f"{seed}/draw/{position}/{start}".encode()).digest()
    return int.from_bytes(found[:8], "little") >> 1
