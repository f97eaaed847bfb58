"""How long ``asyppo analyze report``, ``tokens`` and ``wordcloud`` take on a run of 500 steps, made up here.

    python benchmarks/report.py [--responses 256] [--tokens 60] [--every 10]

The run has every file a real one has: metrics of every step, records and probes of every tenth. What is printed is the
wall clock of the whole command, start of Python and drawing included.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from asyppo_cli.config.load import load
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.metric_log import MetricLog
from asyppo_cli.runs.records import RecordTexts, write_records, write_samples

STEPS = 500
WORDS = ["Therefore", "the", "positive", "number", "is", "quickly", "found", "because", "x", "+", "y", "=", "1", "2"]
WORDS += [",", "so", "\\boxed{", "4", "2", "}", "follows", ".", "\n"]


def make_run(folder: Path, every: int, responses: int, tokens: int) -> RunDirectory:
    """A run that finished; what is in it is random, its shape is real."""
    run, rng = RunDirectory(folder / "made-up"), np.random.default_rng(0)
    run.path.mkdir()
    run.config.write_text(yaml.safe_dump(load([f"max_steps={STEPS}"]).resolved), encoding="utf-8")
    log = MetricLog(run.metrics)
    for step in range(STEPS + 1):
        row = {name: float(rng.random()) for name in names.known(2) if not name.startswith("eval/")}
        row |= {names.time(phase): float(rng.random()) for phase in ("sample", "grade", "values", "critics", "policy")}
        if step % 20 == 0:
            row |= {names.ACCURACY: 0.4 + step / 1500, names.ACCURACY_HALFWIDTH: 0.03}
        log.append(row | {names.STEP: step})
        write_samples(
            run.samples(step), [{"prompt_id": f"p{i}", "problem": "1 + 1 =", "answer": "2"} for i in range(8)]
        )
        if step and step % every == 0:
            record(run.records(step), step, responses, tokens, rng)
            record(run.probes(step), step, 8, tokens, rng)
    log.close()
    return run


def record(path: Path, step: int, responses: int, tokens: int, rng: np.random.Generator) -> None:
    """Records of ``responses`` responses of so many tokens."""
    n = responses * tokens
    sigma = rng.lognormal(-3, 1, n)
    columns: dict[str, Any] = {name: rng.random(n) for name in ("value_0", "value_1", "value_mean", "advantage")}
    columns |= {name: rng.random(n) for name in ("entropy", "logprob", "gradient_norm")}
    columns |= {
        "step": np.full(n, step),
        "prompt_id": [f"p{i // (8 * tokens)}" for i in range(n)],
        "response_id": np.arange(n) // tokens,
        "position": np.arange(n) % tokens,
        "token_id": np.arange(n) % len(WORDS),
        "token": [" " + WORDS[i % len(WORDS)] for i in range(n)],
        "value_std": sigma,
        "advantage_kept": sigma > np.quantile(sigma, 0.2),
        "entropy_kept": sigma < np.quantile(sigma, 0.8),
        "reward": (np.arange(n) // tokens % 2).astype(float),
    }
    texts = [{"verdict": "right", "extracted": "2", "truncated": False}] * responses
    prompts = {name: {"problem": "1 + 1 =", "answer": "2"} for name in dict.fromkeys(columns["prompt_id"])}
    write_records(path, columns, RecordTexts(prompts, texts))


def main() -> None:
    """Make the run, time the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--responses", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--every", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), asked.every, asked.responses, asked.tokens)
        total = STEPS // asked.every * asked.responses * asked.tokens
        print(f"{STEPS} steps, {STEPS // asked.every} of them recorded, {total / 1e6:.1f} million token records")
        for command in ("report", "tokens", "wordcloud"):
            start, worked = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            line = [sys.executable, "-P", "-m", "asyppo_cli", "analyze", command, str(run.path)]
            subprocess.run(line, check=True, capture_output=True)
            seconds = time.perf_counter() - start
            worked = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - worked
            print(f"analyze {command:<10} {seconds:6.2f} s, {worked:.2f} s of them computing")


if __name__ == "__main__":
    main()
