"""Sampling from any Hugging Face model in this process: one batched loop over a key/value cache.

A group's prompt is computed once for all its responses, and rows that have finished leave the batch.
Shapes: ``P`` prompts, ``R`` responses still running, ``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from asyppo_cli.engines.hf.kv_cache import growing_cache
from asyppo_cli.types import Response, SamplingParams, packed

# Finished rows cost as much as running ones, and dropping them costs a copy of the cache: drop once a quarter is done.
KEEP_SHARE = 0.75


class TransformersSampler:
    """Generates with its own copy of a model. Implements :class:`~asyppo_cli.ports.Sampler`."""

    def __init__(self, model: Any, *, eos_token_ids: Sequence[int], batch_size: int, device: torch.device) -> None:
        self._model = model.to(device)
        self._device = device
        self._eos = torch.tensor(list(eos_token_ids))
        self._batch_size = batch_size

    @torch.inference_mode()
    def sample(self, prompts: Sequence[Sequence[int]], n: int, params: SamplingParams) -> list[list[Response]]:
        """Draw ``n`` responses to each prompt; one list a prompt, in order.

        What is generated at once has a seed of its own, that of its first prompt's place in the whole draw.
        """
        per_round = max(1, self._batch_size // n)
        drawn: list[list[Response]] = []
        for start in range(0, len(prompts), per_round):
            chunk = prompts[start : start + per_round]
            generator = torch.Generator(self._device).manual_seed(params.seed + params.offset + start)
            flat = self._generate(chunk, n, params, generator)
            drawn.extend(flat[i * n : (i + 1) * n] for i in range(len(chunk)))
        return drawn

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Copy new weights over the old; every weight must be given."""
        own = dict(self._model.named_parameters())
        given = dict(weights)
        if own.keys() != given.keys():
            raise ValueError(f"the new weights are of another model: {sorted(own.keys() ^ given.keys())[:3]} differ")
        with torch.no_grad():
            for name, tensor in given.items():
                own[name].copy_(tensor)

    def close(self) -> None:
        """Nothing outside this process is held."""

    def _generate(
        self, prompts: Sequence[Sequence[int]], n: int, params: SamplingParams, generator: torch.Generator
    ) -> list[Response]:
        """The loop: prompts once, then token by token for the rows that still run."""
        tokens, mask = left_pad(prompts)
        cache = growing_cache(self._model.config)
        logits = self._forward(tokens, mask, cache)
        cache.batch_repeat_interleave(n)
        logits, mask = logits.repeat_interleave(n, 0), mask.repeat_interleave(n, 0)
        running = Running.start(len(logits), params.max_tokens)
        for position in range(params.max_tokens):
            drawn, logprobs = draw(logits, params, generator)
            running.write(position, drawn, logprobs, torch.isin(drawn, self._eos))
            if position + 1 == params.max_tokens or not running.alive.any():
                break
            if running.alive.float().mean() < KEEP_SHARE:
                kept = running.drop_finished()
                cache.batch_select_indices(kept.to(self._device))
                drawn, mask = drawn[kept], mask[kept]
            mask = torch.nn.functional.pad(mask, (0, 1), value=1)
            logits = self._forward(drawn[:, None], mask, cache)
        return running.responses()

    def _forward(self, tokens: Tensor, mask: Tensor, cache: Any) -> Tensor:
        """Logits ``[R, V]`` after the last token of every row."""
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        output = self._model(
            input_ids=tokens.to(self._device),
            attention_mask=mask.to(self._device),
            position_ids=positions.to(self._device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1].float()
        return logits


@dataclass
class Running:
    """What has been drawn so far. ``rows`` says which response each row of the shrinking batch belongs to.

    ``tokens`` and ``logprobs`` are ``[responses, max_tokens]``; ``lengths`` counts what is valid of them.
    """

    tokens: Tensor
    logprobs: Tensor
    lengths: Tensor
    rows: Tensor
    alive: Tensor

    @staticmethod
    def start(count: int, max_tokens: int) -> Running:
        """Nothing drawn yet, every row alive."""
        return Running(
            torch.zeros(count, max_tokens, dtype=torch.long),
            torch.zeros(count, max_tokens),
            torch.zeros(count, dtype=torch.long),
            torch.arange(count),
            torch.ones(count, dtype=torch.bool),
        )

    def write(self, position: int, drawn: Tensor, logprobs: Tensor, ended: Tensor) -> None:
        """Add one token to every live row; what a finished row still draws is outside its length."""
        self.tokens[self.rows, position] = drawn
        self.logprobs[self.rows, position] = logprobs
        self.lengths[self.rows[self.alive]] = position + 1
        self.alive = self.alive & ~ended

    def drop_finished(self) -> Tensor:
        """Take finished rows out of the batch; returns the places of those that stay."""
        kept = self.alive.nonzero()[:, 0]
        self.rows, self.alive = self.rows[kept], self.alive[kept]
        return kept

    def responses(self) -> list[Response]:
        """All rows as records; those still alive were cut by the limit."""
        cut = torch.zeros(len(self.tokens), dtype=torch.bool)
        cut[self.rows[self.alive]] = True
        rows = zip(self.tokens, self.logprobs, self.lengths.tolist(), cut.tolist(), strict=True)
        return [
            Response(packed(tokens[:length], "i"), packed(logprobs[:length], "f"), truncated)
            for tokens, logprobs, length, truncated in rows
        ]


def left_pad(prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Prompts as one tensor that ends with every prompt's last token, and its mask; int64 ``[P, longest]``."""
    width = max(len(prompt) for prompt in prompts)
    tokens = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return tokens, mask


def draw(logits: Tensor, params: SamplingParams, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One token a row from logits ``[R, V]``, and its log-probability under the full softmax, both ``[R]`` on the CPU.

    The race of exponential clocks: the first of clocks with rates pi(v) is v with probability pi(v).
    """
    log_pi = (logits / params.temperature).log_softmax(-1)
    clocks = torch.empty_like(log_pi).exponential_(generator=generator)
    drawn = (restrict(log_pi, params.top_p, params.top_k) - clocks.log()).argmax(-1)
    return drawn.cpu(), log_pi.gather(-1, drawn[:, None])[:, 0].cpu()


def restrict(log_pi: Tensor, top_p: float, top_k: int) -> Tensor:
    """Log-probabilities ``[R, V]`` with all but the top-k, then all but the nucleus of mass ``top_p``, at -inf."""
    if 0 < top_k < log_pi.shape[-1]:
        least = log_pi.topk(top_k, dim=-1).values[:, -1:]
        log_pi = log_pi.masked_fill(log_pi < least, -torch.inf)
    if top_p < 1.0:
        ordered, order = log_pi.log_softmax(-1).sort(-1, descending=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()
        outside = (before >= top_p).scatter(-1, order, before >= top_p)
        log_pi = log_pi.masked_fill(outside, -torch.inf)
    return log_pi
