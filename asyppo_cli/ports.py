"""The protocols between the training loop and the engines behind it.

The loop knows nothing but these. A learner on eight devices is the same :class:`Learner`; M critics are M learners in
a list. Losses are pure, picklable callables that are handed to the engine, so that they can travel to other processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor

from asyppo_cli.runs.records import RecordTexts
from asyppo_cli.types import (
    LossTerms,
    Problem,
    Response,
    SamplingParams,
    Sequences,
    StepReport,
    TensorRecord,
    Verdict,
)

Outputs = TypeVar("Outputs", bound=TensorRecord, covariant=True)
Targets = TypeVar("Targets", bound=TensorRecord)
Weights = Iterable[tuple[str, Tensor]]


class Sampler(Protocol):
    """Generates responses with some version of the policy's weights."""

    def sample(self, prompts: Sequence[Sequence[int]], n: int, params: SamplingParams) -> list[list[Response]]:
        """Draw ``n`` responses to each prompt (token ids); one list a prompt, in order."""
        ...

    def load_weights(self, weights: Weights) -> None:
        """Take over the policy's weights; the next :meth:`sample` uses them."""
        ...

    def close(self) -> None:
        """Release processes and memory."""
        ...


class Learner(Protocol[Outputs]):
    """A model that is trained: the policy (``PolicyOutputs``), or a critic (``ValueOutputs``)."""

    def forward(self, batch: Sequences) -> Outputs:
        """Outputs at every response token, without gradient."""
        ...

    def forward_backward(
        self, batch: Sequences, targets: Targets, loss: Callable[[Outputs, Targets], LossTerms]
    ) -> tuple[Outputs, Mapping[str, float]]:
        """Accumulate the gradient of the loss; returns this pass's outputs and the summed terms, ``loss`` among them.

        The gradient does not depend on how the engine splits the batch. A loss that is not finite raises
        :class:`NonFiniteLoss` before any weight has changed.
        """
        ...

    def optimizer_step(self) -> StepReport:
        """Clip, step, schedule, and clear the gradient."""
        ...

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Names (Hugging Face's) and weights of the model."""
        ...

    def save(self, directory: Path) -> None:
        """Write the model in Hugging Face form and the state of the optimizer into ``directory``."""
        ...

    def load(self, directory: Path) -> None:
        """Take back what :meth:`save` wrote, exactly."""
        ...

    def close(self) -> None:
        """Release processes and memory."""
        ...


class Grader(Protocol):
    """Judges many responses at once."""

    def grade(self, problems: Sequence[Problem], texts: Sequence[str]) -> list[Verdict]:
        """One verdict for each problem and the response text to it, in order."""
        ...

    def close(self) -> None:
        """End worker processes."""
        ...


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that is used here."""

    eos_token_id: int
    pad_token_id: int

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens added."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        ...

    def chat(self, system: str, user: str) -> list[int]:
        """Token ids of a conversation up to where the assistant begins."""
        ...


class Journal(Protocol):
    """Where a run is written down (the run directory)."""

    def metrics(self, row: Mapping[str, float]) -> None:
        """Add one row of metrics."""
        ...

    def records(self, step: int, columns: Mapping[str, Any], texts: RecordTexts) -> None:
        """Write the token records of a step."""
        ...

    def probes(self, step: int, columns: Mapping[str, Any], texts: RecordTexts) -> None:
        """Write the token records of the probes after a step."""
        ...

    def samples(self, step: int, rows: list[dict[str, Any]]) -> None:
        """Write readable samples of a step."""
        ...

    def timeline(self, step: int, spans: Sequence[Any]) -> None:
        """Write when each phase of a step began and ended (``track``, ``phase``, ``start``, ``end``)."""
        ...

    def checkpoint(self, step: int, fill: Callable[[Path], str | None], metric: float | None) -> None:
        """Write a checkpoint: ``fill`` puts files into the folder it is given, and returns what is wrong with them."""
        ...

    def failure(self, step: int, tensors: Mapping[str, Any]) -> Path:
        """Keep a batch on which a step failed; returns where."""
        ...


class NonFiniteLoss(RuntimeError):
    """A loss or gradient that is NaN or infinite."""


class WorkerLost(RuntimeError):
    """A process of a role died, hung, ran out of memory or failed; says which, and what it was doing."""
