"""A sampled batch on disk, so that one sampled ahead survives with its checkpoint: tensors and JSON, no pickle."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch

from asyppo_cli.training.rollouts.rollout import Rollout
from asyppo_cli.types import Problem, Prompt, Response, Verdict, packed, unpacked

NUMBERS_FILE = "batch.safetensors"
TEXTS_FILE = "batch.json"


def write_batch(rollout: Rollout, folder: Path) -> None:
    """Write a batch; :func:`read_batch` gives the same one back."""
    from safetensors.torch import save_file

    responses = rollout.responses
    numbers = {
        "tokens": torch.cat([unpacked(response.tokens) for response in responses]),
        "logprobs": torch.cat([unpacked(response.logprobs) for response in responses]),
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

    numbers = load_file(folder / NUMBERS_FILE)
    texts = json.loads((folder / TEXTS_FILE).read_text(encoding="utf-8"))
    prompts = [tuple(part.tolist()) for part in numbers["prompt_tokens"].split(numbers["prompt_lengths"].tolist())]
    lengths = numbers["lengths"].tolist()
    tokens = [packed(part, "i") for part in numbers["tokens"].split(lengths)]
    logprobs = [packed(part, "f") for part in numbers["logprobs"].split(lengths)]
    return Rollout(
        [Prompt(Problem(**problem), prompt) for problem, prompt in zip(texts["problems"], prompts, strict=True)],
        [Response(*row) for row in zip(tokens, logprobs, numbers["truncated"].tolist(), strict=True)],
        texts["texts"],
        [Verdict(**verdict) for verdict in texts["verdicts"]],
        texts["rounds"],
        texts["version"],
    )
