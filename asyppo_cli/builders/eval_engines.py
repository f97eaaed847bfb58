"""The engine that draws a model's samples for an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import torch

from asyppo_cli.builders.device import pick_device, set_threads
from asyppo_cli.builders.eval_models import KEY, ScoredModel
from asyppo_cli.builders.samplers import choose_engine, saved_end_tokens, transformers_sampler
from asyppo_cli.engines.hf.models import load_policy, read_model_config
from asyppo_cli.engines.hf.tokenizer import HuggingFaceTokenizer
from asyppo_cli.engines.vllm.install import explain
from asyppo_cli.engines.vllm.sampler import check_vllm, make_settings, pick_dtype
from asyppo_cli.engines.vllm.stream import StreamRequest, VllmStream
from asyppo_cli.evaluation.sampling import BatchedSource, Note, PromptSet, SampleRange, SampleSource, ignore
from asyppo_cli.ports import Sampler
from asyppo_cli.runs.environment import package_versions
from asyppo_cli.runs.evaluations import FailedSample, Sample
from asyppo_cli.types import SamplingParams

# Responses that transformers draws in one batch of a model without a run: more could fill the memory.
CAUTIOUS_ROWS = 64
# A batch is stored when all its responses are finished. So that an interruption costs about half a minute, it has
# no more rows than these rates (operations a second, of a small machine) allow; but a batch of few rows takes as long
# as one of a single row.
BATCH_SECONDS = 30
OPERATIONS = {"cpu": 5e10, "cuda": 2e13}
FEWEST_ROWS = 8


class EvaluationEngine(Protocol):
    """A loaded model, for any number of evaluations."""

    def source(self, prompts: PromptSet, params: SamplingParams) -> SampleSource:
        """The source of samples to prompts."""
        ...

    def close(self) -> None:
        """Release processes and memory."""
        ...


@dataclass(frozen=True)
class EngineChoice:
    """The engine, and how it is recorded beside a score."""

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
    choice: EngineChoice, model: ScoredModel, tokenizer: HuggingFaceTokenizer, longest: int, response: int
) -> EvaluationEngine:
    """Load the model; ``longest`` is the most tokens of a prompt and its response, ``response`` of a response."""
    match choice.name:
        case "transformers":
            return open_transformers(model, tokenizer, response)
        case "vllm":
            return open_vllm(model, tokenizer, choice.dtype, longest)


def open_transformers(model: ScoredModel, tokenizer: HuggingFaceTokenizer, response: int) -> BatchedEngine:
    """Batched transformers, in this process."""
    config = model.config
    set_threads(config.learner)
    loaded: Any = load_policy(model.place, model.revision, KEY)
    device = pick_device(config.learner)
    sampler = transformers_sampler(config.sampler, loaded, tokenizer, device)
    most = config.sampler.batch_size if model.own else CAUTIOUS_ROWS
    parameters = sum(parameter.numel() for parameter in loaded.parameters())
    return BatchedEngine(sampler, tokenizer, batch_rows(most, parameters, response, device.type))


def batch_rows(most: int, parameters: int, response: int, device: str) -> int:
    """Responses in a batch: at most ``most``, and as many as take about :data:`BATCH_SECONDS` at full length.

    A token takes two operations a parameter. The number depends on model, length and kind of device alone, so that
    an evaluation can be repeated.
    """
    affordable = int(BATCH_SECONDS * OPERATIONS.get(device, OPERATIONS["cpu"]) / (2 * parameters * response))
    return min(most, max(FEWEST_ROWS, affordable))


@dataclass(frozen=True)
class BatchedEngine:
    """An :class:`EvaluationEngine` around any sampler."""

    sampler: Sampler
    tokenizer: HuggingFaceTokenizer
    rows: int

    def source(self, prompts: PromptSet, params: SamplingParams) -> SampleSource:
        """Batch by batch."""
        return BatchedSource(self.sampler, self.tokenizer, prompts, params, self.rows)

    def close(self) -> None:
        """Close the sampler."""
        self.sampler.close()


def open_vllm(model: ScoredModel, tokenizer: HuggingFaceTokenizer, dtype: str, longest: int) -> StreamingEngine:
    """vLLM, in this process; a one-line ValueError if it cannot start."""
    ends = saved_end_tokens(model.place, model.revision, KEY, tokenizer)
    settings = model.config.sampler.vllm.model_copy(update={"dtype": dtype, "sleep": False, "sync": "shared_memory"})
    plan = make_settings(model.place, model.revision, ends, longest, settings, dtype)
    try:
        return StreamingEngine(VllmStream(plan, "ERROR"), tokenizer)
    except Exception as error:
        # Broad on purpose: vLLM, torch and the model's code raise anything.
        raise ValueError(explain(f"{type(error).__name__}: {error}", model.place)) from error


@dataclass(frozen=True)
class StreamingEngine:
    """An :class:`EvaluationEngine` around vLLM."""

    stream: VllmStream
    tokenizer: HuggingFaceTokenizer

    def source(self, prompts: PromptSet, params: SamplingParams) -> SampleSource:
        """Response by response."""
        return StreamingSource(self.stream, self.tokenizer, prompts, params)

    def close(self) -> None:
        """End vLLM's processes."""
        self.stream.close()


@dataclass(frozen=True)
class StreamingSource:
    """A :class:`~asyppo_cli.evaluation.sampling.SampleSource` around vLLM: one part a response."""

    stream: VllmStream
    tokenizer: HuggingFaceTokenizer
    prompts: PromptSet
    params: SamplingParams

    def draw(self, wanted: Sequence[SampleRange], note: Note = ignore) -> Iterator[list[Sample | FailedSample]]:
        """Response by response, as they finish."""
        yield [*self.prompts.too_long(wanted)]
        for limit, group in self.prompts.by_limit(wanted):
            yield from self._draw(group, replace(self.params, max_tokens=limit)) if limit else ()

    def _draw(self, wanted: Sequence[SampleRange], params: SamplingParams) -> Iterator[list[Sample | FailedSample]]:
        names = {want.position: want.problem.id for want in wanted}
        requests = [
            StreamRequest(self.prompts.tokens[want.problem.id], want.position, number)
            for want in wanted
            for number in range(want.start, want.stop)
        ]
        for request, response in self.stream.stream(requests, params):
            text = self.tokenizer.decode(response.tokens)
            yield [Sample(names[request.position], request.sample, text, len(response.tokens), response.truncated)]
