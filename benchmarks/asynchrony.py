"""Sampling ahead against taking turns: seconds a step at ``async_generate_level`` 1 and 0, on this machine.

    python benchmarks/asynchrony.py [--steps 6] [--rounds 3] [OVERRIDES ...]

Both runs live in this process and are driven in turn, a round of steps each, so the ratio does not depend on how fast
the machine is. What can be gained is bounded by the shorter of sampling and training: the bound is printed beside the
ratio. On a machine whose cores both already use, nothing may be gained.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from contextlib import ExitStack, closing
from time import perf_counter

from step import Silent

from asyppo_cli.builders.loop import build_grader, build_loop, load_inputs
from asyppo_cli.config.load import load
from asyppo_cli.training.clock import Clock
from asyppo_cli.training.loop import Loop


class Driven:
    """A run that is taken on step by step."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.step = loop, 0

    def go(self, steps: int) -> tuple[float, float, float]:
        """Seconds a step of ``steps`` steps, and of these in sampling and in everything else."""
        start, sampling = perf_counter(), 0.0
        for _ in range(steps):
            self.step += 1
            clock = Clock(Silent())
            self.loop.train_step.run(self.step, clock)
            sampling += clock.seconds["sample"] + clock.seconds["grade"]
        seconds = perf_counter() - start
        return seconds / steps, sampling / steps, (seconds - sampling) / steps


def main() -> int:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        runs = []
        for level in (0, 1):
            # Warm-up steps of the critics have no policy phase: leave them out.
            config = load(
                ["critics.warmup_steps=0", *arguments.overrides, f"rollout.async_generate_level={level}"]
            ).config
            grader = stack.enter_context(closing(build_grader(config)))
            loop = stack.enter_context(closing(build_loop(config, load_inputs(config), grader, Silent(), Silent())))
            runs.append(Driven(loop))
            runs[-1].go(2)
        rounds = [(runs[0].go(arguments.steps), runs[1].go(arguments.steps)) for _ in range(arguments.rounds)]
    turns, ahead = (statistics.median(taken[level][0] for taken in rounds) for level in (0, 1))
    sampling, training = (statistics.median(taken[0][part] for taken in rounds) for part in (1, 2))
    print(f"in turn   {turns:.3f} s a step: {sampling:.3f} s sampling, {training:.3f} s everything else")
    print(f"ahead     {ahead:.3f} s a step")
    print(
        f"in turn / ahead = {turns / ahead:.2f}, at most {turns / max(sampling, training):.2f} with cores of their own"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
