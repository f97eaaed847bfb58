"""A model that ranks load together is the one that each would load for itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from asyppo_cli.builders.learners import build_critic_learner, build_learner, build_policy_learner
from asyppo_cli.config.load import load
from asyppo_cli.engines.hf.models import PolicyModel, ValueModel, load_backbone, load_policy
from asyppo_cli.training.objectives import LikelihoodObjective, ValueObjective
from asyppo_cli.types import PolicyTargets, Sequences, ValueTargets

pytestmark = [
    pytest.mark.skipif(find_spec("deepspeed") is None, reason="deepspeed is not installed (extra: cpu-engines)"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.distributed:FutureWarning"),
]


def build_together(_module: None, kind: str, overrides: list[str]) -> Any:
    config = load(overrides).config
    return build_policy_learner(config) if kind == "policy" else build_critic_learner(config)


def build_apart(_module: None, kind: str, overrides: list[str]) -> Any:
    """As it was done before ranks shared a load: all of it on each."""
    config = load(overrides).config
    if kind == "policy":
        module: Any = PolicyModel(load_policy(config.policy.model, None), config.sampler.temperature)
        return build_learner(module, config.learner, config.learner.policy, 80)
    module = ValueModel(load_backbone(config.policy.model, None, config.critics.depth))
    return build_learner(module, config.learner, config.learner.critics, 80)


def learn(learner: Any, batch: Sequences, kind: str) -> list[float]:
    """Losses and norms of three steps."""
    mask = batch.response_mask
    weights, ones = mask / mask.sum(), mask.float()
    if kind == "policy":
        targets: Any = PolicyTargets(mask, weights, ones, ones, ones)
    else:
        targets = ValueTargets(mask, weights, ones)
    loss: Any = LikelihoodObjective() if kind == "policy" else ValueObjective(None)
    seen = []
    for _ in range(3):
        seen += [learner.forward_backward(batch, targets, loss)[1]["loss"], learner.optimizer_step().grad_norm]
    return seen


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("kind", "stage", "offload"),
    [("policy", 0, "none"), ("critic", 2, "none"), ("policy", 3, "none"), ("critic", 3, "all")],
)
def test_the_numbers_and_files_are_the_same_to_the_bit(
    two_ranks: Any,
    make_model: Callable[..., Any],
    batch: Sequences,
    tmp_path: Path,
    kind: str,
    stage: int,
    offload: str,
    dtype: str,
) -> None:
    make_model("qwen3", num_hidden_layers=4).save_pretrained(tmp_path / "model")
    overrides = [
        f"policy.model={tmp_path / 'model'}",
        "critic_size=0.5",
        "learner=deepspeed",
        "learner.device=cpu",
        f"learner.dtype={dtype}",
        f"learner.deepspeed.stage={stage}",
        f"learner.deepspeed.offload={offload}",
    ]
    two_ranks.know(__name__, __file__)
    saved = []
    seen = []
    for build in (build_apart, build_together):
        learner = two_ranks.learner(partial(build, kind=kind, overrides=overrides), None)
        seen.append(learn(learner, batch, kind))
        learner.save(tmp_path / build.__name__)
        saved.append({file.name: file.read_bytes() for file in (tmp_path / build.__name__).iterdir()})
        two_ranks.reset_cache()
    assert seen[0] == seen[1] and seen[0][0] != seen[0][4]
    assert saved[0].keys() == saved[1].keys()
    assert [name for name in saved[0] if saved[0][name] != saved[1][name]] == []


def test_no_model_made_afterwards_is_cut_into_parts(make_model: Callable[..., Any]) -> None:
    assert all(parameter.numel() for parameter in make_model("qwen3").parameters())
    assert torch.empty(2).device.type == "cpu"
