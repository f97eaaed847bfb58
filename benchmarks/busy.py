"""A training step beside processes that keep the cores busy, for several ways in which OpenMP's threads wait.

    python benchmarks/busy.py [OVERRIDES ...] [--spinners 0 1 2 4] [--rounds 5] [--policies default spinning ...]

Each policy is a process of its own with the same seed. Beside S processes that spin on the same cores, they take steps
in turn, each pausing while another computes, so that the ratio of two policies does not depend on the machine's other
load. The bound of fairness: T threads beside S other runnable threads on C cores get ``min(T, C * T / (S + T))`` cores
of a fair scheduler, so a step takes at least its idle seconds times ``T`` over that. Idle seconds are the least median
of any policy without spinners, or 1 where ``--spinners`` leaves 0 out. ``seconds`` are medians; ``cores`` are processor
seconds of the process over seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

from asyppo_cli.openmp import VARIABLES
from asyppo_cli.system import usable_cores

# Begins the line that a trainer answers with; libraries print lines of their own.
MARK = "busy-step:"
IDLE_TARGET, BUSY_TARGET = 1.03, 1.5
# What libgomp and libiomp do of their own accord: spin for milliseconds, and 200 milliseconds.
SPINNING = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}
POLICIES: dict[str, dict[str, str]] = {
    "default": {},
    "spinning": SPINNING,
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one": {"threads": "1"},
}


@dataclass
class Trainer:
    """A process that takes a training step whenever it is asked to."""

    policy: str
    overrides: list[str]

    def __post_init__(self) -> None:
        if not self.policy.isdigit() and self.policy not in POLICIES:
            raise SystemExit(f"--policies {self.policy}: must be a spin count or one of {', '.join(POLICIES)}")
        known = {"GOMP_SPINCOUNT": self.policy} if self.policy.isdigit() else POLICIES[self.policy]
        threads = [f"learner.threads={known['threads']}"] if "threads" in known else []
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--trainer", *threads, *self.overrides],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=inherited | {name: value for name, value in known.items() if name != "threads"},
        )

    def step(self) -> tuple[float, float]:
        """Seconds by the clock and by processors of the next step."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith(MARK):
                seconds, spent = json.loads(line.removeprefix(MARK))
                return seconds, spent
        raise SystemExit(f"{self.policy}: the trainer ended with {self.process.wait()}")

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def trainer(overrides: list[str]) -> None:
    """Build a run; then one step a line of stdin."""
    from asyppo_cli.openmp import yield_cores

    yield_cores()
    from silent import Silent

    from asyppo_cli.builders.loop import build_grader, build_loop, load_inputs
    from asyppo_cli.config.load import load
    from asyppo_cli.training.clock import Clock

    config = load(["critics.warmup_steps=0", *overrides]).config
    silent: Any = Silent()
    with (
        closing(build_grader(config)) as grader,
        closing(build_loop(config, load_inputs(config), grader, silent, silent)) as loop,
    ):
        for number, _ in enumerate(sys.stdin, 1):
            started, spent = perf_counter(), process_time()
            loop.train_step.run(number, Clock(silent))
            print(MARK + json.dumps([perf_counter() - started, process_time() - spent]), flush=True)


@contextmanager
def spinners(count: int) -> Iterator[None]:
    """Processes that compute without a pause."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def fair_share(threads: int, others: int, cores: int) -> float:
    """Cores that a fair scheduler gives to ``threads`` runnable threads beside ``others``."""
    return min(threads, cores * threads / (others + threads), cores)


def main() -> int:
    """Print the table; 0 if the targets are met by the first policy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spinners", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--policies", nargs="+", default=["default", "spinning"])
    parser.add_argument("--trainer", action="store_true", help="What this script starts itself as.")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    if options.trainer:
        trainer(options.overrides)
        return 0
    print(f"load before: {os.getloadavg()[0]:.1f} on {usable_cores()} cores", flush=True)
    trainers = [Trainer(policy, options.overrides) for policy in options.policies]
    try:
        # The first steps load what is loaded late, and give memory its size.
        for _ in range(options.warmup):
            for one in trainers:
                one.step()
        return measure(trainers, options.spinners, options.rounds)
    finally:
        for one in trainers:
            one.close()


def measure(trainers: list[Trainer], loads: list[int], rounds: int) -> int:
    """Steps in turn beside each number of spinners, and what they come to."""
    cores, idle, kept = usable_cores(), None, True
    print(f"{'spinners':>8}  {'policy':<10}{'seconds':>9}{'cores':>7}{'of first':>9}{'bound':>9}{'of bound':>9}")
    for count in loads:
        with spinners(count):
            taken = [[one.step() for one in trainers] for _ in range(rounds)]
        medians = [statistics.median(row[i][0] for row in taken) for i in range(len(trainers))]
        if count == 0:
            idle = min(medians)
        bound = None if idle is None else idle * cores / fair_share(cores, count, cores)
        for i, one in enumerate(trainers):
            # Within a round the other load is nearly the same, so the ratio is taken there.
            ratio = statistics.median(row[i][0] / row[0][0] for row in taken)
            used = statistics.median(row[i][1] / row[i][0] for row in taken)
            share = "" if bound is None else f"{bound:>9.2f}{medians[i] / bound:>9.2f}"
            print(f"{count:>8}  {one.policy:<10}{medians[i]:>9.2f}{used:>7.2f}{ratio:>9.2f}{share}", flush=True)
        if bound is not None:
            kept = kept and medians[0] / bound <= (BUSY_TARGET if count else IDLE_TARGET)
    print(f"targets (idle {IDLE_TARGET} of the fastest, busy {BUSY_TARGET} of the bound): {'PASS' if kept else 'FAIL'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
