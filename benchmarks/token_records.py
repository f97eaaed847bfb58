"""Ten million token records: the analyses against their targets of time and memory.

    python benchmarks/token_records.py [--tokens 10_000_000] [--folder FOLDER] [--only quadrant]

Makes a run directory with synthetic records, spread over step files as a run writes them, then runs each analysis as
the command does it (figures, intervals and all) in a fresh process. Prints seconds and peak memory. Exits with 1 if an
analysis needs more than 10 s or 2 GiB at ten million tokens.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import yaml

from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.records import write_records

SECONDS, MEMORY = 10.0, 2 * 2**30
STEPS, RESPONSE = 50, 400
VOCABULARY = 20_000
KINDS = ("quadrant", "value-std", "wordcloud")


def make_run(folder: Path, tokens: int) -> RunDirectory:
    """A run directory with that many token records, or the one made before."""
    run = RunDirectory(folder / f"synthetic-{tokens}")
    if run.exists():
        return run
    random = np.random.default_rng(0)
    chances = 1.0 / np.arange(1, VOCABULARY + 1)
    words = np.array([f"{'' if n % 3 else ' '}token{n}" for n in range(VOCABULARY)], object)
    for step in range(1, STEPS + 1):
        write_records(run.records(step), columns(step, tokens // STEPS, random, chances / chances.sum(), words))
    run.config.write_text(yaml.safe_dump({"seed": 1, "critics": {"count": 2}, "task": {"name": "synthetic"}}))
    return run


def columns(step: int, size: int, random: np.random.Generator, chances: Any, words: Any) -> dict[str, Any]:
    """One step's records: values that drift along a response, critics that share part of their noise."""
    position = np.arange(size) % RESPONSE
    response = np.arange(size) // RESPONSE
    reward = random.integers(2, size=response[-1] + 1)[response].astype(np.float32)
    shared = random.normal(0.5, 0.15, size) + 0.2 * (reward - 0.5) * position / RESPONSE
    values = [(shared + random.normal(0, 0.06, size)).astype(np.float32) for _ in range(2)]
    mean, sigma = (values[0] + values[1]) / 2, np.abs(values[0] - values[1]) / 2
    entropy = (random.exponential(0.3, size) * (0.5 + 5 * sigma)).astype(np.float32)
    advantage = reward - mean
    token = random.choice(VOCABULARY, size, p=chances)
    order = np.argsort(sigma, kind="stable")
    kept, bonus = np.ones(size, bool), np.ones(size, bool)
    kept[order[: size // 5]] = False
    bonus[order[-(size // 5) :]] = False
    return {
        "step": np.full(size, step), "prompt_id": [f"problem-{r // 8}" for r in response],
        "response_id": response, "position": position, "token_id": token, "token": words[token].tolist(),
        "value_0": values[0], "value_1": values[1], "value_mean": mean, "value_std": sigma, "advantage": advantage,
        "entropy": entropy, "logprob": -entropy, "gradient_norm": np.abs(advantage) * -np.expm1(-entropy),
        "advantage_kept": kept, "entropy_kept": bonus, "reward": reward,
    }  # fmt: skip


def measured(command: list[str]) -> tuple[float, float, int]:
    """Wall seconds, processor seconds and peak resident bytes of a process.

    Raises:
        SystemExit: it failed.
    """
    start = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = perf_counter() - start
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def within_targets(run: RunDirectory, kind: str, output: Path) -> bool:
    """Measure one analysis and print a line; whether it meets the targets."""
    options = [kind, run.name, "--runs-dir", str(run.path.parent), "--steps", "all", "--output", str(output)]
    seconds, cpu, memory = measured([sys.executable, "-P", "-m", "asyppo_cli", "analyze", *options])
    print(f"{kind:10} {seconds:5.1f} s ({cpu:5.1f} s of processor) {memory / 2**30:5.2f} GiB", flush=True)
    return seconds <= SECONDS and memory <= MEMORY


def main() -> int:
    """Make the records and measure; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="keep the records here; default: a temporary folder")
    parser.add_argument("--only", choices=KINDS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        start = perf_counter()
        run = make_run(arguments.folder or Path(scratch), arguments.tokens)
        print(f"{arguments.tokens:,} token records in {perf_counter() - start:.0f} s")
        kinds = [arguments.only] if arguments.only else KINDS
        met = [within_targets(run, kind, Path(scratch) / "figures") for kind in kinds]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
