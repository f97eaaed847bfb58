"""Training with vLLM as the sampler, through the real command: a model in a folder, weights synced each step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyppo_cli.engines.hf.models import new_policy
from asyppo_cli.engines.hf.tokenizer import load_tokenizer
from asyppo_cli.engines.vllm.install import installed_version

pytestmark = pytest.mark.slow

COMMAND = [
    "train",
    "--runs-dir",
    "runs",
    "policy.model=model",
    "rollout.prompts=4",
    "rollout.responses=4",
    "evaluation.problems=8",
    "evaluation.every=0",
    "learner.threads=1",
    "learner.policy.lr=1e-2",
    "critics.warmup_steps=0",
    "policy_loss.entropy_coef=0.1",
    "grading.workers=1",
    "checkpoints.every=2",
    "sampler.vllm.threads=1",
    "sampler.vllm.kv_cache_gib=0.25",
]


@pytest.fixture(autouse=True)
def model(tmp_path: Path) -> None:
    """A fresh model with heads of a size that vLLM's kernels know, and the embedded tokenizer."""
    if installed_version() is None:
        pytest.skip("vLLM is not installed")
    tokenizer = load_tokenizer("embedded:policy", None, "policy.model")
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
    new_policy({**sizes, **heads}, tokenizer).save_pretrained(tmp_path / "model")
    tokenizer.save(tmp_path / "model")


def differences(folder: Path, name: str) -> list[float]:
    rows = [json.loads(line) for line in (folder / "runs" / name / "metrics.jsonl").read_text().splitlines()]
    return [row["sampler/logprob_diff_mean"] for row in rows if row["step"] > 0]


@pytest.mark.timeout(900)
def test_weights_reach_the_sampler_each_step_and_a_run_goes_on(asyppo: Callable[..., Any], tmp_path: Path) -> None:
    exact = [*COMMAND, "sampler.vllm.dtype=float32"]
    whole = asyppo([*exact, "--name", "whole", "max_steps=4"], tmp_path, timeout=600)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    # The policy moves a hundred times further than this in a step.
    found = differences(tmp_path, "whole")
    assert len(found) == 4 and max(found) < 1e-4
    first = asyppo([*exact, "--name", "half", "max_steps=2"], tmp_path, timeout=600)
    assert first.returncode == 0, first.stdout + first.stderr
    second = asyppo(["train", "--resume", "--name", "half", "--runs-dir", "runs", "max_steps=4"], tmp_path, timeout=600)
    assert second.returncode == 0, second.stdout + second.stderr
    assert differences(tmp_path, "half") == pytest.approx(found, abs=1e-5)
