"""Who sits where: shares of GPUs and cores, and what is asked of a cluster that has not got it."""

from __future__ import annotations

import pytest

from asyppo_cli.engines.ray.placement import Role, plan_placement

PAPER = [
    Role("policy", "policy", 8, 0),
    Role("critic_0", "critics", 8, 8),
    Role("critic_1", "critics", 8, 8),
    Role("sampler", "sampler", 8, 8),
]
ON_CORES = [
    Role("policy", "policy", 2, None),
    Role("critic_0", "critics", 1, None),
    Role("sampler", "sampler", 1, None),
]


def test_the_papers_sixteen_gpus() -> None:
    plan = plan_placement(PAPER, {"CPU": 192.0, "GPU": 16.0}, None)
    assert plan.gpus == 16 and len(plan.bundles) == 16
    assert [slot.bundle for slot in plan.slots["policy"]] == list(range(8))
    assert {slot.gpus for slot in plan.slots["policy"]} == {1.0}
    for role in ("critic_0", "critic_1", "sampler"):
        assert [slot.bundle for slot in plan.slots[role]] == list(range(8, 16))
        assert {slot.gpus for slot in plan.slots[role]} == {0.3333}
    assert plan.disjoint("policy", "critic_0") and not plan.disjoint("critic_0", "critic_1")
    # Neighbours in number can be neighbours on a machine only if the bundles are alike.
    assert all(bundle == plan.bundles[0] for bundle in plan.bundles)


def test_shares_of_a_gpu_and_of_the_cores_fit_what_is_reserved() -> None:
    for roles in (PAPER, ON_CORES, [*PAPER, *(Role(f"critic_{m}", "critics", 8, 8) for m in range(2, 8))]):
        plan = plan_placement(roles, {"CPU": 30.0, "GPU": 16.0}, None)
        for bundle, given in enumerate(plan.bundles):
            slots = [slot for slots in plan.slots.values() for slot in slots if slot.bundle == bundle]
            assert sum(slot.cpus for slot in slots) <= given["CPU"] + 1e-9
            assert sum(slot.gpus for slot in slots) <= given.get("GPU", 0.0)
        assert sum(given["CPU"] for given in plan.bundles) <= 30.0


def test_processes_on_cores_have_bundles_of_their_own_and_equal_shares() -> None:
    plan = plan_placement(ON_CORES, {"CPU": 2.0}, None)
    assert plan.bundles == [{"CPU": 0.5}] * 4 and plan.gpus == 0
    assert [slot.bundle for slots in plan.slots.values() for slot in slots] == [0, 1, 2, 3]
    assert plan.disjoint("policy", "critic_0")


@pytest.mark.parametrize(
    ("available", "said"),
    [
        ({"CPU": 64.0}, "cluster.policy asks for GPUs 0-7, but the cluster has none"),
        ({"CPU": 64.0, "GPU": 1.0}, "GPUs 0-7, but the cluster has one, number 0"),
        ({"CPU": 64.0, "GPU": 8.0}, "cluster.critics asks for GPUs 8-15, but the cluster has 8, numbers 0-7"),
    ],
)
def test_gpus_that_do_not_exist_are_named(available: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan_placement(PAPER, available, None)


def test_more_cores_than_there_are_is_said() -> None:
    with pytest.raises(ValueError, match="cpus_per_rank=1 for 4 processes needs 4 cores, but the cluster has 2"):
        plan_placement(ON_CORES, {"CPU": 2.0}, 1.0)
    assert plan_placement(ON_CORES, {"CPU": 2.0}, 0.5).cpus == 0.5


@pytest.mark.parametrize(
    ("policy", "sampler", "path"),
    [
        ((8, 0, 1), (8, 8, 1), "nccl"),
        ((8, 0, 1), (8, 0, 1), "ipc"),
        # Every sampler's GPU is one of the policy's, which has more.
        ((8, 0, 1), (2, 0, 2), "ipc"),
        ((2, 0, 1), (4, 0, 1), "host"),
        ((2, 0, 1), (2, 2, 2), "nccl"),
        ((1, None, 1), (1, 0, 1), "host"),
        ((1, 0, 1), (1, None, 1), "host"),
        ((1, None, 1), (1, None, 2), "host"),
    ],
)
def test_weights_go_the_fastest_way_that_the_placement_leaves(
    policy: tuple[int, int | None, int], sampler: tuple[int, int | None, int], path: str
) -> None:
    roles = [Role("policy", "policy", *policy), Role("critic_0", "critics", 1, 0), Role("sampler", "sampler", *sampler)]
    plan = plan_placement(roles, {"CPU": 64.0, "GPU": 16.0}, None)
    assert plan.fastest_path("policy", "sampler") == path


def test_a_rank_may_have_several_gpus() -> None:
    roles = [Role("critic_0", "critics", 4, 0), Role("sampler", "sampler", 2, 0, width=2)]
    plan = plan_placement(roles, {"CPU": 8.0, "GPU": 4.0}, None)
    assert [(slot.bundle, slot.extra, slot.gpus) for slot in plan.slots["sampler"]] == [(0, (1,), 0.5), (2, (3,), 0.5)]
    assert not plan.disjoint("critic_0", "sampler") and plan.gpus == 4
    with pytest.raises(ValueError, match="cluster.sampler asks for GPUs 2-5, but the cluster has 4"):
        plan_placement([Role("sampler", "sampler", 2, 2, width=2)], {"CPU": 8.0, "GPU": 4.0}, None)
