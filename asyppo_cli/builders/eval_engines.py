"""The engine that draws a model's samples for an evaluation, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch

from asyppo_cli.builders.device import pick_device, set_threads
from asyppo_cli.builders.eval_models import KEY, ScoredModel
from asyppo_cli.builders.samplers import choose_engine, saved_end_tokens, transformers_sampler
from asyppo_cli.engines.hf.models import load_policy, read_model_config
from asyppo_cli.engines.hf.tokenizer import HuggingFaceTokenizer
from asyppo_cli.engines.vllm.install import explain
from asyppo_cli.engines.vllm.sampler import check_vllm, make_plan, pick_dtype
from asyppo_cli.engines.vllm.stream import StreamRequest, VllmStream
from asyppo_cli.evaluation.sampling import BatchedSource, SampleRange, SampleSource
from asyppo_cli.ports import Sampler
from asyppo_cli.runs.environment import package_versions
from asyppo_cli.runs.evaluations import Sample
from asyppo_cli.types import Problem, SamplingParams

# Responses that transformers draws at once of a model of unknown size: more could fill the memory.
CAUTIOUS_ROWS = 64

Tokens = Callable[[Problem], Sequence[int]]


class EvaluationEngine(Protocol):
    """A loaded model, for as many evaluations as there are."""

    def source(self, tokens: Tokens, params: SamplingParams) -> SampleSource:
        """What draws samples of prompts, given as token ids."""
        ...

    def close(self) -> None:
        """Release processes and memory."""
        ...


@dataclass(frozen=True)
class EngineChoice:
    """Which engine, and as what it is written down beside a score."""

    name: Literal["transformers", "vllm"]
    dtype: str

    def settings(self) -> dict[str, str]:
        """Name, version and precision."""
        versions = package_versions([self.name, f"{self.name}-cpu"])
        shown = [f"{package} {version}" for package, version in versions.items()] or [self.name]
        return {"engine": " ".join(shown), "dtype": self.dtype}


def scoring_engine(model: ScoredModel, asked: Literal["auto", "transformers", "vllm"] | None) -> EngineChoice:
    """The engine asked for, else the run's own; auto: vLLM where it is installed, transformers for embedded models.

    Raises:
        ValueError: vLLM is asked for, and is missing or known not to serve this model.
    """
    # A run's checkpoint is sampled as its run was, whose model may be an embedded one.
    policy = model.config.policy if model.own else None
    name, _ = choose_engine(
        asked or model.config.sampler.engine,
        model.place if policy is None else policy.model,
        model.revision if policy is None else policy.revision,
    )
    if name == "transformers":
        return EngineChoice(name, "float32")
    config = read_model_config(model.place, model.revision, KEY)
    check_vllm(model.place, KEY, config)
    cuda = torch.cuda.is_available()
    return EngineChoice(name, pick_dtype(model.config.sampler.vllm.dtype, cuda, str(getattr(config, "dtype", None))))


def open_engine(
    choice: EngineChoice, model: ScoredModel, tokenizer: HuggingFaceTokenizer, longest: int
) -> EvaluationEngine:
    """Load the model; ``longest`` is the most tokens of a prompt and its response."""
    match choice.name:
        case "transformers":
            return open_transformers(model, tokenizer)
        case "vllm":
            return open_vllm(model, tokenizer, choice.dtype, longest)


def open_transformers(model: ScoredModel, tokenizer: HuggingFaceTokenizer) -> BatchedEngine:
    """Batched transformers, in this process."""
    config = model.config
    set_threads(config.learner)
    loaded: Any = load_policy(model.place, model.revision, KEY)
    sampler = transformers_sampler(config.sampler, loaded, tokenizer, pick_device(config.learner))
    rows = config.sampler.batch_size if model.own else CAUTIOUS_ROWS
    return BatchedEngine(sampler, tokenizer, rows)


@dataclass(frozen=True)
class BatchedEngine:
    """An :class:`EvaluationEngine` around any sampler."""

    sampler: Sampler
    tokenizer: HuggingFaceTokenizer
    rows: int

    def source(self, tokens: Tokens, params: SamplingParams) -> SampleSource:
        """Batch by batch."""
        return BatchedSource(self.sampler, self.tokenizer, tokens, params, self.rows)

    def close(self) -> None:
        """Close the sampler."""
        self.sampler.close()


def open_vllm(model: ScoredModel, tokenizer: HuggingFaceTokenizer, dtype: str, longest: int) -> StreamingEngine:
    """vLLM, in this process; ValueError, in one line, if it cannot start."""
    ends = saved_end_tokens(model.place, model.revision, KEY, tokenizer)
    settings = model.config.sampler.vllm.model_copy(update={"dtype": dtype, "sleep": False, "sync": "shared_memory"})
    plan = make_plan(model.place, model.revision, ends, longest, settings, dtype)
    try:
        return StreamingEngine(VllmStream(plan, "ERROR"), tokenizer)
    except Exception as error:
        # Broad on purpose: vLLM, torch and a stranger's model decide what is raised.
        raise ValueError(explain(f"{type(error).__name__}: {error}", model.place)) from error


@dataclass(frozen=True)
class StreamingEngine:
    """An :class:`EvaluationEngine` around vLLM."""

    stream: VllmStream
    tokenizer: HuggingFaceTokenizer

    def source(self, tokens: Tokens, params: SamplingParams) -> SampleSource:
        """Response by response."""
        return StreamingSource(self.stream, self.tokenizer, tokens, params)

    def close(self) -> None:
        """End vLLM's processes."""
        self.stream.close()


@dataclass(frozen=True)
class StreamingSource:
    """A :class:`~asyppo_cli.evaluation.sampling.SampleSource` around vLLM: a part for every response."""

    stream: VllmStream
    tokenizer: HuggingFaceTokenizer
    tokens: Tokens
    params: SamplingParams

    def draw(self, wanted: Sequence[SampleRange]) -> Iterator[list[Sample]]:
        """Response by response, as they finish."""
        problems = {want.position: want.problem for want in wanted}
        requests = [
            StreamRequest(self.tokens(want.problem), want.position, number)
            for want in wanted
            for number in range(want.start, want.stop)
        ]
        for request, response in self.stream.stream(requests, self.params):
            text = self.tokenizer.decode(response.tokens)
            name = problems[request.position].id
            yield [Sample(name, request.sample, text, len(response.tokens), response.truncated)]
