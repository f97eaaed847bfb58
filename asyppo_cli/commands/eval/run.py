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
    from asyppo_cli.commands.eval.tables import ScoredEvaluation
    from asyppo_cli.display.progress import Progress
    from asyppo_cli.evaluation.session import Evaluation
    from asyppo_cli.ports import Grader

EXAMPLES = """Examples:

asyppo eval chain_sum

asyppo eval math500 --model smollm2 --limit 100 --samples 2 --max-tokens 512

asyppo eval aime24 aime25 --model asyppo-1 --model grpo-1@80 --model Qwen/Qwen3-4B-Base

asyppo eval paper --model http://localhost:8000/v1

asyppo eval problems.jsonl --model embedded:policy --regrade
"""

app = typer.Typer(add_completion=False)

Data = "Folder of benchmark files (NAME.jsonl or NAME.parquet)."


@app.command(epilog=EXAMPLES)
def run(
    benchmarks: Annotated[
        list[str], typer.Argument(help="aime24, math500, ..., paper (all six), a reasoning-gym task, or a file.")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A run (NAME, NAME@STEP, NAME@latest), a folder, a hub id, embedded:NAME, smollm2, FILE.gguf, or "
            "http://HOST:PORT/v1[#MODEL]; may be repeated. Default: the newest run.",
            autocompletion=complete_run,
        ),
    ] = None,
    runs_dir: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    data_dir: Annotated[Path | None, typer.Option(help=Data)] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples per problem.")] = 4,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many problems.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Default: the run's own, or 0.99.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Default: the run's own, or 0.99.")] = None,
    top_k: Annotated[int | None, typer.Option(min=0, help="Default: the run's own, or 100; 0: all tokens.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest response. Default: the run's own, or 8000.")
    ] = None,
    system_prompt: Annotated[str | None, typer.Option(help="Default: as training uses.")] = None,
    engine: Annotated[
        Literal["auto", "transformers", "vllm"] | None,
        typer.Option(help="auto: vLLM where it is installed, transformers for the embedded models."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampling.")] = 0,
    name: Annotated[str | None, typer.Option(help="The evaluation's folder; default: named by its settings.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for results. Default: the run's, or ./evaluations.")
    ] = None,
    regrade: Annotated[bool, typer.Option("--regrade", help="Grade the stored samples again.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw stored samples away and start over.")] = False,
    api: Annotated[Literal["chat", "completions"], typer.Option(help="What a server is asked for.")] = "chat",
    concurrency: Annotated[int, typer.Option(min=1, help="Requests to a server at once.")] = 16,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds a server may be silent.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Score models on benchmarks. What is there is not computed again; an interrupted evaluation goes on."""
    check_sampling(temperature, top_p)
    from asyppo_cli import console
    from asyppo_cli.runs.directory import check_name

    if name is not None:
        check_name(name)
    console.note("loading")
    from asyppo_cli.builders.eval import EvaluationOptions, prepare
    from asyppo_cli.builders.eval_models import EvaluationPaths, ServerOptions, resolve

    options = EvaluationOptions(
        samples, limit, data_dir, temperature, top_p, top_k, max_tokens, system_prompt, engine, seed, name
    )
    check_benchmarks(benchmarks)
    server_options = ServerOptions(api, concurrency, timeout)
    words: list[str | None] = [*model] if model else [None]
    models = [resolve(word, EvaluationPaths(runs_dir, output), server_options) for word in words]
    model_evaluations = prepare(benchmarks, models, options)
    score_all(model_evaluations, fresh=fresh, regrade=regrade, as_json=as_json)


def check_sampling(temperature: float | None, top_p: float | None) -> None:
    """ValueError for what no sampler can do."""
    if temperature is not None and not 0 < temperature <= 10:
        raise ValueError(f"--temperature is {temperature:g}: it must be above 0 and at most 10")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"--top-p is {top_p:g}: it must be above 0 and at most 1")


def check_benchmarks(words: Sequence[str]) -> None:
    """Unknown benchmarks are known before any model is looked for."""
    from asyppo_cli.commands.eval import COMMANDS
    from asyppo_cli.evaluation.benchmarks import expand

    expand(words, COMMANDS)


def score_all(model_evaluations: Sequence[ModelEvaluation], *, fresh: bool, regrade: bool, as_json: bool) -> None:
    """Model after model, benchmark after benchmark; what is finished is shown whatever happens to the rest."""
    from asyppo_cli.builders.eval import build_pool
    from asyppo_cli.commands.eval.tables import result_data, show_results
    from asyppo_cli.display.progress import progress as new_progress

    results: list[ScoredEvaluation] = []
    progress = new_progress()
    try:
        with interruptible(), build_pool() as grader:
            for model_evaluation in model_evaluations:
                for note in model_evaluation.notes:
                    progress.note(note)
                with closing(model_evaluation):
                    # One by one: those before the one that fails count.
                    for evaluation in model_evaluation.evaluations:
                        result = _one(evaluation, grader, progress, fresh=fresh, regrade=regrade)
                        results.append(result)
    finally:
        progress.close()
        if as_json and results:
            sys.stdout.write(json.dumps([result_data(result) for result in results], indent=1) + "\n")
        elif results:
            show_results(results)


def _one(evaluation: Evaluation, grader: Grader, progress: Progress, *, fresh: bool, regrade: bool) -> ScoredEvaluation:
    from asyppo_cli.commands.eval.tables import ScoredEvaluation
    from asyppo_cli.evaluation.session import evaluate

    try:
        outcome = evaluate(evaluation, grader, progress, fresh=fresh, regrade=regrade)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(how_to_go_on(evaluation)) from None
    return ScoredEvaluation(evaluation, outcome)


def how_to_go_on(evaluation: Evaluation) -> str:
    """What is kept, and the command that goes on."""
    from asyppo_cli.runs.evaluations import count_samples

    kept = count_samples(evaluation.directory.samples)
    command = shlex.join(["asyppo", *(word for word in sys.argv[1:] if word != "--fresh")])
    return f"stopped: {kept} of {evaluation.total} samples are kept; go on with: {command}"


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and a terminal that closes count as Ctrl-C."""

    def handle(_number: int) -> None:
        raise KeyboardInterrupt

    with catch_signals(handle, [signal.SIGTERM]):
        yield
