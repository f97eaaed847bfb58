"""Whole estimates: what must be less, what must be equal, and what makes a run fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from asyppo_cli.engines.weight_sync import shared_memory
from asyppo_cli.planning import placement
from asyppo_cli.planning.estimate import comparisons, estimate, with_settings
from asyppo_cli.planning.inputs import PlanInputs
from asyppo_cli.planning.suggestions import suggest
from asyppo_cli.planning.work import step_work

MakeInputs = Callable[..., PlanInputs]
PAPER = ["experiment=paper/qwen3_14b"]


def test_every_process_of_a_local_run_holds_all_roles_and_one_phase_at_a_time(make_inputs: MakeInputs) -> None:
    result = estimate(make_inputs(["learner.device=cpu"]))
    (place,) = result.memory_pools
    main = place.processes[0]
    assert main.use.persistent == sum(role.device.persistent for role in result.roles)
    assert main.use.transient == max(role.device.transient for role in result.roles)
    assert place.used == main.peak + 2 * place.processes[1].peak


def test_weights_are_on_their_way_to_vllm_a_part_at_a_time(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(["learner.device=cpu", "sampler=vllm", "sampler.vllm.dtype=float32"])
    (place,) = estimate(inputs).memory_pools
    assert place.shared == 4 * inputs.policy.largest < 4 * inputs.policy.parameters / 3
    assert placement.CHUNK_BYTES == shared_memory.CHUNK_BYTES


def test_a_critic_more_costs_a_critic(make_inputs: MakeInputs) -> None:
    two, three = (estimate(make_inputs([f"critics.count={n}", "critics.split=shared"])) for n in (2, 3))
    critic = next(role for role in two.roles if role.role == "critic_0")
    assert three.models - two.models == pytest.approx(critic.device.peak, rel=0.02)


def test_symmetric_ppo_needs_more_and_grpo_less_than_mini_critics(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(PAPER, gpus=32, policy="14B", critic="1.7B")
    result = estimate(inputs)
    symmetric, grpo = comparisons(inputs, result)
    assert grpo.total < result.total < symmetric.total
    assert symmetric.saving == pytest.approx(1 - result.total / symmetric.total)
    assert [(place.name, place.count) for place in result.memory_pools[:2]] == [("GPUs 0-15", 16), ("GPUs 16-31", 16)]


def test_what_does_not_fit_is_made_to_fit_by_the_mildest_change_that_does(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(PAPER, gpus=32, gpu_memory=30.0, policy="14B", critic="1.7B")
    assert not estimate(inputs).fits
    suggestion = suggest(inputs)
    assert suggestion is not None and suggestion.estimate.fits
    settings = {key: value for change in suggestion.changes for key, value in change.settings.items()}
    # It is a configuration, and no single part of it can be spared.
    assert estimate(with_settings(inputs, settings)).fits
    for key in settings:
        rest = {other: value for other, value in settings.items() if other != key}
        assert not estimate(with_settings(inputs, rest)).fits


def test_nothing_makes_a_large_model_fit_into_a_small_device(make_inputs: MakeInputs) -> None:
    assert suggest(make_inputs(PAPER, gpus=32, gpu_memory=1.0, policy="14B", critic="1.7B")) is None


@pytest.mark.parametrize("change", ["learner.gradient_checkpointing=true", "learner.micro_batch_tokens=1024"])
def test_what_is_meant_to_save_memory_does(make_inputs: MakeInputs, change: str) -> None:
    before, after = make_inputs([]), make_inputs([change])
    use = [next(r for r in estimate(inputs).roles if r.role == "policy").device.peak for inputs in (before, after)]
    assert use[1] < use[0]


def test_work_follows_passes_and_shares(make_inputs: MakeInputs) -> None:
    once, four = (
        {work.role: work for work in step_work(make_inputs([f"training.utd={utd}", "critics.epochs=1"]))}
        for utd in (1, 4)
    )
    assert four["policy"].operations == pytest.approx(4 * once["policy"].operations)
    assert four["critic_0"] == once["critic_0"]
    # Three forward passes' worth on half of the responses, and one on all, of the same model: 2.5 of the policy's 3.
    assert once["critic_0"].operations < once["policy"].operations


def test_plain_torch_can_keep_its_moments_on_the_disk(make_inputs: MakeInputs) -> None:
    small = ["learner.micro_batch_tokens=200", "sampler.batch_size=8", "rollout.responses=8"]
    inputs = make_inputs(["learner.device=cuda", *small], gpus=1)
    away = estimate(with_settings(inputs, {"learner.moments_dir": "."})).memory_pools[0].used
    weights = inputs.policy.parameters + 2 * inputs.critic.parameters  # type: ignore[union-attr]
    assert estimate(inputs).memory_pools[0].used - away == 8 * weights
    tight = replace(inputs, machine=replace(inputs.machine, gpu_memory=away * 1.01))
    suggestion = suggest(tight)
    assert suggestion is not None and suggestion.overrides == ["learner.moments_dir=."]
