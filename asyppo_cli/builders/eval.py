"""From the words and options of ``asyppo eval`` to evaluations that are checked and ready to run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeVar

from asyppo_cli.builders.eval_engines import EvaluationEngine, open_engine, scoring_engine
from asyppo_cli.builders.eval_models import KEY, ScoredModel
from asyppo_cli.builders.samplers import greedy
from asyppo_cli.config.load import load
from asyppo_cli.engines.hf.models import read_model_config
from asyppo_cli.engines.hf.tokenizer import HuggingFaceTokenizer, load_tokenizer
from asyppo_cli.engines.openai_protocol import RequestSettings, SampleRequest, Server, ServerResponse
from asyppo_cli.engines.openai_server import ServerSampler
from asyppo_cli.evaluation.benchmarks import LoadedBenchmark, expand, load_benchmark
from asyppo_cli.evaluation.sampling import Note, PromptSet, SampleRange, SampleSource, ignore
from asyppo_cli.evaluation.session import Evaluation
from asyppo_cli.runs.evaluations import EvaluationDirectory, FailedSample, Sample, digest, folder_name
from asyppo_cli.tasks.data.procedural import HELDOUT_SEED, available_heldout, task_names
from asyppo_cli.tasks.data.prompts import render
from asyppo_cli.tasks.grading.pool import GraderPool
from asyppo_cli.training.seeds import derive_seed
from asyppo_cli.types import Problem, SamplingParams

EngineName = Literal["auto", "transformers", "vllm"]
T = TypeVar("T")


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of the command; None: the run's own value, or the paper's for a model without a run."""

    samples: int = 4
    limit: int | None = None
    data_dir: Path | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    system_prompt: str | None = None
    engine: EngineName | None = None
    seed: int = 0
    name: str | None = None
    unfinished: bool = False


@dataclass(frozen=True)
class SamplingSettings:
    """How responses are drawn."""

    system_prompt: str
    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    seed: int

    def params(self) -> SamplingParams:
        """The engines' form; the seed is that of a run's own held-out evaluation."""
        seed = derive_seed(self.seed, "evaluate", 0)
        return greedy(SamplingParams(self.max_tokens, self.temperature, self.top_p, self.top_k, seed))


@dataclass
class ModelEvaluation:
    """A model with its evaluations, which share the engine that is opened at first need and closed with it."""

    model: ScoredModel
    evaluations: list[Evaluation]
    notes: list[str]
    closers: list[Callable[[], None]] = field(default_factory=list)

    def close(self) -> None:
        """Release the engine, if it was opened."""
        while self.closers:
            self.closers.pop()()


def prepare(words: Sequence[str], models: Sequence[ScoredModel], options: EvaluationOptions) -> list[ModelEvaluation]:
    """Every model with every benchmark, checked; no weights are loaded yet.

    Raises:
        ValueError: an unknown benchmark, an unusable file or model, a response longer than the context.
    """
    benchmarks = load_benchmarks(words, models, options)
    return [model_evaluation(model, benchmarks, options) for model in models]


def load_benchmarks(
    words: Sequence[str], models: Sequence[ScoredModel], options: EvaluationOptions
) -> list[LoadedBenchmark]:
    """Problems of all benchmarks; a task that a model was trained on has the parameters of that training."""
    found = []
    for name in expand(words):
        trained = [model for model in models if _trained_on(model, name)]
        own = [dict(model.config.task.params) for model in trained]
        if any(params != own[0] for params in own):
            labels = " and ".join(model.label for model in trained)
            raise ValueError(f"{name}: {labels} were trained on it with different task.params: evaluate them apart")
        if not own:
            found.append(load_benchmark(name, options.data_dir, options.limit))
        else:
            found.append(own_benchmark(name, own[0], options.limit or trained[0].config.evaluation.problems))
    return found


def own_benchmark(task: str, params: Mapping[str, Any], count: int) -> LoadedBenchmark:
    """The held-out problems of a run, as in training."""
    problems = available_heldout(task, params, count)
    shown = ", ".join(f"{name} {value}" for name, value in params.items()) or "default parameters"
    source = f"reasoning-gym {task} ({shown}), held-out seed {HELDOUT_SEED}"
    return LoadedBenchmark(task, problems, source, version("reasoning-gym"), "")


def model_evaluation(
    model: ScoredModel, benchmarks: Sequence[LoadedBenchmark], options: EvaluationOptions
) -> ModelEvaluation:
    """A model with all its evaluations, checked."""
    if model.server is not None:
        return server_evaluation(model, model.server, benchmarks, options)
    tokenizer = load_tokenizer(model.place, model.revision, KEY)
    text_config = read_model_config(model.place, model.revision, KEY).get_text_config()
    context = getattr(text_config, "max_position_embeddings", None)
    engine = scoring_engine(model, options.engine)
    found = ModelEvaluation(model, [], [model.note] if model.note else [])
    sampling = sampling_settings(model, options, context, found.notes)
    opened = _LazyEngine(lambda longest: open_engine(engine, model, tokenizer, longest, sampling.max_tokens), found)
    settings = {**engine.settings(), "chat_template": template_digest(tokenizer)}
    for benchmark in benchmarks:
        tokens = {p.id: render(tokenizer, sampling.system_prompt, p).tokens for p in benchmark.problems}
        prompts = PromptSet(tokens, sampling.max_tokens, context)
        opened.longest = max(opened.longest, prompts.longest())
        evaluation = _evaluation(
            model,
            benchmark,
            options,
            sampling,
            settings,
            open_source=_opening(opened, prompts, sampling.params()),
            prompt_text=_decoding(tokenizer, tokens),
        )
        found.evaluations.append(evaluation)
    return found


def server_evaluation(
    model: ScoredModel, server: Server, benchmarks: Sequence[LoadedBenchmark], options: EvaluationOptions
) -> ModelEvaluation:
    """The same for a model behind a server, whose tokenizer and chat template are unknown."""
    found = ModelEvaluation(model, [], [])
    sampling = sampling_settings(model, options, server.context, found.notes)
    request = RequestSettings(**vars(sampling))
    settings = {"engine": f"server {server.api}", "chat_template": "the server's"}
    for benchmark in benchmarks:
        evaluation = _evaluation(
            model,
            benchmark,
            options,
            sampling,
            settings,
            open_source=lambda: ServerSource(server, request),
            prompt_text=lambda problem: json.dumps(request.prompt(server.api, problem), ensure_ascii=False),
        )
        found.evaluations.append(evaluation)
    return found


def sampling_settings(
    model: ScoredModel, options: EvaluationOptions, context: int | None, notes: list[str]
) -> SamplingSettings:
    """Options, else the configuration's values.

    The longest response depends on the model alone: by default it leaves the context room for a prompt as long as the
    configuration allows (at most half). A longer prompt shortens only the responses to its own problem.

    Raises:
        ValueError: ``--max-tokens`` leaves no room for a prompt.
    """
    config = model.config
    wanted = options.max_tokens or config.rollout.response_length
    if context is not None and options.max_tokens is None:
        room = context - min(config.rollout.prompt_length, context // 2)
        if wanted > room:
            notes.append(
                f"{model.label}: responses of at most {room} tokens instead of {wanted}: its context is {context}"
            )
        wanted = min(wanted, room)
    if context is not None and wanted >= context:
        raise ValueError(
            f"{KEY} {model.label} has a context of {context} tokens: --max-tokens {wanted} leaves no room for a prompt"
        )
    return SamplingSettings(
        system_prompt=_first(options.system_prompt, config.task.system_prompt),
        temperature=_first(options.temperature, config.evaluation.temperature),
        top_p=_first(options.top_p, config.sampler.top_p),
        top_k=_first(options.top_k, config.sampler.top_k),
        max_tokens=wanted,
        seed=options.seed,
    )


def template_digest(tokenizer: HuggingFaceTokenizer) -> str:
    """A hash of the chat template; ``none`` for a base model without one."""
    template = tokenizer.inner.chat_template
    return "none" if template is None else hashlib.sha256(str(template).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ServerSource:
    """A :class:`~asyppo_cli.evaluation.sampling.SampleSource` around a server: one part a response."""

    server: Server
    settings: RequestSettings

    def draw(self, wanted: Sequence[SampleRange], note: Note = ignore) -> Iterator[list[Sample | FailedSample]]:
        """Sample by sample, as they arrive."""
        requests = [SampleRequest(want.problem, number) for want in wanted for number in range(want.start, want.stop)]
        sampler = ServerSampler(self.server, self.settings, note=note)
        try:
            for answer in sampler.ask(requests):
                name, number = answer.request.problem.id, answer.request.sample
                if isinstance(answer, ServerResponse):
                    yield [Sample(name, number, answer.text, answer.length, answer.truncated)]
                else:
                    yield [FailedSample(name, number, answer.reason)]
        finally:
            sampler.close()


class _LazyEngine:
    """Opens the engine at first need, once for all evaluations of a model.

    ``longest`` is the largest number of tokens of a prompt and its response in any of them.
    """

    def __init__(self, opening: Callable[[int], EvaluationEngine], owner: ModelEvaluation) -> None:
        self._opening, self._owner = opening, owner
        self._engine: EvaluationEngine | None = None
        self.longest = 0

    def __call__(self) -> EvaluationEngine:
        if self._engine is None:
            self._engine = self._opening(self.longest)
            self._owner.closers.append(self._engine.close)
        return self._engine


def _opening(
    opened: Callable[[], EvaluationEngine], prompts: PromptSet, params: SamplingParams
) -> Callable[[], SampleSource]:
    return lambda: opened().source(prompts, params)


def _decoding(tokenizer: HuggingFaceTokenizer, tokens: Mapping[str, Sequence[int]]) -> Callable[[Problem], str]:
    return lambda problem: str(tokenizer.inner.decode(list(tokens[problem.id])))


def _evaluation(
    model: ScoredModel,
    benchmark: LoadedBenchmark,
    options: EvaluationOptions,
    sampling: SamplingSettings,
    engine: Mapping[str, Any],
    *,
    open_source: Callable[[], SampleSource],
    prompt_text: Callable[[Problem], str],
) -> Evaluation:
    settings = {**_benchmark_settings(benchmark), "model": model.label, "weights": model.weights}
    settings |= {**engine, **vars(sampling), "revision": model.revision}
    label = f"t{sampling.temperature:g}-{sampling.max_tokens}-{digest(settings)}"
    folder = model.results / folder_name(Path(benchmark.name).name) / (options.name or label)
    about = {"source": benchmark.source, "place": model.place}
    return Evaluation(
        EvaluationDirectory(folder),
        f"{benchmark.name}  {model.label}",
        benchmark.problems,
        options.samples,
        settings,
        about,
        open_source,
        prompt_text,
        options.unfinished,
    )


def _benchmark_settings(benchmark: LoadedBenchmark) -> dict[str, Any]:
    """The identity of the problems, independent of a limit: how they are generated, or a hash of their contents."""
    generated = benchmark.source.startswith("reasoning-gym ")
    identity = {"benchmark_made_by": benchmark.source} if generated else {"benchmark_sha256": benchmark.sha256}
    return {"benchmark": benchmark.name, "benchmark_revision": benchmark.revision, **identity}


def _trained_on(model: ScoredModel, name: str) -> bool:
    task = model.config.task
    return model.own and task.source == "reasoning_gym" and task.name == name and name in task_names()


def _first(given: T | None, otherwise: T) -> T:
    return otherwise if given is None else given


def build_pool() -> GraderPool:
    """A grader with the default configuration's settings. It holds processes: close it."""
    grading = load([]).config.grading
    return GraderPool(grading.workers, grading.deadline)
