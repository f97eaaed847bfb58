"""Groups of processes in a real Ray cluster: where they sit, and what is said of one that is lost."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed as dist

from asyppo_cli.engines.ray.placement import Role
from asyppo_cli.ports import NonFiniteLoss, WorkerLost

ray = pytest.importorskip("ray", reason="Ray is not installed (extra: cpu-engines)")


@pytest.fixture(autouse=True)
def functions_travel_by_value() -> Iterator[None]:
    """A worker cannot import this file."""
    module = sys.modules[__name__]
    ray.cloudpickle.register_pickle_by_value(module)
    yield
    ray.cloudpickle.unregister_pickle_by_value(module)


def zero_loss() -> None:
    return None


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_on_rank_one() -> None:
    if dist.get_rank() == 1:
        time.sleep(0.5)
        die()
    dist.all_reduce(torch.ones(1))


def hang() -> None:
    time.sleep(1000)


def ask_for_too_much() -> None:
    torch.empty(2**55)


def explode() -> None:
    raise NonFiniteLoss("the loss is nan")


def refuse() -> None:
    raise ValueError("this is not a checkpoint of this model\nbut of another")


def fail() -> None:
    raise KeyError("weight")


def look_around() -> Any:
    names = ("CUDA_VISIBLE_DEVICES", "PYTHONSAFEPATH", "OMP_NUM_THREADS")
    node = ray.get_runtime_context().get_node_id()
    return {"pid": os.getpid(), "cwd": os.getcwd(), "node": node, **{name: os.environ.get(name) for name in names}}


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("do", "ranks", "error", "said"),
    [
        (
            die,
            1,
            WorkerLost,
            r"^policy, rank 0 of 1, died while learning \(killed, or crashed, .*; its log is .*-0.log",
        ),
        (die_on_rank_one, 2, WorkerLost, r"^policy, rank 1 of 2, died while learning"),
        (
            ask_for_too_much,
            1,
            WorkerLost,
            r"^o.*, rank 0 of 1, ran out of memory while learning .*micro_batch_tokens",
        ),
        (fail, 1, WorkerLost, r"^o.*, rank 0 of 1, failed while learning: KeyError: 'weight'; its log is"),
        (explode, 1, NonFiniteLoss, r"^the loss is nan$"),
        (refuse, 1, ValueError, r"^o.*, rank 0 of 1: this is not a checkpoint of this model$"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_rank_that_is_lost_is_named_in_one_line(
    ray_desk: Any, do: Callable[[], None], ranks: int, error: type[Exception], said: str
) -> None:
    deadly = do in (die, die_on_rank_one)
    group = ray_desk.group(ranks, object) if deadly else next(ray_desk.pair(ranks))
    with pytest.raises(error, match=said) as raised:
        group.call_all("learning", "measure", do)
    assert "\n" not in str(raised.value)


def test_a_rank_that_hangs_is_named_and_ended(ray_desk: Any) -> None:
    group = ray_desk.group(2, object, timeout=60.0)
    pids = [seen["pid"] for seen in group.call_all("answering", "measure", look_around)]
    group._timeout = 2.0
    said = r"^policy, rank 1 of 2, has not answered for 2 seconds while learning: it hangs, or cluster.timeout"
    with pytest.raises(WorkerLost, match=said):
        group.call("learning", "measure", [(zero_loss,), (hang,)])
    group.close()
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_roles_sit_on_gpus_of_their_own_machine_by_machine(ray_desk: Any) -> None:
    roles = [
        Role("policy", "policy", 2, 0),
        Role("critic_0", "critics", 2, 2),
        Role("critic_1", "critics", 2, 2),
        Role("sampler", "sampler", 1, None),
    ]
    from asyppo_cli.engines.ray.rank_process import RankProcess

    actors = ray_desk.actors(roles)
    groups = {role.name: actors.create(role.name, RankProcess) for role in roles}
    contexts = {name: group.call_all("answering", "measure", look_around) for name, group in groups.items()}
    devices = {
        name: [(context["node"], context["CUDA_VISIBLE_DEVICES"]) for context in seen]
        for name, seen in contexts.items()
    }
    # Two machines with GPUs 0 and 1 each: every role has one to itself, and both critics share theirs.
    assert sorted(device for _, device in devices["policy"]) == ["0", "1"]
    assert len({node for node, _ in devices["policy"]}) == len({node for node, _ in devices["critic_0"]}) == 1
    assert devices["critic_0"] == devices["critic_1"] and not {*devices["policy"]} & {*devices["critic_0"]}
    assert devices["sampler"][0][1] == ""
    actors.close()


@pytest.mark.slow
def test_a_sampler_on_several_gpus_sees_them_all_beside_others(ray_desk: Any) -> None:
    from asyppo_cli.engines.ray.rank_process import SamplerRank

    roles = [Role("critic_0", "critics", 4, 0), Role("sampler", "sampler", 2, 0, width=2)]
    actors = ray_desk.actors(roles)
    critics, sampler = (actors.create(role.name, SamplerRank) for role in roles)
    actors._assign_gpus("sampler")
    seen = sampler.call_all("answering", "measure", look_around)
    assert [sorted(context["CUDA_VISIBLE_DEVICES"].split(",")) for context in seen] == [["0", "1"]] * 2
    assert len({context["node"] for context in seen}) == 2
    assert {context["CUDA_VISIBLE_DEVICES"] for context in critics.call_all("answering", "measure", look_around)} == {
        "0",
        "1",
    }
    actors.close()


def test_gpus_of_one_rank_on_two_machines_are_one_line(ray_desk: Any) -> None:
    from asyppo_cli.engines.ray.rank_process import SamplerRank

    # Number 0 is another's, so that the three that follow do not fit on one machine of two.
    actors = ray_desk.actors([Role("policy", "policy", 1, 0), Role("sampler", "sampler", 1, 1, width=3)])
    actors.create("sampler", SamplerRank)
    with pytest.raises(ValueError, match="sampler, rank 0 of 1: its 3 GPUs are on several machines: choose cluster"):
        actors.start({"sampler": object})
    actors.close()


class Recorder:
    """The method of a sampler's rank that a transfer needs, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def call_workers(self, method: str, arguments: dict[str, Any]) -> list[Any]:
        self.asked.append((method, arguments))
        return [None, None]

    def remembered(self) -> list[Any]:
        return self.asked


def test_workers_of_all_samplers_get_places_of_their_own_in_a_transfer(ray_desk: Any) -> None:
    from asyppo_cli.engines.ray.rank_process import RemoteSamplers
    from asyppo_cli.engines.vllm.weight_transfer import TransferClient

    actors = [ray.remote(Recorder).options(num_cpus=0).remote() for _ in range(3)]
    client = TransferClient(RemoteSamplers(actors))
    client.init_weight_transfer_engine({"world_size": 7, "rank_offset": 1})
    client.start_weight_update()
    client.update_weights({"names": ["w"]})
    client.finish_weight_update()
    remembered = ray.get([actor.remembered.remote() for actor in actors])
    assert [seen[0][1]["init_info"]["rank_offset"] for seen in remembered] == [1, 3, 5]
    rest = [
        ("start_weight_update", {}),
        ("update_weights", {"update_info": {"names": ["w"]}}),
        ("finish_weight_update", {}),
    ]
    assert [seen[1:] for seen in remembered] == [rest] * 3
    for actor in actors:
        ray.kill(actor)


def test_a_process_imports_from_nowhere_else_and_prints_into_its_log(ray_desk: Any) -> None:
    group = ray_desk.group(1, lambda: print("a word of mine"))
    seen = group.call_all("answering", "measure", look_around)[0]
    assert seen["PYTHONSAFEPATH"] == "1" and seen["OMP_NUM_THREADS"] == "1" and seen["cwd"] == str(ray_desk.folder)
    logs = [log.read_text() for log in ray_desk.folder.glob("log-*-policy-0.log")]
    (log,) = [log for log in logs if "a word of mine" in log]
    assert f"policy, rank 0 of 1: process {seen['pid']} on" in log
    group.close()


def test_a_machine_without_the_runs_files_is_noticed_at_the_start(ray_desk: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(ray_desk, "shared", ray_desk.folder / "elsewhere")
    with pytest.raises(ValueError, match="does not see .*elsewhere: on several machines --runs-dir must be on"):
        ray_desk.group(1, object)


def test_what_others_hold_is_waited_for_and_then_named(ray_desk: Any, monkeypatch: Any) -> None:
    from asyppo_cli.engines.ray import actors

    held = ray_desk.actors([Role("policy", "policy", 4, 0)])
    monkeypatch.setattr(actors, "RESERVE_GRACE_SECONDS", 0.5)
    with pytest.raises(ValueError, match=r"of the cluster 0 GPUs and .* cores are free, and .* within 1 seconds"):
        ray_desk.actors([Role("policy", "policy", 1, 0)], timeout=1.0)
    held.close()
