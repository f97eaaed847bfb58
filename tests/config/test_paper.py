"""The paper's experiments, key by key against its appendix, written out here once more."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from asyppo_cli.config.load import load
from asyppo_cli.config.schema import Config
from asyppo_cli.keys import flatten

EXPERIMENTS = ("paper/qwen3_4b", "paper/qwen3_8b", "paper/qwen3_14b")

# The appendix, in our keys.
BOTH: dict[str, Any] = {
    "seed": 42,
    "max_steps": 500,
    "checkpoints.every": 500,
    "evaluation.every": 1,
    "advantage.estimator": "gae",
    "advantage.gamma": 1.0,
    "advantage.lambd": 1.0,
    "advantage.values": "before",
    "rollout.prompts": 64,
    "rollout.responses": 32,
    "rollout.prompt_length": 1024,
    "rollout.response_length": 8000,
    "rollout.async_generate_level": 1,
    "critics.count": 2,
    "critics.model": "Qwen/Qwen3-1.7B-Base",
    "critics.depth": 1.0,
    "critics.split": "by_response",
    "critics.aggregation": "mean",
    "gates.mask_pct": 0.2,
    "gates.entropy_filter_pct": 0.2,
    "gates.mask_signal": "value_std",
    "gates.entropy_filter_signal": "value_std",
    "policy_loss.entropy_coef": 0.01,
    "policy_loss.kl_coef": 0.0,
    "learner.policy.lr": 1e-6,
    "learner.policy.weight_decay": 0.0,
    "learner.policy.warmup_steps": 50,
    "learner.critics.lr": 1e-5,
    "learner.critics.weight_decay": 1e-2,
    "learner.critics.warmup_steps": 5,
    "sampler.top_p": 0.99,
    "sampler.top_k": 100,
    "sampler.temperature": 0.99,
    "task.system_prompt": "Please reason step by step, and put your final answer within \\boxed{}.",
    "task.name": "zwhe99/DeepMath-103K",
    "task.params.draw": "by_difficulty",
    "task.size": 5000,
    # What it takes to run them, not in the appendix's table.
    "learner.engine": "deepspeed",
    "learner.dtype": "bfloat16",
    "learner.gradient_checkpointing": True,
    "sampler.engine": "vllm",
    "cluster.kind": "ray",
    "critics.warmup_steps": 0,
}
OWN: dict[str, dict[str, Any]] = {
    "paper/qwen3_4b": {"policy.model": "Qwen/Qwen3-4B-Base", "training.utd": 1},
    "paper/qwen3_8b": {"policy.model": "Qwen/Qwen3-8B-Base", "training.utd": 1},
    "paper/qwen3_14b": {"policy.model": "Qwen/Qwen3-14B-Base", "training.utd": 4},
}
# (first GPU, GPUs) of policy and critics; responses per optimizer step, as per-device batch x accumulation x GPUs.
GPUS = {"paper/qwen3_4b": (8, 8), "paper/qwen3_8b": (8, 8), "paper/qwen3_14b": (16, 16)}
STEP = {
    "paper/qwen3_4b": (1 * 256 * 8, 1 * 128 * 8),
    "paper/qwen3_8b": (1 * 256 * 8, 1 * 128 * 8),
    # The actor's printed accumulation of 6 divides nothing; 32 is the batch of 1024 of the paper's text.
    "paper/qwen3_14b": (2 * 32 * 16, 2 * 16 * 16),
}
TWINS: dict[str, dict[str, Any]] = {
    "ppo": {"critics.count": 1, "critics.model": None, "critics.depth": 1.0},
    "asymmetric_single": {"critics.count": 1},
    "naive_ensemble": {"critics.count": 2, "critics.split": "shared"},
    "grpo": {"critics.count": 0, "advantage.estimator": "grpo", "policy_loss.entropy_coef": 0.0},
}
UNGATED = {"gates.mask_pct": 0.0, "gates.entropy_filter_pct": 0.0}


@cache
def resolved(*overrides: str) -> dict[str, Any]:
    return flatten(load(list(overrides)).resolved)


@cache
def config(experiment: str, *overrides: str) -> Config:
    return load([f"experiment={experiment}", *overrides]).config


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_key_of_the_appendix(experiment: str) -> None:
    found = resolved(f"experiment={experiment}")
    expected = {**BOTH, **OWN[experiment]}
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_gpus_of_the_paper(experiment: str) -> None:
    cluster = config(experiment).cluster
    of_policy, of_critics = GPUS[experiment]
    assert (cluster.policy.first_gpu, cluster.policy.ranks) == (0, of_policy)
    assert (cluster.critics.first_gpu, cluster.critics.ranks) == (of_policy, of_critics)
    # It samples while the policy trains: not on the policy's GPUs.
    assert (cluster.sampler.first_gpu, cluster.sampler.ranks) == (of_policy, of_critics)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_optimizer_steps_are_over_as_many_responses_as_the_paper_accumulates(experiment: str) -> None:
    found = config(experiment)
    responses = found.rollout.prompts * found.rollout.responses
    of_policy, of_critic = STEP[experiment]
    assert responses == found.training.mini_batches * of_policy
    assert responses // found.critics.count == found.critics.mini_batches * of_critic
    per_device = 2 if "14b" in experiment else 1
    assert found.learner.micro_batch_tokens == per_device * (1024 + 8000)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("algorithm", TWINS)
def test_a_twin_differs_in_its_method_alone(experiment: str, algorithm: str) -> None:
    own, twin = resolved(f"experiment={experiment}"), resolved(f"experiment={experiment}", f"algorithm={algorithm}")
    expected = {**UNGATED, **TWINS[algorithm]}
    assert {key: value for key, value in twin.items() if value != own[key]} == {
        key: value for key, value in expected.items() if value != own[key]
    }


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("utd", [1, 4])
def test_utd_is_one_word(experiment: str, utd: int) -> None:
    own, changed = resolved(f"experiment={experiment}"), resolved(f"experiment={experiment}", f"utd={utd}")
    assert changed == {**own, "training.utd": utd}


@pytest.mark.parametrize("size", ["0.6b", "1.7b", "4b", "8b"])
@pytest.mark.parametrize("algorithm", ["asyppo", "asymmetric_single"])
def test_critic_sizes(size: str, algorithm: str) -> None:
    for order in ([f"critic_size={size}", f"algorithm={algorithm}"], [f"algorithm={algorithm}", f"critic_size={size}"]):
        found = config("paper/qwen3_8b", *order)
        assert (found.critics.model, found.critics.depth) == (f"Qwen/Qwen3-{size.upper()}-Base", 1.0)
        assert found.critics.count == (2 if algorithm == "asyppo" else 1)


def test_a_policy_of_the_family_brings_critics_of_the_family() -> None:
    assert load(["policy=qwen3_4b"]).config.critics.model == "Qwen/Qwen3-1.7B-Base"
    assert load(["policy=qwen3_4b", "algorithm=ppo"]).config.critics.model is None
    assert load([]).config.critics.model == "embedded:critic"


def test_a_sampler_that_works_while_the_policy_trains_never_sleeps() -> None:
    found = config("large_model", "policy.model=somewhere")
    assert found.rollout.async_generate_level == 1 and not found.sampler.vllm.sleep
