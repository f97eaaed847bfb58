"""A sampled batch on disk, so that one sampled ahead survives with its checkpoint: tensors and JSON, no pickle."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch

from asyppo_cli.training.rollout import Rollout
from asyppo_cli.types import Problem, Prompt, Response, Verdict

NUMBERS_FILE = "batch.safetensors"
TEXTS_FILE = "batch.json"


def write_batch(rollout: Rollout, folder: Path) -> None:
    """Write a batch; :func:`read_batch` gives the same one back."""
    from safetensors.torch import save_file

    responses = rollout.responses
    numbers = {
        "tokens": torch.tensor([token for response in responses for token in response.tokens], dtype=torch.int64),
        # As sampled: a double holds each of them exactly.
        "logprobs": torch.tensor([value for response in responses for value in response.logprobs], dtype=torch.float64),
        "lengths": torch.tensor([len(response.tokens) for response in responses]),
        "truncated": rollout.truncated,
        "prompt_tokens": torch.tensor([token for prompt in rollout.prompts for token in prompt.tokens]),
        "prompt_lengths": torch.tensor([len(prompt.tokens) for prompt in rollout.prompts]),
    }
    save_file(numbers, folder / NUMBERS_FILE)
    texts = {
        "problems": [dataclasses.asdict(prompt.problem) for prompt in rollout.prompts],
        "texts": rollout.texts,
        "verdicts": [dataclasses.asdict(verdict) for verdict in rollout.verdicts],
        "rounds": rollout.rounds,
        "version": rollout.version,
    }
    (folder / TEXTS_FILE).write_text(json.dumps(texts), encoding="utf-8")


def read_batch(folder: Path) -> Rollout:
    """The batch that :func:`write_batch` wrote."""
    from safetensors.torch import load_file

    numbers = {name: tensor.tolist() for name, tensor in load_file(folder / NUMBERS_FILE).items()}
    texts = json.loads((folder / TEXTS_FILE).read_text(encoding="utf-8"))
    prompts = _cut(numbers["prompt_tokens"], numbers["prompt_lengths"])
    tokens, logprobs = (_cut(numbers[name], numbers["lengths"]) for name in ("tokens", "logprobs"))
    return Rollout(
        [Prompt(Problem(**problem), prompt) for problem, prompt in zip(texts["problems"], prompts, strict=True)],
        [Response(*row) for row in zip(tokens, logprobs, numbers["truncated"], strict=True)],
        texts["texts"],
        [Verdict(**verdict) for verdict in texts["verdicts"]],
        texts["rounds"],
        texts["version"],
    )


def _cut(flat: Sequence[Any], lengths: Sequence[int]) -> list[tuple[Any, ...]]:
    """One after the other, as many numbers as each length says."""
    return [tuple(flat[start:end]) for start, end in pairwise(accumulate(lengths, initial=0))]
