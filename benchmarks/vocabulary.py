"""Log-probability and entropy of tokens over a large vocabulary, with gradients: memory and time against the plain way.

    python benchmarks/vocabulary.py [--device cuda] [--tokens 2048] [--hidden 1024] [--words 151936] [--tiles 19,21,23]

The plain way holds tokens x vocabulary logits and lets autograd do the rest. Peaks are above what is held beforehand
(hidden states and the output matrix), gradients of both included, each in a process of its own; times alternate in one
process. Exits with 1 if the peak is more than an eighth of the plain way's.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn

from asyppo_cli.engines.hf import logprobs

TARGET = 1 / 8
REPEATS = 5
Way = Callable[[nn.Linear, Tensor, Tensor, float], tuple[Tensor, ...]]


def plain(head: nn.Linear, hidden: Tensor, chosen: Tensor, temperature: float) -> tuple[Tensor, ...]:
    """The whole table of logits at once."""
    return logprobs.statistics_of_logits(head(hidden), chosen, temperature)


WAYS: dict[str, Way] = {"plain": plain, "in blocks": logprobs.token_statistics}


class Work:
    """One output matrix, hidden states of tokens, and a pass over both."""

    def __init__(self, options: argparse.Namespace) -> None:
        torch.manual_seed(0)
        self.device = torch.device(options.device)
        self.head = nn.Linear(options.hidden, options.words, bias=False, device=self.device)
        self.hidden = torch.randn(options.tokens, options.hidden, device=self.device).requires_grad_()
        self.chosen = torch.randint(options.words, (options.tokens,), device=self.device)

    def run(self, way: Way) -> None:
        """Forward and backward, gradients dropped beforehand."""
        self.head.weight.grad = self.hidden.grad = None
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            logprobs, entropy, _ = way(self.head, self.hidden, self.chosen, 1.0)
        (logprobs + 0.01 * entropy).sum().backward()

    def seconds(self, way: Way) -> float:
        """Of one pass."""
        self.synchronize()
        start = perf_counter()
        self.run(way)
        self.synchronize()
        return perf_counter() - start

    def synchronize(self) -> None:
        """Wait for a GPU."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def peak(options: argparse.Namespace, way: str, answer: multiprocessing.SimpleQueue[float]) -> None:
    """GiB of one pass above what was held before it; in a process of its own."""
    work = Work(options)
    # Libraries set themselves up at their first use.
    Work(argparse.Namespace(**{**vars(options), "tokens": 8, "words": 1024})).run(WAYS[way])
    gc.collect()
    if work.device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work.run(WAYS[way])
        answer.put((torch.cuda.max_memory_allocated() - before) / 2**30)
        return
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    work.run(WAYS[way])
    answer.put((resident("VmHWM") - before) / 2**20)


def resident(name: str) -> int:
    """A figure of this process's memory in KiB, as Linux tells it."""
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def measured_peak(options: argparse.Namespace, way: str) -> float:
    """:func:`peak`, from a new process."""
    context = multiprocessing.get_context("spawn")
    answer: multiprocessing.SimpleQueue[float] = context.SimpleQueue()
    process = context.Process(target=peak, args=(options, way, answer))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"the process for {way!r} ended with {process.exitcode}")
    return answer.get()


def compare_times(options: argparse.Namespace) -> float:
    """Print seconds of both ways, in turn; their median ratio."""
    work = Work(options)
    for way in WAYS.values():
        work.run(way)
    pairs = [tuple(work.seconds(way) for way in WAYS.values()) for _ in range(REPEATS)]
    for name, times in zip(WAYS, zip(*pairs, strict=True), strict=True):
        print(f"{name:10} {statistics.median(times):8.3f} s")
    return statistics.median(ours / theirs for theirs, ours in pairs)


def compare_tiles(options: argparse.Namespace) -> None:
    """Print the time of one pass for each size of a tile, in turn."""
    work = Work(options)
    seconds: dict[int, list[float]] = {power: [] for power in options.tiles}
    for _ in range(REPEATS):
        for power in options.tiles:
            logprobs.BLOCK_LOGITS[options.device] = 2**power
            seconds[power].append(work.seconds(logprobs.token_statistics))
    for power, times in seconds.items():
        print(f"tile of 2^{power} logits: {min(times):.3f} s at best, {statistics.median(times):.3f} s in the median")


def main() -> None:
    """Compare, print, judge."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokens", type=int, help="default: 2048, on a GPU 8192")
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--words", type=int, default=151_936)
    parser.add_argument("--tiles", type=lambda text: [int(power) for power in text.split(",")], default=[])
    options = parser.parse_args()
    options.tokens = options.tokens or (2048 if options.device == "cpu" else 8192)
    if options.tiles:
        compare_tiles(options)
        return
    peaks = {way: measured_peak(options, way) for way in WAYS}
    for way, gib in peaks.items():
        print(f"{way:10} {gib:8.3f} GiB")
    ratio = compare_times(options)
    share = peaks["in blocks"] / peaks["plain"]
    print(f"time ratio {ratio:.2f}; memory ratio {share:.3f} (target at most {TARGET:.3f})")
    sys.exit(share > TARGET)


if __name__ == "__main__":
    main()
