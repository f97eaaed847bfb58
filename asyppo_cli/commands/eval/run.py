"""``asyppo eval BENCHMARK...``: sample and score models."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asyppo_cli.commands.runs import complete_run
from asyppo_cli.system import catch_signals

if TYPE_CHECKING:
    from asyppo_cli.builders.eval import ModelEvaluation
    from asyppo_cli.display.progress import Progress
    from asyppo_cli.evaluation.session import Evaluation, EvaluationResult, Redo
    from asyppo_cli.ports import Grader

EXAMPLES = """Examples:

asyppo eval chain_sum

asyppo eval math500 --model smollm2 --limit 100 --samples 2 --max-tokens 512

asyppo eval aime24 aime25 --model asyppo-1 --model grpo-1@80 --model Qwen/Qwen3-4B-Base

asyppo eval paper --model http://localhost:8000/v1

asyppo eval problems.jsonl --model embedded:policy --regrade
"""

app = typer.Typer(add_completion=False)

ModelWords = Annotated[
    list[str] | None,
    typer.Option(
        help="A run (NAME, NAME@STEP, NAME@latest), a folder, a hub id, embedded:NAME, smollm2, FILE.gguf, or "
        "http://HOST:PORT/v1 (or .../v1#MODEL); may be repeated. Default: the newest run.",
        autocompletion=complete_run,
    ),
]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Longest response. Default: the run's own, or 8000.")]
EngineWord = Annotated[
    Literal["auto", "transformers", "vllm"] | None,
    typer.Option(help="auto: vLLM where it is installed, transformers for the embedded models."),
]
OutputFolder = Annotated[Path | None, typer.Option(help="Folder for results. Default: the run's, or ./evaluations.")]
Unfinished = Annotated[
    bool, typer.Option("--grade-unfinished", help="Also grade a box in reasoning that was never closed.")
]
DATA_HELP = "Folder of benchmark files (NAME.jsonl or NAME.parquet)."
# Exit code: some samples failed.
PARTIAL = 3


def complete_benchmark(incomplete: str) -> list[str]:
    """Names of benchmarks and suites for the shell."""
    from asyppo_cli.evaluation.benchmarks import BENCHMARKS, SUITES

    return [name for name in (*BENCHMARKS, *SUITES) if name.startswith(incomplete)]


@app.command(epilog=EXAMPLES)
def run(
    benchmarks: Annotated[
        list[str],
        typer.Argument(
            help="aime24, math500, ..., paper (all six), a reasoning-gym task, or a file.",
            autocompletion=complete_benchmark,
        ),
    ],
    model: ModelWords = None,
    runs_dir: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    data_dir: Annotated[Path | None, typer.Option(help=DATA_HELP)] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples per problem.")] = 4,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N problems.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0: greedy. Default: the run's own, or 0.99.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Default: the run's own, or 0.99.")] = None,
    top_k: Annotated[int | None, typer.Option(min=0, help="Default: the run's own, or 100; 0: all tokens.")] = None,
    max_tokens: MaxTokens = None,
    system_prompt: Annotated[str | None, typer.Option(help="Default: as training uses.")] = None,
    engine: EngineWord = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampling.")] = 0,
    name: Annotated[str | None, typer.Option(help="The evaluation's folder; default: named by its settings.")] = None,
    output: OutputFolder = None,
    regrade: Annotated[bool, typer.Option("--regrade", help="Grade the stored samples again.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Draw samples that failed again.")] = False,
    unfinished: Unfinished = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard stored samples and start over.")] = False,
    api: Annotated[Literal["chat", "completions"], typer.Option(help="Kind of request to a server.")] = "chat",
    concurrency: Annotated[int, typer.Option(min=1, help="Simultaneous requests to a server.")] = 16,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds without a byte from a server.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Score models on benchmarks. Nothing is computed twice; an interrupted evaluation continues.

    Exit code 3: a score is partial, as some samples could not be drawn.
    """
    check_sampling(temperature, top_p)
    from asyppo_cli import console
    from asyppo_cli.runs.directory import check_name

    if name is not None:
        check_name(name)
    console.note("loading")
    from asyppo_cli.builders.eval import EvaluationOptions, prepare
    from asyppo_cli.builders.eval_models import EvaluationPaths, ServerOptions, resolve
    from asyppo_cli.commands.eval import COMMANDS
    from asyppo_cli.evaluation.benchmarks import expand
    from asyppo_cli.evaluation.session import Redo

    options = EvaluationOptions(
        samples, limit, data_dir, temperature, top_p, top_k, max_tokens, system_prompt, engine, seed, name, unfinished
    )
    # Before any model is looked for.
    expand(benchmarks, COMMANDS)
    server_options = ServerOptions(api, concurrency, timeout)
    words: list[str | None] = [*model] if model else [None]
    models = [resolve(word, EvaluationPaths(runs_dir, output), server_options) for word in words]
    evaluations = prepare(benchmarks, models, options)
    if not score_all(evaluations, Redo(fresh, regrade, retry_failed), as_json):
        raise typer.Exit(PARTIAL)


def check_sampling(temperature: float | None, top_p: float | None) -> None:
    """Raise ValueError for values that no sampler takes."""
    if temperature is not None and not 0 <= temperature <= 10:
        raise ValueError(f"--temperature is {temperature:g}: it must lie in [0, 10]; 0 is greedy")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"--top-p is {top_p:g}: it must be above 0 and at most 1")


def score_all(evaluations: Sequence[ModelEvaluation], redo: Redo, as_json: bool) -> bool:
    """Score all; shows what is finished even if a later one fails. Returns whether all scores are complete."""
    from asyppo_cli.builders.eval import build_pool
    from asyppo_cli.commands.eval.tables import ScoredEvaluation, result_data, show_results
    from asyppo_cli.display.progress import progress as new_progress

    results: list[ScoredEvaluation] = []
    progress = new_progress()
    try:
        with interruptible(), build_pool() as grader:
            for model in evaluations:
                for note in model.notes:
                    progress.note(note)
                with closing(model):
                    # One by one: those before a failure count.
                    for evaluation in model.evaluations:
                        result = ScoredEvaluation(evaluation, _one(evaluation, grader, progress, redo))
                        results.append(result)
    finally:
        progress.close()
        if as_json and results:
            sys.stdout.write(json.dumps([result_data(result) for result in results], indent=1) + "\n")
        elif results:
            show_results(results)
    return not any(result.result.scores.failed for result in results)


def _one(evaluation: Evaluation, grader: Grader, progress: Progress, redo: Redo) -> EvaluationResult:
    from asyppo_cli.evaluation.session import evaluate
    from asyppo_cli.runs.evaluations import count_samples

    try:
        return evaluate(evaluation, grader, progress, redo)
    except KeyboardInterrupt:
        kept = count_samples(evaluation.directory.samples)
        command = shlex.join(["asyppo", *(word for word in sys.argv[1:] if word != "--fresh")])
        message = f"stopped: {kept} of {evaluation.total} samples are stored; continue with: {command}"
        raise KeyboardInterrupt(message) from None


@contextmanager
def interruptible() -> Iterator[None]:
    """Treat SIGTERM, and SIGHUP unless ignored, as Ctrl-C."""

    def handle(_number: int) -> None:
        raise KeyboardInterrupt

    with catch_signals(handle, [signal.SIGTERM]):
        yield
