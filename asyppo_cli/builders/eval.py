"""From the words and options of ``asyppo eval`` to evaluations that are checked and ready to run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeVar

from asyppo_cli.builders.eval_engines import EvaluationEngine, open_engine, scoring_engine
from asyppo_cli.builders.eval_models import KEY, ScoredModel
from asyppo_cli.config.load import load
from asyppo_cli.engines.hf.models import read_model_config
from asyppo_cli.engines.hf.tokenizer import HuggingFaceTokenizer, load_tokenizer
from asyppo_cli.engines.openai_server import RequestSettings, SampleRequest, Server, ServerSampler
from asyppo_cli.evaluation.benchmarks import LoadedBenchmark, expand, is_file, load_benchmark
from asyppo_cli.evaluation.sampling import SampleRange, SampleSource
from asyppo_cli.evaluation.session import Evaluation
from asyppo_cli.runs.evaluations import EvaluationDirectory, Sample, digest, folder_name
from asyppo_cli.tasks.data.procedural import HELDOUT_SEED, available_heldout, task_names
from asyppo_cli.tasks.data.prompts import render
from asyppo_cli.tasks.grading.pool import GraderPool
from asyppo_cli.training.seeds import derive_seed
from asyppo_cli.types import SamplingParams

EngineName = Literal["auto", "transformers", "vllm"]
T = TypeVar("T")


@dataclass(frozen=True)
class EvaluationOptions:
    """What the user asked for; None: the run's own, or the paper's for a model that no run has made."""

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


@dataclass(frozen=True)
class SamplingSettings:
    """How responses are drawn, everything settled."""

    system_prompt: str
    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    seed: int

    def params(self) -> SamplingParams:
        """As engines take it; the seed is that of a run's own held-out evaluation."""
        seed = derive_seed(self.seed, "evaluate", 0)
        return SamplingParams(self.max_tokens, self.temperature, self.top_p, self.top_k, seed)


@dataclass
class ModelEvaluation:
    """A model with the evaluations it is to pass. What it opens is shared by them, and is closed with it."""

    model: ScoredModel
    evaluations: list[Evaluation]
    notes: list[str]
    closers: list[Callable[[], None]] = field(default_factory=list)

    def close(self) -> None:
        """Release the engine, if it was opened."""
        while self.closers:
            self.closers.pop()()


def prepare(words: Sequence[str], models: Sequence[ScoredModel], options: EvaluationOptions) -> list[ModelEvaluation]:
    """Every model with every benchmark, all checked; no weights are loaded yet.

    Raises:
        ValueError: an unknown benchmark, a file or model that cannot serve, prompts that do not fit.
    """
    benchmarks = load_benchmarks(words, models, options)
    return [model_evaluation(model, benchmarks, options) for model in models]


def load_benchmarks(
    words: Sequence[str], models: Sequence[ScoredModel], options: EvaluationOptions
) -> list[LoadedBenchmark]:
    """Problems of all benchmarks; a task that a model was trained on comes with the parameters of that training."""
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
    """The held-out problems of a run, as training evaluates them."""
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
    context = getattr(
        read_model_config(model.place, model.revision, KEY).get_text_config(), "max_position_embeddings", None
    )
    engine = scoring_engine(model, options.engine)
    found = ModelEvaluation(model, [], [model.note] if model.note else [])
    opened = _Once(lambda longest: open_engine(engine, model, tokenizer, longest), found)
    for benchmark in benchmarks:
        system_prompt = _system_prompt(model, options)
        prompts = {p.id: render(tokenizer, system_prompt, p).tokens for p in benchmark.problems}
        longest = max(prompts.values(), key=len)
        sampling = sampling_settings(model, options, context, len(longest), found.notes)
        opened.longest = max(opened.longest, len(longest) + sampling.max_tokens)
        settings = {**engine.settings(), "chat_template": template_digest(tokenizer)}
        found.evaluations.append(
            _evaluation(model, benchmark, options, sampling, settings, _drawing(opened, prompts, sampling))
        )
    return found


def server_evaluation(
    model: ScoredModel, server: Server, benchmarks: Sequence[LoadedBenchmark], options: EvaluationOptions
) -> ModelEvaluation:
    """The same for a model behind a server, which keeps tokenizer and chat template to itself."""
    found = ModelEvaluation(model, [], [])
    if server.context is not None and (options.max_tokens or 0) >= server.context:
        raise ValueError(
            f"{KEY} {model.label}: the server's context is {server.context} tokens, so --max-tokens "
            f"{options.max_tokens} leaves no room for a prompt"
        )
    # How long prompts are, only the server knows: room is left for them where nobody says how long responses may be.
    room = 1 if options.max_tokens else min(model.config.rollout.prompt_length, (server.context or 0) // 2)
    for benchmark in benchmarks:
        sampling = sampling_settings(model, options, server.context, room, found.notes)
        settings = {"engine": f"server {server.api}", "chat_template": "the server's"}
        source = _server_source(server, sampling, found)
        found.evaluations.append(_evaluation(model, benchmark, options, sampling, settings, source))
    return found


def sampling_settings(
    model: ScoredModel, options: EvaluationOptions, context: int | None, longest: int, notes: list[str]
) -> SamplingSettings:
    """Options, else the configuration's values; the response as long as the context allows where nobody says.

    Raises:
        ValueError: the prompt and as long a response as is asked for do not fit.
    """
    config = model.config
    room = None if context is None else context - longest
    wanted = options.max_tokens or config.rollout.response_length
    if room is not None and wanted > room:
        if options.max_tokens is not None or room < 1:
            raise ValueError(
                f"{KEY} {model.label} attends to {context} tokens, but the longest prompt has {longest} and "
                f"--max-tokens is {wanted}: at most {max(room, 0)} are left for a response"
            )
        notes.append(f"{model.label}: its context leaves {room} tokens for a response instead of {wanted}")
        wanted = room
    return SamplingSettings(
        system_prompt=_system_prompt(model, options),
        temperature=_first(options.temperature, config.evaluation.temperature),
        top_p=_first(options.top_p, config.sampler.top_p),
        top_k=_first(options.top_k, config.sampler.top_k),
        max_tokens=wanted,
        seed=options.seed,
    )


def template_digest(tokenizer: HuggingFaceTokenizer) -> str:
    """What tells a chat template from any other; ``none`` for a base model without one."""
    template = tokenizer.inner.chat_template
    return "none" if template is None else hashlib.sha256(str(template).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ServerSource:
    """A :class:`~asyppo_cli.evaluation.sampling.SampleSource` around a server: a part for every answer."""

    sampler: ServerSampler

    def draw(self, wanted: Sequence[SampleRange]) -> Iterator[list[Sample]]:
        """Sample by sample, as they come."""
        questions = [SampleRequest(want.problem, number) for want in wanted for number in range(want.start, want.stop)]
        for answer in self.sampler.ask(questions):
            question = answer.question
            yield [Sample(question.problem.id, question.sample, answer.text, answer.length, answer.truncated)]


class _Once:
    """Opens the engine at first need, once for all evaluations of a model.

    ``longest`` is the most tokens of a prompt with its response in any of them.
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


def _drawing(
    opened: Callable[[], EvaluationEngine], prompts: Mapping[str, Sequence[int]], sampling: SamplingSettings
) -> Callable[[], SampleSource]:
    return lambda: opened().source(lambda problem: prompts[problem.id], sampling.params())


def _server_source(server: Server, sampling: SamplingSettings, owner: ModelEvaluation) -> Callable[[], SampleSource]:
    def opening() -> SampleSource:
        request = RequestSettings(**vars(sampling))
        sampler = ServerSampler(server, request)
        owner.closers.append(sampler.close)
        return ServerSource(sampler)

    return opening


def _evaluation(
    model: ScoredModel,
    benchmark: LoadedBenchmark,
    options: EvaluationOptions,
    sampling: SamplingSettings,
    engine: Mapping[str, Any],
    open_source: Callable[[], SampleSource],
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
    )


def _benchmark_settings(benchmark: LoadedBenchmark) -> dict[str, Any]:
    """What identifies the problems whatever the limit: generated ones by how they are made, others by contents."""
    generated = benchmark.source.startswith("reasoning-gym ")
    identity = {"benchmark_made_by": benchmark.source} if generated else {"benchmark_sha256": benchmark.sha256}
    return {"benchmark": benchmark.name, "benchmark_revision": benchmark.revision, **identity}


def _trained_on(model: ScoredModel, name: str) -> bool:
    task = model.config.task
    return model.own and task.source == "reasoning_gym" and task.name == name and not is_file(name) and _is_task(name)


def _is_task(name: str) -> bool:
    return name in task_names()


def _system_prompt(model: ScoredModel, options: EvaluationOptions) -> str:
    return _first(options.system_prompt, model.config.task.system_prompt)


def _first(given: T | None, otherwise: T) -> T:
    return otherwise if given is None else given


def build_pool() -> GraderPool:
    """The pool that judges answers, as the default configuration has it. It holds processes: close it."""
    grading = load([]).config.grading
    return GraderPool(grading.workers, grading.deadline)
