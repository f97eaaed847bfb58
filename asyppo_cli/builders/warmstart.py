"""From a warm-start recipe to a train_sftd model on disk."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from asyppo_cli.builders.device import pick_device, set_threads
from asyppo_cli.builders.learners import build_torch_learner
from asyppo_cli.builders.samplers import check_context, sampling_params, transformers_sampler
from asyppo_cli.config.schema import WarmstartConfig
from asyppo_cli.engines.hf.models import PolicyModel, load_policy, new_policy, parameter_count
from asyppo_cli.engines.hf.tokenizer import HuggingFaceTokenizer, load_tokenizer, train_tokenizer
from asyppo_cli.engines.torch.learner import TorchLearner
from asyppo_cli.engines.torch.malloc import set_trim_thresholds
from asyppo_cli.evaluation.heldout import HeldOut
from asyppo_cli.monitor import Monitor
from asyppo_cli.runs.files.disk import explain_failed_writes
from asyppo_cli.tasks.data.problems import load_problems
from asyppo_cli.tasks.data.prompts import render
from asyppo_cli.tasks.data.traces import TraceErrors, load_traces, worked_trace
from asyppo_cli.tasks.grading.pool import GraderPool
from asyppo_cli.training.seeds import derive_seed
from asyppo_cli.training.sft import Pair, train_sft
from asyppo_cli.types import PolicyOutputs, Problem

# Enough text for a tokenizer to see every merge that matters.
TOKENIZER_PROBLEMS = 2000

Source = Callable[[int], Sequence[tuple[Problem, str]]]


def warm_start(config: WarmstartConfig, output: Path, monitor: Monitor) -> dict[str, float]:
    """Train as the recipe says, write model and tokenizer to ``output``, and return its held-out scores."""
    output.mkdir(parents=True, exist_ok=True)
    set_threads(config.learner)
    set_trim_thresholds()
    torch.manual_seed(config.seed)
    source = trace_source(config)
    tokenizer = build_tokenizer(config, source)
    model = build_model(config, tokenizer)
    full = f"the model could not be written to {output}: make room, or choose another --output"
    with explain_failed_writes(output, full):
        tokenizer.save(output)
        model.config.save_pretrained(output)
        # The save at the end is tried before the training whose result it keeps.
        with TemporaryDirectory(dir=output, prefix=".rehearsal-") as scratch:
            model.save_pretrained(scratch)
    monitor.note(f"{parameter_count(model):,} weights, {len(tokenizer.inner)} tokens in the vocabulary")
    learner: TorchLearner[PolicyOutputs] = build_torch_learner(
        PolicyModel(model, config.sampler.temperature), config.learner, config.learner.policy, config.steps
    )

    def pairs_at(step: int) -> Sequence[Pair]:
        return [tokenize(tokenizer, config.task.system_prompt, problem, trace) for problem, trace in source(step)]

    monitor.start("warm start", config.steps, 0)
    try:
        train_sft(learner, pairs_at, config.steps, monitor)
    finally:
        # Also when stopped: what has been learnt so far is a model too.
        with explain_failed_writes(output, full):
            model.cpu().save_pretrained(output)
    return evaluate(config, model, tokenizer, monitor)


def trace_source(config: WarmstartConfig) -> Source:
    """Problems with worked traces for each optimizer step: from a file, or generated along the curriculum."""
    if config.traces is not None:
        pairs = load_traces(config.traces)

        def from_file(step: int) -> Sequence[tuple[Problem, str]]:
            rng = random.Random(derive_seed(config.seed, "traces", step))
            chosen = rng.choices(pairs, k=config.batch_size)
            return [(Problem(str(i), problem, ""), trace) for i, (problem, trace) in enumerate(chosen)]

        return from_file

    flaws = TraceErrors(config.no_steps_share, config.skipped_steps_share, config.wrong_line_share)
    stages = config.curriculum or [dict(config.task.params)]
    size = config.steps * config.batch_size
    tasks = [config.task.model_copy(update={"params": {**config.task.params, **s}, "size": size}) for s in stages]
    problems = [load_problems(task, config.seed, config.evaluation.problems)[0] for task in tasks]

    def generated(step: int) -> Sequence[tuple[Problem, str]]:
        rng = random.Random(derive_seed(config.seed, "traces", step))
        stage = problems[min(len(stages) - 1, step * len(stages) // config.steps)]
        rows = range(step * config.batch_size, (step + 1) * config.batch_size)
        return [(stage[row], worked_trace(stage[row], rng, flaws)) for row in rows]

    return generated


def build_tokenizer(config: WarmstartConfig, source: Source) -> HuggingFaceTokenizer:
    """The tokenizer of ``config.model``, or a new one trained on the traces' text."""
    if not config.train_tokenizer:
        return load_tokenizer(config.model, None, "model")
    steps = -(-TOKENIZER_PROBLEMS // config.batch_size)
    texts = [text for step in range(min(steps, config.steps)) for pair in source(step) for text in chat_texts(pair)]
    return train_tokenizer(texts, config.vocab_size, config.phrases)


def chat_texts(pair: tuple[Problem, str]) -> Sequence[str]:
    """What a conversation about a problem consists of, as text to learn merges from."""
    problem, trace = pair
    return ("system\n", "user\n", "assistant\n", problem.question, trace)


def build_model(config: WarmstartConfig, tokenizer: HuggingFaceTokenizer) -> Any:
    """A pretrained model to go on with, or a new one of the recipe's architecture."""
    match config.init:
        case "pretrained":
            check_context(config.model, None, "model", config.rollout)
            return load_policy(config.model, None, "model")
        case "architecture":
            return new_policy(config.architecture, tokenizer)


def tokenize(tokenizer: HuggingFaceTokenizer, system_prompt: str, problem: Problem, trace: str) -> Pair:
    """Prompt and response token ids of one worked trace, end of text included."""
    prompt = render(tokenizer, system_prompt, problem)
    return prompt.tokens, [*tokenizer.encode(trace), tokenizer.eos_token_id]


def evaluate(
    config: WarmstartConfig, model: Any, tokenizer: HuggingFaceTokenizer, monitor: Monitor
) -> dict[str, float]:
    """Held-out scores of the finished model."""
    monitor.phase("evaluate")
    _, heldout = load_problems(config.task, config.seed, config.evaluation.problems)
    params = sampling_params(
        config.sampler,
        config.rollout.response_length,
        config.evaluation.temperature,
        derive_seed(config.seed, "evaluate", 0),
    )
    sampler = transformers_sampler(config.sampler, model, tokenizer, pick_device(config.learner))
    to_prompt = partial(render, tokenizer, config.task.system_prompt)
    with GraderPool(config.grading.workers, config.grading.deadline) as grader:
        prompts = [to_prompt(problem) for problem in heldout]
        rows, samples = config.sampler.batch_size, config.evaluation.samples
        return HeldOut(prompts, samples, params, rows, sampler, grader, tokenizer).evaluate()
