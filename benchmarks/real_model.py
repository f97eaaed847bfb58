"""A step of AsyPPO on SmolLM2-135M, with two critics, against a peer that trains no critic, and against its own floor.

    python benchmarks/real_model.py [--peer-python PYTHON --peer-script SCRIPT] [--model DIR] [--steps 3] [--rounds 1]

The work: 8 prompts x 8 responses of chain_sum (2 or 3 terms of one digit), at most 48 new tokens, one epoch. We compute
in what the experiment or ``learner.dtype=...`` says, the peer in float32 and in bfloat16, of which the faster counts.
Runs take turns. A step's seconds are given by the clock and by processors (all processes of a run), since the first
depends on who else computes; memory is the sum over all processes of a run, pages that they share counted once. The
peer is called as ``SCRIPT MODEL STEPS DTYPE`` and ends a line with ``step NUMBER SECONDS`` after each step. A run's
first step is left out. The floor: bare sampling, and bare forward and backward passes over the tokens that must be
computed.
Exits with 1 if a step takes more than 0.4 of the peer's processor time, or a run more than half its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from silent import Silent

from asyppo_cli.engines.hf.resolve import resolve_model
from asyppo_cli.system import usable_cores

TIME_TARGET, MEMORY_TARGET = 0.4, 0.5
EXPERIMENT = [
    "experiment=smollm2",
    "rollout.prompts=8",
    "rollout.responses=8",
    # The prompts of the peer: a longer one makes longer responses.
    "task.system_prompt=",
    # Room for this work's tokens: 136 blocks of 32, 45 KiB a token.
    "sampler.vllm.kv_cache_gib=0.2",
    "evaluation.every=0",
    "evaluation.problems=2",
    "records.every=0",
    "checkpoints.best_metric=null",
]
STEP = re.compile(r"\bstep \d+ [\d.]+\s*$")
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Watch:
    """What a process and all it started use: called whenever a step ends, and on its own once a second."""

    pid: int
    peak: int = 0
    marks: list[tuple[float, float]] = field(default_factory=list)
    spent: dict[int, float] = field(default_factory=dict)

    def mark(self) -> None:
        """A step has ended."""
        self.look()
        self.marks.append((perf_counter(), sum(self.spent.values())))

    def look(self) -> None:
        """Memory and processor time at this moment; of processes that have ended the time last seen."""
        memory = 0
        for pid in family(self.pid):
            try:
                memory += proportional(pid)
                self.spent[pid] = processor_seconds(pid)
            except (OSError, StopIteration):
                continue
        self.peak = max(self.peak, memory)

    def steps(self) -> list[tuple[float, float]]:
        """Seconds by the clock and by processors, of every step but the first."""
        return [(b[0] - a[0], b[1] - a[1]) for a, b in zip(self.marks, self.marks[1:], strict=False)]


def family(root: int) -> list[int]:
    """A process and its descendants."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def proportional(pid: int) -> int:
    """Bytes of a process's memory; a page of several processes counts for each in part."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024


def processor_seconds(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def watch(command: list[str], ended_steps: Callable[[str], bool], environment: dict[str, str]) -> Watch:
    """Run a command to its end; ``ended_steps`` says of a line of its output whether a step has ended."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    seen, over = Watch(process.pid), threading.Event()

    def look() -> None:
        while not over.wait(1.0):
            seen.look()

    looker = threading.Thread(target=look)
    looker.start()
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if ended_steps(line):
            seen.mark()
    over.set()
    looker.join()
    if process.wait():
        raise SystemExit("".join(lines[-20:]) + f"{command[0]} ended with {process.returncode}")
    return seen


def ours(model: str, steps: int, overrides: list[str], folder: Path) -> tuple[Watch, list[dict[str, float]]]:
    """A run of ``asyppo train``, with the seconds of each phase of its steps."""
    name = f"run-{len(list(folder.iterdir()))}"
    settings = [f"policy.model={model}", f"max_steps={steps}", f"checkpoints.every={steps}", *overrides]
    command = [sys.executable, "-m", "asyppo_cli", "train", "--runs-dir", str(folder), "--name", name]
    seen = watch([*command, *EXPERIMENT, *settings], lambda line: line.startswith("step "), dict(os.environ))
    rows = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    phases = [{k.removeprefix("time/"): v for k, v in row.items() if k.startswith("time/")} for row in rows]
    return seen, [row for row in phases if row][1:]


def peer(python: str, script: str, model: str, steps: int, dtype: str) -> Watch:
    """A run of the peer on the folder of a model."""
    # Its packages are its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # A progress bar may stand on the same line.
    return watch([python, "-u", script, model, str(steps), dtype], lambda line: bool(STEP.search(line)), environment)


def floor(model: str, overrides: list[str]) -> None:
    """Print what a step cannot do without, on a rollout of this very work."""
    import torch

    from asyppo_cli.algorithm.critics import assign
    from asyppo_cli.builders.loop import build_grader, build_loop, load_inputs
    from asyppo_cli.config.load import load
    from asyppo_cli.engines.hf.prompt_packing import plan_packing, predicting_outputs, predicting_positions
    from asyppo_cli.training.clock import Clock

    def passes(learner: Any, batch: Any, backward: bool) -> None:
        inner = getattr(learner._module, "model", None)
        for part in plan_packing(batch, learner._micro_batch_tokens, learner._attention_crossover):
            micro = batch.rows(part.rows)
            with torch.set_grad_enabled(backward), torch.autocast("cpu", torch.bfloat16, enabled=low):
                if inner is None:
                    hidden = predicting_outputs(learner._module.backbone, "last_hidden_state", micro, part.sizes)
                    loss = hidden.float().sum()
                else:
                    hidden = predicting_outputs(inner.base_model, "last_hidden_state", micro, part.sizes)
                    chosen = micro.tokens[:, 1:][predicting_positions(micro)[:, :-1]]
                    logits = inner.get_output_embeddings()(hidden)
                    loss = torch.nn.functional.cross_entropy(logits, chosen)
            if backward:
                loss.backward()
        learner._module.zero_grad()

    config = load([*EXPERIMENT, f"policy.model={model}", *overrides]).config
    low = config.learner.dtype == "bfloat16"
    with closing(build_grader(config)) as grader:
        loop = build_loop(config, load_inputs(config), grader, Silent(), Silent())
        stepper: Any = loop.train_step
        for step in (1, 2):
            outcome = stepper.run(step, Clock(Silent()))
        rollout, batch, critics = outcome.rollout, outcome.batch, stepper.critics.critics
        shares = assign(rollout.prompt_index, len(critics), stepper.critics.split)
        prompts, params = [p.tokens for p in rollout.prompts], stepper.source.sampler.params
        works: dict[str, Callable[[], Any]] = {
            "sample": lambda: stepper.source.sampler.sampler.sample(prompts, rollout.group_size, params),
            "values": lambda: [passes(critic, batch, False) for critic in critics],
            "critics": lambda: [
                passes(critic, batch.rows(share.nonzero()[:, 0]), True)
                for critic, share in zip(critics, shares, strict=True)
            ],
            "policy": lambda: passes(stepper.policy.policy, batch, True),
        }
        seconds = {}
        for name, work in works.items():
            start, spent = perf_counter(), process_time()
            work()
            seconds[name] = (perf_counter() - start, process_time() - spent)
        loop.close()
    print(json.dumps(seconds))


def measured_floor(model: str, overrides: list[str]) -> dict[str, tuple[float, float]]:
    """:func:`floor`, in a process of its own."""
    command = [sys.executable, __file__, "--floor", "--model", model, *overrides]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    if output.returncode:
        raise SystemExit(output.stderr[-2000:])
    found: dict[str, tuple[float, float]] = json.loads(output.stdout.splitlines()[-1])
    return found


def median(runs: list[Watch], which: int) -> float:
    """Of all steps of some runs: seconds by the clock (0) or by processors (1)."""
    return statistics.median(step[which] for run in runs for step in run.steps())


def report(mine: list[Watch], phases: list[dict[str, float]], least: dict[str, tuple[float, float]]) -> None:
    """Where the seconds of our step go."""
    names = list(dict.fromkeys(name for row in phases for name in row))
    print(f"{'phase':<14}{'seconds':>9}{'floor':>9}")
    for name in names:
        bare = f"{least[name][0]:9.2f}" if name in least else ""
        print(f"{name:<14}{statistics.median(row.get(name, 0.0) for row in phases):>9.2f}{bare}")
    print(f"{'all':<14}{median(mine, 0):>9.2f}{sum(s for s, _ in least.values()):>9.2f}")
    print(f"processors {median(mine, 1):.1f} s a step; peak memory {max(run.peak for run in mine) / 2**30:.2f} GiB")


def main() -> int:
    """Runs in turn, then the table; 0 if the targets are met, or there is no peer to compare with."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peer-python")
    parser.add_argument("--peer-script")
    parser.add_argument("--peer-dtypes", nargs="+", default=["float32", "bfloat16"], help="The faster one counts.")
    parser.add_argument(
        "--floor", action="store_true", help="Measure the floor alone; what this script asks of itself."
    )
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    if options.floor:
        floor(options.model, options.overrides)
        return 0
    print(f"load before: {os.getloadavg()[0]:.1f} on {usable_cores()} cores", flush=True)
    mine, phases = [], []
    theirs: dict[str, list[Watch]] = {dtype: [] for dtype in options.peer_dtypes}
    # The peer knows no names of ours.
    folder_of_model = resolve_model(options.model, "policy.model")
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            run, times = ours(options.model, options.steps, options.overrides, Path(folder))
            mine.append(run)
            phases += times
            print(f"so far: {median(mine, 0):.1f} s a step, peak memory {run.peak / 2**30:.2f} GiB", flush=True)
            if options.peer_python and options.peer_script:
                for dtype, runs in theirs.items():
                    runs.append(peer(options.peer_python, options.peer_script, folder_of_model, options.steps, dtype))
    report(mine, phases, measured_floor(options.model, options.overrides))
    if not any(theirs.values()):
        print("no peer: give --peer-python and --peer-script to compare with one")
        return 0
    for dtype, runs in theirs.items():
        peak = max(run.peak for run in runs) / 2**30
        print(f"peer, {dtype}: {median(runs, 0):.1f} s a step, processors {median(runs, 1):.1f} s, peak {peak:.2f} GiB")
    best = min(theirs.values(), key=lambda runs: median(runs, 0))
    time = median(mine, 1) / median(best, 1)
    memory = max(run.peak for run in mine) / max(run.peak for run in best)
    print(f"time {median(mine, 0) / median(best, 0):.2f} by the clock, {time:.2f} by processors ({TIME_TARGET})")
    print(f"memory {memory:.2f} ({MEMORY_TARGET})")
    return 0 if time <= TIME_TARGET and memory <= MEMORY_TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
