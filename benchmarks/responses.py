"""Responses as arrays against tuples of Python numbers: memory, seconds of making a batch of them, and of travelling.

    python benchmarks/responses.py [--rows 512] [--tokens 8000] [--repeats 3]

Both forms hold the same numbers and are measured in turn in this process. Travelling is a pickle there and back, which
is what Ray and vLLM's process do with responses. Exit code 1 if arrays are not better in all of it.
"""

from __future__ import annotations

import argparse
import gc
import pickle
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from asyppo_cli.types import Response, Sequences, unpacked

MIB = 2**20


@dataclass(frozen=True)
class Tuples:
    """A response as it was: a Python number a token and a log-probability."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    truncated: bool


def make(kind: Callable[..., Any], rows: int, tokens: int) -> list[Any]:
    """Responses of between half of ``tokens`` and all, from numbers as vLLM gives them: lists."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(tokens // 2, tokens + 1, (rows,), generator=generator).tolist()
    made = []
    for length in lengths:
        ids = torch.randint(150_000, (length,), generator=generator).tolist()
        logprobs = torch.randn(length, generator=generator).tolist()
        made.append(kind(tuple(ids), tuple(logprobs), False) if kind is Tuples else kind(ids, logprobs, False))
    return made


def join_tuples(responses: list[Any]) -> Any:
    """How a batch was made of them."""
    joined = [torch.tensor([7, *response.tokens], dtype=torch.long) for response in responses]
    return torch.nn.utils.rnn.pad_sequence(joined, batch_first=True)


def logprobs_of(responses: list[Any], tensor: Callable[[Any], Any]) -> Any:
    """As :meth:`asyppo_cli.training.rollouts.rollout.Rollout.sampler_logprobs`."""
    return torch.nn.utils.rnn.pad_sequence([tensor(response.logprobs) for response in responses], batch_first=True)


def travel(responses: list[Any]) -> list[Any]:
    """There and back."""
    there: list[Any] = pickle.loads(pickle.dumps(responses, protocol=5))
    return there


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one call; what it returns is freed outside the clock."""
    start = time.perf_counter()
    result = work()
    taken = time.perf_counter() - start
    del result
    return taken


def memory(kind: Callable[..., Any], rows: int, tokens: int) -> float:
    """MiB that the responses hold, by Python's own count."""
    gc.collect()
    tracemalloc.start()
    held = make(kind, rows, tokens)
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del held
    return size / MIB


def main() -> int:
    """Print the table; 0 if arrays are better in all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=8000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    sizes = [memory(kind, max(1, options.rows // 8), options.tokens) * 8 for kind in (Tuples, Response)]
    old, new = (make(kind, options.rows, options.tokens) for kind in (Tuples, Response))
    assert torch.equal(join_tuples(old), Sequences.join([(7,)] * len(new), [r.tokens for r in new]).tokens)
    assert torch.equal(logprobs_of(old, torch.tensor), logprobs_of(new, unpacked))
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "batch of tokens, s": (
            lambda: join_tuples(old),
            lambda: Sequences.join([(7,)] * len(new), [r.tokens for r in new]),
        ),
        "log-probabilities, s": (lambda: logprobs_of(old, torch.tensor), lambda: logprobs_of(new, unpacked)),
        "there and back, s": (lambda: travel(old), lambda: travel(new)),
    }
    rows = {"memory, MiB": (sizes[0], sizes[1])}
    for name, (before, after) in pairs.items():
        rounds = [(seconds(before), seconds(after)) for _ in range(options.repeats)]
        rows[name] = (statistics.median(r[0] for r in rounds), statistics.median(r[1] for r in rounds))
    print(
        f"{options.rows} responses of up to {options.tokens} tokens\n{'':<22}{'tuples':>10}{'arrays':>10}{'ratio':>8}"
    )
    for name, (before, after) in rows.items():
        print(f"{name:<22}{before:>10.3f}{after:>10.3f}{before / after:>7.1f}x")
    return 0 if all(before > after for before, after in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
