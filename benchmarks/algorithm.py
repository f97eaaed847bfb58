"""Advantages and gates at the paper's scale, against the loop over token positions that most frameworks use.

    python benchmarks/algorithm.py [--rows 2048] [--tokens 8000] [--threads 2] [--repeats 5]

Prints ratios of medians of interleaved runs in one process; times alone say little on a shared machine. Exit code 1 if
a target is missed. Not measured here: models, sampling, the losses.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

# Read once, when torch loads its OpenMP: a thread that waits for another sleeps soon instead of spinning, without which
# every parallel operation costs milliseconds while some other program wants the same core. The loop has none of those.
os.environ["GOMP_SPINCOUNT"] = "2000"

import torch
from torch import Tensor

from asyppo_cli.algorithm.returns import gae, length_adaptive_lambda, outcome_rewards
from asyppo_cli.algorithm.targets import Targets, asymmetric_targets

GAE_SPEEDUP = 8.0
EVERYTHING_SHARE = 0.4
Lambda = float | Tensor


@dataclass(frozen=True)
class Batch:
    """Ragged responses with two critics' values and an outcome each."""

    values: Tensor
    rewards: Tensor
    mask: Tensor
    lengths: Tensor

    @staticmethod
    def draw(rows: int, tokens: int) -> Batch:
        """Lengths uniform between a quarter of ``tokens`` and all of it."""
        generator = torch.Generator().manual_seed(0)
        lengths = torch.randint(max(1, tokens // 4), tokens + 1, (rows,), generator=generator)
        lengths[0] = tokens
        mask = torch.arange(tokens) < lengths[:, None]
        outcomes = torch.randint(0, 2, (rows,), generator=generator).float()
        values = torch.rand(2, rows, tokens, generator=generator) * mask
        return Batch(values, outcome_rewards(outcomes, mask), mask, lengths)


def loop_over_tokens(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lambd: Lambda) -> Tensor:
    """GAE as usually written: from the last position to the first, one column of the batch at a time."""
    rewards, values = rewards * mask, values * mask
    width = values.shape[1]
    last: Tensor | float = 0.0
    reversed_columns = []
    for t in reversed(range(width)):
        following = values[:, t + 1] if t < width - 1 else 0.0
        delta = rewards[:, t] + gamma * following - values[:, t]
        last = delta + gamma * lambd * last
        reversed_columns.append(last)
    return torch.stack(reversed_columns[::-1], 1)


def everything(batch: Batch, lambd: Lambda) -> Targets:
    """Mean, disagreement, GAE, returns and both masks of two critics."""
    return asymmetric_targets(
        batch.values,
        batch.rewards,
        batch.mask,
        gamma=1.0,
        lambd=lambd,
        critic_lambd=None,
        aggregation="mean",
        whiten=False,
        mask_pct=0.2,
        entropy_filter_pct=0.2,
        mask_signal="value_std",
        entropy_filter_signal="value_std",
        entropy=None,
        scope_of_row=None,
        seed=0,
    )


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call; what it returns is freed outside the clock, for all alike."""
    start = time.perf_counter()
    result = work()
    elapsed = time.perf_counter() - start
    del result
    return elapsed


def compare(batch: Batch, lambd: Lambda, repeats: int) -> tuple[float, float, float]:
    """Median seconds of the loop, of GAE and of everything, run in turn."""
    arguments = (batch.rewards, batch.values[0], batch.mask, 1.0, lambd)
    works: list[Callable[[], object]] = [
        lambda: loop_over_tokens(*arguments),
        lambda: gae(*arguments),
        lambda: everything(batch, lambd),
    ]
    everything(batch, lambd)
    rounds = [[seconds(work) for work in works] for _ in range(repeats)]
    loop, ours, whole = (statistics.median(column) for column in zip(*rounds, strict=True))
    return loop, ours, whole


def verify(batch: Batch, lambd: Lambda) -> None:
    """The two must agree where there are tokens: a fast wrong answer is no result."""
    expected = loop_over_tokens(batch.rewards, batch.values[0], batch.mask, 1.0, lambd) * batch.mask
    torch.testing.assert_close(
        gae(batch.rewards, batch.values[0], batch.mask, 1.0, lambd).advantages, expected, atol=1e-3, rtol=1e-3
    )


def report(name: str, times: tuple[float, float, float]) -> bool:
    """Print one line of the table; whether both targets are met."""
    loop, ours, whole = times
    speedup, share = loop / ours, whole / loop
    met = speedup >= GAE_SPEEDUP and share <= EVERYTHING_SHARE
    print(
        f"{name:<12}{loop * 1e3:>10.1f}{ours * 1e3:>10.1f}{whole * 1e3:>14.1f}{speedup:>10.1f}x{share:>16.3f}"
        f"  {'PASS' if met else 'FAIL'}"
    )
    return met


def main() -> int:
    """Measure at lambda 1, 0.95 and one lambda per row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2048, help="responses")
    parser.add_argument("--tokens", type=int, default=8000, help="tokens of the longest response")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved runs of each")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    batch = Batch.draw(options.rows, options.tokens)
    print(f"{options.rows} responses of up to {options.tokens} tokens, {options.threads} threads; milliseconds")
    print(f"{'lambda':<12}{'loop':>10}{'gae':>10}{'everything':>14}{'loop/gae':>11}{'everything/loop':>16}")
    cases: dict[str, Lambda] = {"1": 1.0, "0.95": 0.95, "per row": length_adaptive_lambda(batch.lengths, 0.05)}
    met = True
    for name, lambd in cases.items():
        verify(batch, lambd)
        met = report(name, compare(batch, lambd, options.repeats)) and met
    print(f"targets: loop/gae at least {GAE_SPEEDUP:g}, everything/loop at most {EVERYTHING_SHARE:g}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
