"""What a step of AsyPPO learns for, in seconds and in memory, against symmetric PPO: by UTD, critic count, critic size.

    python benchmarks/scaling.py --model FOLDER [--steps 3] [OVERRIDES ...]

FOLDER is SmolLM2-135M, best after ``asyppo warmstart`` (short responses). Its rollout is sampled once and learnt from
by every variant, each in a process of its own: values, critics, policy. Nothing but learning is counted: no sampling,
no weight sync. The first step is left out, in which memory is mapped. Peak memory is the process's own (VmHWM),
counted from the first step on. For each axis, the line through its points by least squares, and how far the worst point
is from it. Exits with 1 if one is further than a tenth.
"""

from __future__ import annotations

import argparse
import gc
import json
import pickle
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from silent import Silent

from asyppo_cli.builders.device import set_threads
from asyppo_cli.builders.loop import build_grader, build_loop, load_inputs
from asyppo_cli.config.load import load
from asyppo_cli.engines.torch.malloc import set_trim_thresholds
from asyppo_cli.ports import Sampler, Weights
from asyppo_cli.training.clock import Clock
from asyppo_cli.types import Response, SamplingParams

TARGET = 0.10
EXPERIMENT = [
    "experiment=smollm2",
    "rollout.prompts=8",
    "rollout.responses=8",
    "sampler=transformers",
    "critics.warmup_steps=0",
    "records.every=0",
]
EXPERIMENT += ["evaluation.every=0", "evaluation.problems=2", "checkpoints.best_metric=null", "grading.workers=1"]
LEARNING = ("values", "old_logprobs", "targets", "critics", "policy")
# What is compared, and in which of its overrides: the axis's value, then all that is said to asyppo.
COUNT = {count: [f"critics.count={count}"] for count in (2, 4, 8)} | {1: ["algorithm=asymmetric_single"]}
LAYERS = {layers: [f"critics.depth={layers / 30:.4f}"] for layers in (4, 8, 15, 30)}
UTD = {utd: [f"training.utd={utd}"] for utd in (1, 2, 4)}
AXES: dict[str, dict[int, list[str]]] = {
    "critics": dict(sorted(COUNT.items())),
    "layers of a critic": LAYERS,
    "UTD": UTD,
    "UTD of symmetric PPO": {utd: ["algorithm=ppo", *said] for utd, said in UTD.items()},
}
SYMMETRIC = AXES["UTD of symmetric PPO"][1]


@dataclass
class Replayed:
    """A sampler's responses, asked for once and read from a file by all others."""

    file: Path
    source: Sampler

    def sample(self, prompts: Sequence[Sequence[int]], n: int, params: SamplingParams) -> list[list[Response]]:
        """The responses of the file, which is written if there is none."""
        if not self.file.exists():
            self.file.write_bytes(pickle.dumps(self.source.sample(prompts, n, params)))
        responses: list[list[Response]] = pickle.loads(self.file.read_bytes())
        return responses

    def load_weights(self, weights: Weights) -> None:
        """Nothing is sampled any more."""

    def close(self) -> None:
        """Nothing is held."""


def learn(overrides: list[str], steps: int, file: Path) -> dict[str, Any]:
    """Median seconds of each phase of learning, bytes at the peak, and how many weights are trained."""
    config = load([*EXPERIMENT, *overrides]).config
    set_threads(config.learner)
    set_trim_thresholds()
    with closing(build_grader(config)) as grader:
        loop = build_loop(config, load_inputs(config), grader, Silent(), Silent())
        replayed = Replayed(file, loop.source.sampler.sampler)
        loop.source.sampler = replace(loop.source.sampler, sampler=replayed)
        if not file.exists():
            loop.source.sampler.batch(1, 0, Clock(Silent()))
        # The sampler's model is not part of what is measured.
        replayed.source = replayed
        loop = replace(loop, evaluate=lambda *_: None)
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        rows = []
        for step in range(1, steps + 1):
            clock = Clock(Silent())
            # The same problems each time: their responses are the file's.
            loop.source.position = 0
            loop.train_step.run(step, clock)
            rows.append(clock.seconds)
        lines = Path("/proc/self/status").read_text().splitlines()
        peak = int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    seconds = {name: statistics.median(row.get(name, 0.0) for row in rows[1:]) for name in LEARNING}
    return {**seconds, "learning": sum(seconds.values()), "peak": peak}


def measured(options: argparse.Namespace, overrides: list[str], file: Path) -> dict[str, Any]:
    """:func:`learn`, in a process of its own."""
    said = [f"policy.model={options.model}", *options.overrides, *overrides]
    command = [sys.executable, __file__, "--model", options.model, "--steps", str(options.steps)]
    output = subprocess.run([*command, "--rollout", str(file), *said], capture_output=True, text=True, check=False)
    if output.returncode:
        raise SystemExit(f"{' '.join(overrides)}\n{output.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(output.stdout.splitlines()[-1])
    return found


def from_line(points: dict[int, float]) -> tuple[float, float, float]:
    """The line through some points (its start, its slope) and how far the worst is from it, as a share of itself."""
    x, y = np.array(list(points)), np.array(list(points.values()))
    slope, start = np.polyfit(x, y, 1)
    return float(start), float(slope), float(np.abs((start + slope * x) / y - 1.0).max())


def main() -> int:
    """Every variant once, one table an axis; 0 if all costs lie on lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument(
        "--rollout", type=Path, help="Measure one variant on this rollout; what the script asks itself."
    )
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    if options.rollout:
        print(json.dumps(learn(options.overrides, options.steps, options.rollout)))
        return 0
    worst = 0.0
    known: dict[tuple[str, ...], dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rollout.pickle"

        def of(overrides: list[str]) -> dict[str, Any]:
            # The experiment's own values: two critics of eight layers, each batch once.
            plain = overrides in ([*AXES["critics"][2]], [*LAYERS[8]], [*UTD[1]])
            key = () if plain else tuple(overrides)
            if key not in known:
                known[key] = measured(options, [] if plain else overrides, file)
            return known[key]

        symmetric = of(SYMMETRIC)
        for axis, variants in AXES.items():
            print(f"\n{axis:<22}{'values':>8}{'critics':>9}{'policy':>8}{'seconds':>9}{'of PPO':>8}", end="")
            print(f"{'GiB':>7}{'of PPO':>8}")
            for value, overrides in variants.items():
                found = of(overrides)
                shares = (found["learning"] / symmetric["learning"], found["peak"] / symmetric["peak"])
                print(
                    f"{value:<22}{found['values']:>8.2f}{found['critics']:>9.2f}{found['policy']:>8.2f}"
                    f"{found['learning']:>9.2f}{shares[0]:>8.2f}{found['peak'] / 2**30:>7.2f}{shares[1]:>8.2f}",
                    flush=True,
                )
            for what, unit, divisor in (("learning", "s", 1.0), ("peak", "GiB", 2.0**30)):
                start, slope, off = from_line({v: of(said)[what] / divisor for v, said in variants.items()})
                worst = max(worst, off)
                print(f"  {what}: {start:.2f} {unit} + {slope:.3f} {unit} each; the worst point is {off:.1%} off")
    print(f"\nlinear to {worst:.1%} (aimed at: {TARGET:.0%})")
    return int(worst > TARGET)


if __name__ == "__main__":
    sys.exit(main())
