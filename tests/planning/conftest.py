"""Scenes without a machine behind them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asyppo_cli.config.load import load
from asyppo_cli.planning.architecture import Architecture, published
from asyppo_cli.planning.inputs import GIB, MachineMemory, PlanInputs, ProcessOverhead

MakeInputs = Callable[..., PlanInputs]


def qwen(size: str) -> Architecture:
    found = published(f"Qwen/Qwen3-{size}-Base")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def make_inputs() -> MakeInputs:
    """A scene of Qwen3 models: ``make_inputs(overrides, gpus, gpu_memory in GiB)``."""

    def make(
        overrides: list[str], gpus: int = 0, gpu_memory: float = 80.0, policy: str = "0.6B", critic: str = "0.6B"
    ) -> PlanInputs:
        config = load(overrides).config
        return PlanInputs(
            config=config,
            policy=qwen(policy),
            critic=qwen(critic).as_critic(config.critics.depth) if config.critics.count else None,
            prompt=config.rollout.prompt_length,
            response=config.rollout.response_length,
            sampler="transformers" if config.sampler.engine != "vllm" else "vllm",
            machine=MachineMemory(64 * GIB, gpus, gpu_memory * GIB, planned=gpus > 0),
            processes=ProcessOverhead(main=GIB),
        )

    return make
