"""What the tests of runs on Ray share: a model that vLLM serves, and which processes a run has."""

from __future__ import annotations

import re
from pathlib import Path

from asyppo_cli.engines.hf.models import new_policy
from asyppo_cli.engines.hf.tokenizer import load_tokenizer


def servable_model(folder: Path) -> Path:
    """The embedded tokenizer and fresh weights in an architecture that vLLM serves, which the embedded one is not."""
    tokenizer = load_tokenizer("embedded:policy", None, "policy.model")
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32}
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "max_position_embeddings": 256}
    new_policy({**sizes, **heads}, tokenizer).save_pretrained(folder)
    tokenizer.save(folder)
    return folder


def told_workers(run: Path, attempt: int) -> dict[str, int]:
    """Process numbers by role and rank, of the workers that have told theirs by now."""
    found = {}
    for log in (run / "logs").glob(f"attempt-{attempt}-*.log"):
        message = re.search(r"^(\w+), rank (\d+) of \d+: process (\d+) on", log.read_text(), re.MULTILINE)
        if message is not None:
            found[f"{message[1]}-{message[2]}"] = int(message[3])
    return found
