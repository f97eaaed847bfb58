"""Frozen records that are passed between the packages.

Shape legend: ``B`` responses in a batch, ``S`` tokens of the longest prompt + response, ``T`` tokens of the longest
response, ``M`` critics, ``G`` responses per prompt. Token tensors are ``[B, T]`` with response token ``t`` of row
``b`` at ``[b, t]``; entries past a row's length are padding, hold zero, and are never read.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

VerdictKind = Literal["right", "wrong", "unparseable", "unparseable_gold", "timed_out"]


@dataclass(frozen=True)
class Problem:
    """One question with its gold answer. ``entry`` is what the task's own verifier needs (JSON values only)."""

    id: str
    question: str
    answer: str
    entry: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Prompt:
    """A problem as the model sees it: chat template applied, tokenized."""

    problem: Problem
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class SamplingParams:
    """How tokens are drawn. ``seed`` fixes the draw entirely; ``top_k`` 0 and ``top_p`` 1 mean no restriction.

    ``offset`` is the place of the first prompt in the whole draw, where a sampler is given a share of it.
    """

    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int
    offset: int = 0


@dataclass(frozen=True)
class Response:
    """One sampled continuation, end-of-text token included unless ``truncated``.

    ``logprobs`` are those of the full softmax at the sampling temperature (what a trainer computes), one a token.
    Whatever numbers are given, both are kept as arrays of four bytes a number, int32 and float32: sixteen million
    Python numbers of a large step would take a gigabyte. Not to be written to.
    """

    tokens: Sequence[int]
    logprobs: Sequence[float]
    truncated: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", packed(self.tokens, "i"))
        object.__setattr__(self, "logprobs", packed(self.logprobs, "f"))

    def __hash__(self) -> int:
        return hash((*self.tokens, self.truncated))


def packed(numbers: Sequence[Any] | Tensor, code: Literal["i", "f"]) -> array[Any]:
    """Numbers as an array of int32 (``i``) or float32 (``f``)."""
    if isinstance(numbers, array) and numbers.typecode == code:
        return numbers
    if isinstance(numbers, Tensor):
        dtype = torch.int32 if code == "i" else torch.float32
        return array(code, numbers.to("cpu", dtype).contiguous().numpy().tobytes())
    return array(code, numbers)


def unpacked(numbers: Sequence[Any]) -> Tensor:
    """The numbers as a tensor; that of an array shares its memory, int32 or float32."""
    if not isinstance(numbers, array):
        return torch.tensor(numbers)
    dtype = torch.int32 if numbers.typecode == "i" else torch.float32
    return torch.frombuffer(numbers, dtype=dtype) if numbers else torch.empty(0, dtype=dtype)


@dataclass(frozen=True)
class Verdict:
    """What a grader says of one response; ``reward`` is 1.0 if right and 0.0 otherwise, or what a user's function
    gives: the weighted sum of its named ``components``, or 0 for the reason in ``failure``.

    ``reason`` says in words what was compared with what, as what kind, and how.
    """

    kind: VerdictKind
    reward: float
    extracted: str | None
    reason: str = ""
    components: Mapping[str, float] = dataclasses.field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True)
class TensorRecord:
    """Base of records whose fields are tensors ``[B]`` or ``[B, T]``, or None."""

    def rows(self, index: Tensor, width: int) -> Self:
        """The rows ``index``, token fields cut to ``width`` tokens."""

        def pick(value: Tensor | None) -> Tensor | None:
            if value is None:
                return None
            chosen = value.index_select(0, index)
            return chosen if chosen.ndim == 1 else chosen[:, :width]

        fields = dataclasses.fields(self)
        return type(self)(**{field.name: pick(getattr(self, field.name)) for field in fields})


@dataclass(frozen=True)
class Sequences:
    """Prompt + response, one a row, right-padded.

    ``tokens`` int64 ``[B, S]``; ``prompt_lengths`` and ``response_lengths`` int64 ``[B]``.
    """

    tokens: Tensor
    prompt_lengths: Tensor
    response_lengths: Tensor

    @staticmethod
    def join(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]) -> Sequences:
        """Pack prompts and their responses, given pairwise."""
        before, after = [len(p) for p in prompts], [len(r) for r in responses]
        width = max((p + r for p, r in zip(before, after, strict=True)), default=0)
        tokens = torch.zeros(len(before), width, dtype=torch.long)
        for row, prompt, response in zip(tokens, prompts, responses, strict=True):
            row[: len(prompt)] = unpacked(prompt)
            row[len(prompt) : len(prompt) + len(response)] = unpacked(response)
        return Sequences(tokens, torch.tensor(before), torch.tensor(after))

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths(self) -> Tensor:
        """Prompt + response tokens, int64 ``[B]``."""
        return self.prompt_lengths + self.response_lengths

    @property
    def response_mask(self) -> Tensor:
        """True at response tokens, bool ``[B, T]``."""
        width = max(self.response_lengths.tolist(), default=0)
        return torch.arange(width, device=self.response_lengths.device) < self.response_lengths[:, None]

    def rows(self, index: Tensor) -> Sequences:
        """The rows ``index``, cut to their longest; there may be none."""
        lengths = self.lengths[index]
        return Sequences(
            self.tokens.index_select(0, index)[:, : max(lengths.tolist(), default=0)],
            self.prompt_lengths[index],
            self.response_lengths[index],
        )


@dataclass(frozen=True)
class PolicyOutputs(TensorRecord):
    """What the policy says of each response token, ``[B, T]`` float32.

    ``logprobs`` log pi(o_t | s_t); ``entropy`` H(pi(. | s_t)) in nats; ``others_squared`` the sum of
    pi(v | s_t)^2 over all v but o_t, from which the gradient's norm follows without the distribution itself.
    """

    logprobs: Tensor
    entropy: Tensor
    others_squared: Tensor


@dataclass(frozen=True)
class ValueOutputs(TensorRecord):
    """A critic's value of the prefix before each response token, ``[B, T]`` float32."""

    values: Tensor


@dataclass(frozen=True)
class PolicyTargets(TensorRecord):
    """All that the policy's loss needs besides the policy's own outputs; ``[B, T]`` unless said otherwise.

    ``weights`` spread the loss over tokens (under a mean they sum to 1 over the batch), so that the sum over
    any split into micro-batches is the same; ``nll_weights`` do so for the likelihood of correct responses.
    ``old_logprobs`` None: this pass itself is the old policy. ``sampler_logprobs`` are given where the loss is to be
    weighed against the sampler's probabilities.
    """

    mask: Tensor
    weights: Tensor
    advantages: Tensor
    advantage_kept: Tensor
    entropy_kept: Tensor
    old_logprobs: Tensor | None = None
    sampler_logprobs: Tensor | None = None
    reference_logprobs: Tensor | None = None
    nll_weights: Tensor | None = None


@dataclass(frozen=True)
class ValueTargets(TensorRecord):
    """What a critic learns towards, ``[B, T]``; ``weights`` as in :class:`PolicyTargets`."""

    mask: Tensor
    weights: Tensor
    returns: Tensor
    old_values: Tensor | None = None


@dataclass(frozen=True)
class LossTerms:
    """A loss as the sum over a (micro-)batch, and what to report of it: sums as well, so parts add up."""

    loss: Tensor
    sums: Mapping[str, Tensor]


@dataclass(frozen=True)
class StepReport:
    """One optimizer step: norm of the gradient before clipping, learning rate, and whether it was skipped."""

    grad_norm: float
    lr: float
    skipped: bool = False
