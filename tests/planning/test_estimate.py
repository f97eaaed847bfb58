"""Whole estimates: what must be less, what must be equal, and what makes a run fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from asyppo_cli.engines.weight_sync import shared_memory
from asyppo_cli.planning import placement
from asyppo_cli.planning.estimate import comparisons, estimate, with_settings
from asyppo_cli.planning.inputs import Scene
from asyppo_cli.planning.suggestions import nearest
from asyppo_cli.planning.work import step_work

MakeScene = Callable[..., Scene]
PAPER = ["experiment=paper/qwen3_14b"]


def test_every_process_of_a_local_run_holds_all_roles_and_one_phase_at_a_time(make_scene: MakeScene) -> None:
    result = estimate(make_scene(["learner.device=cpu"]))
    (place,) = result.places
    main = place.processes[0]
    assert main.need.constant == sum(role.device.constant for role in result.roles)
    assert main.need.passing == max(role.device.passing for role in result.roles)
    assert place.used == main.peak + 2 * place.processes[1].peak


def test_weights_are_on_their_way_to_vllm_a_part_at_a_time(make_scene: MakeScene) -> None:
    scene = make_scene(["learner.device=cpu", "sampler=vllm", "sampler.vllm.dtype=float32"])
    (place,) = estimate(scene).places
    assert place.shared == 4 * scene.policy.largest < 4 * scene.policy.parameters / 3
    assert placement.PART == shared_memory.PART


def test_a_critic_more_costs_a_critic(make_scene: MakeScene) -> None:
    two, three = (estimate(make_scene([f"critics.count={n}", "critics.split=shared"])) for n in (2, 3))
    critic = next(role for role in two.roles if role.role == "critic_0")
    assert three.models - two.models == pytest.approx(critic.device.peak, rel=0.02)


def test_symmetric_ppo_needs_more_and_grpo_less_than_mini_critics(make_scene: MakeScene) -> None:
    scene = make_scene(PAPER, gpus=32, policy="14B", critic="1.7B")
    result = estimate(scene)
    symmetric, grpo = comparisons(scene, result)
    assert grpo.total < result.total < symmetric.total
    assert symmetric.saving == pytest.approx(1 - result.total / symmetric.total)
    assert [(place.name, place.count) for place in result.places[:2]] == [("GPUs 0-15", 16), ("GPUs 16-31", 16)]


def test_what_does_not_fit_is_made_to_fit_by_the_mildest_change_that_does(make_scene: MakeScene) -> None:
    scene = make_scene(PAPER, gpus=32, gpu_memory=30.0, policy="14B", critic="1.7B")
    assert not estimate(scene).fits
    remedy = nearest(scene)
    assert remedy is not None and remedy.estimate.fits
    settings = {key: value for change in remedy.changes for key, value in change.settings.items()}
    # It is a configuration, and no single part of it can be spared.
    assert estimate(with_settings(scene, settings)).fits
    for key in settings:
        rest = {other: value for other, value in settings.items() if other != key}
        assert not estimate(with_settings(scene, rest)).fits


def test_nothing_makes_a_large_model_fit_into_a_small_device(make_scene: MakeScene) -> None:
    assert nearest(make_scene(PAPER, gpus=32, gpu_memory=1.0, policy="14B", critic="1.7B")) is None


@pytest.mark.parametrize("change", ["learner.gradient_checkpointing=true", "learner.micro_batch_tokens=1024"])
def test_what_is_meant_to_save_memory_does(make_scene: MakeScene, change: str) -> None:
    before, after = make_scene([]), make_scene([change])
    need = [next(r for r in estimate(scene).roles if r.role == "policy").device.peak for scene in (before, after)]
    assert need[1] < need[0]


def test_work_follows_passes_and_shares(make_scene: MakeScene) -> None:
    once, four = (
        {work.role: work for work in step_work(make_scene([f"training.utd={utd}", "critics.epochs=1"]))}
        for utd in (1, 4)
    )
    assert four["policy"].operations == pytest.approx(4 * once["policy"].operations)
    assert four["critic_0"] == once["critic_0"]
    # Three forward passes' worth on half of the responses, and one on all, of the same model: 2.5 of the policy's 3.
    assert once["critic_0"].operations < once["policy"].operations


def test_plain_torch_can_keep_its_moments_on_the_disk(make_scene: MakeScene) -> None:
    small = ["learner.micro_batch_tokens=200", "sampler.batch_size=8", "rollout.responses=8"]
    scene = make_scene(["learner.device=cuda", *small], gpus=1)
    away = estimate(with_settings(scene, {"learner.moments_dir": "."})).places[0].used
    weights = scene.policy.parameters + 2 * scene.critic.parameters  # type: ignore[union-attr]
    assert estimate(scene).places[0].used - away == 8 * weights
    tight = replace(scene, machine=replace(scene.machine, gpu_memory=away * 1.01))
    remedy = nearest(tight)
    assert remedy is not None and remedy.overrides == ["learner.moments_dir=."]
