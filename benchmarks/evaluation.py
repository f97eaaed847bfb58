"""Sampling through ``asyppo eval`` against the engine driven alone, on the same prompts and with the same settings.

    python benchmarks/evaluation.py [--model embedded:policy] [--engine auto] [--problems 512] [--samples 4]
                                    [--max-tokens N] [--repeats 3]

Both run in this process, in turn, on a model that is loaded already: the ratio does not depend on how fast the machine
is. On a busy machine look at the ratio per second of processor time. Alone, the engine gets all prompts in one call and
its responses are thrown away; the evaluation also decodes, stores every response on the disk and grades it. Exits with
1 if the evaluation is slower than 0.9 of the engine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import NamedTuple

from silent import Silent

from asyppo_cli.builders.eval import EvaluationOptions, ModelEvaluation, build_pool, prepare
from asyppo_cli.builders.eval_models import EvaluationPaths, ServerOptions, resolve
from asyppo_cli.evaluation.sampling import SampleSource, missing
from asyppo_cli.evaluation.session import Evaluation, evaluate
from asyppo_cli.ports import Grader
from asyppo_cli.runs.evaluations import EvaluationDirectory, Sample

TARGET = 0.9


class Rate(NamedTuple):
    """Tokens a second of wall time, and of this process's processor time."""

    wall: float
    processor: float


def alone(evaluation: Evaluation, source: SampleSource) -> Rate:
    """The engine's rates, responses thrown away."""
    began = perf_counter(), process_time()
    parts = source.draw(missing(evaluation.problems, {}, evaluation.samples))
    tokens = sum(sample.length for part in parts for sample in part if isinstance(sample, Sample))
    return Rate(tokens / (perf_counter() - began[0]), tokens / (process_time() - began[1]))


def through(evaluation: Evaluation, source: SampleSource, grader: Grader, folder: Path) -> Rate:
    """Rates from the call to the scores: drawn, stored, graded, counted."""
    began = perf_counter(), process_time()
    there = replace(evaluation, directory=EvaluationDirectory(folder), open_source=lambda: source)
    outcome = evaluate(there, grader, Silent())
    return Rate(outcome.tokens / (perf_counter() - began[0]), outcome.tokens / (process_time() - began[1]))


def measure(model_evaluation: ModelEvaluation, repeats: int) -> list[tuple[Rate, Rate]]:
    """Pairs of rates, alternating, after one of each to warm up."""
    [evaluation] = model_evaluation.evaluations
    source = evaluation.open_source()
    pairs = []
    with build_pool() as grader, tempfile.TemporaryDirectory() as folder:
        for number in range(repeats + 1):
            first = alone(evaluation, source)
            pairs.append((first, through(evaluation, source, grader, Path(folder) / str(number))))
    return pairs[1:]


def main(arguments: Sequence[str]) -> int:
    """Print both rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded:policy")
    parser.add_argument("--benchmark", default="chain_sum")
    parser.add_argument("--engine", default="auto", choices=("auto", "transformers", "vllm"))
    parser.add_argument("--problems", type=int, default=512)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args(arguments)
    model = resolve(given.model, EvaluationPaths(Path("runs"), Path("unused")), ServerOptions("chat", 16, 600.0))
    options = EvaluationOptions(given.samples, given.problems, max_tokens=given.max_tokens, engine=given.engine)
    [model_evaluation] = prepare([given.benchmark], [model], options)
    with closing(model_evaluation):
        pairs = measure(model_evaluation, given.repeats)
    for bare, whole in pairs:
        share = whole.wall / bare.wall
        print(f"engine alone {bare.wall:9,.0f} tokens/s   asyppo eval {whole.wall:9,.0f} tokens/s   {share:.3f}")
    ratio = statistics.median(whole.wall / bare.wall for bare, whole in pairs)
    processor = statistics.median(whole.processor / bare.processor for bare, whole in pairs)
    print(f"median ratio {ratio:.3f} (target: at least {TARGET}); per second of processor time {processor:.3f}")
    return int(ratio < TARGET)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
