"""Roles and where they are to be, as configured: what is refused before anything is started."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from asyppo_cli.builders import roles
from asyppo_cli.builders.roles import check_placement, of_worker, roles_of, share_of_prompts, weight_path
from asyppo_cli.config.load import load
from asyppo_cli.engines.ray import cluster
from asyppo_cli.engines.ray.placement import plan_placement


@pytest.fixture(autouse=True)
def everything_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "version", lambda _name: "2.60.0")
    monkeypatch.setattr(roles, "check_engine", lambda _config: None)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["cluster=ray", "cluster.policy.ranks=2"], "cluster.policy.ranks=2 needs learner=deepspeed"),
        (["cluster=ray", "cluster.critics.ranks=2"], "cluster.critics.ranks=2 needs learner=deepspeed"),
        (["cluster.critics.first_gpu=1"], "cluster.critics.first_gpu=1 needs cluster=ray"),
        (["cluster=ray", "cluster.policy.first_gpu=0", "learner.device=cpu"], "but learner.device=cpu"),
        (["cluster=ray", "learner.device=cuda"], "cluster.policy.first_gpu is null: name its first GPU"),
        (["cluster=ray", "cluster.sampler.ranks=2"], "sampler.batch_size=1024 .* set sampler.batch_size=128 or less"),
        (
            ["cluster=ray", "sampler=vllm", "sampler.vllm.tensor_parallel=2", "sampler.vllm.own_process=false"],
            "tensor_parallel=2 with cluster=ray needs sampler.vllm.own_process=true",
        ),
        (
            ["cluster=ray", "sampler=vllm", "sampler.vllm.sync=nccl", "sampler.vllm.own_process=false"],
            "sync=nccl goes from process to process",
        ),
    ],
)
def test_contradictions_are_one_line(overrides: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        check_placement(load(overrides).config)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "overrides", [[], ["cluster=ray"], ["cluster=ray", "learner=deepspeed", "cluster.policy.ranks=3"]]
)
def test_what_makes_sense_is_let_through(overrides: list[str]) -> None:
    check_placement(load(overrides).config)


def test_a_ray_that_is_missing_or_old_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(["cluster=ray"]).config
    monkeypatch.setattr(cluster, "version", lambda _name: "2.9.3")
    with pytest.raises(ValueError, match=r"needs ray 2.40 or newer, installed is 2.9.3: .* install .*ray<"):
        check_placement(config)

    def missing(_name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(cluster, "version", missing)
    with pytest.raises(ValueError, match="installed is none: .* install .*ray<"):
        check_placement(config)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ray://head:10001", "give HOST:PORT"),
        ("head", "give HOST:PORT"),
        ("127.0.0.1:1", r"no Ray cluster answers at 127.0.0.1:1 \(Connection refused\)"),
        ("nowhere.invalid:6379", "no Ray cluster answers at nowhere.invalid:6379"),
    ],
)
def test_an_address_where_nobody_answers_is_said_at_once(address: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        cluster.check_address(address)


def test_the_reference_lives_beside_the_policy() -> None:
    roles = roles_of(load(["cluster=ray", "policy_loss.kl_coef=0.1"]).config)
    assert [(role.name, role.section) for role in roles] == [
        ("policy", "policy"),
        ("reference", "policy"),
        ("critic_0", "critics"),
        ("critic_1", "critics"),
        ("sampler", "sampler"),
    ]


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        (["cluster.policy.first_gpu=0", "cluster.sampler.first_gpu=1"], "nccl"),
        (["cluster.policy.first_gpu=0", "cluster.sampler.first_gpu=0"], "ipc"),
        (["cluster.policy.first_gpu=0"], "shared_memory"),
        ([], "shared_memory"),
        (["sampler.vllm.sync=gloo"], "gloo"),
        (
            ["cluster.policy.first_gpu=0", "cluster.sampler.first_gpu=1", "sampler.vllm.sync=shared_memory"],
            "shared_memory",
        ),
        (["cluster.policy.first_gpu=0", "cluster.sampler.first_gpu=1", "sampler=transformers"], "shared_memory"),
        (["cluster.policy.first_gpu=0", "cluster.sampler.first_gpu=1", "sampler.vllm.tensor_parallel=3"], "nccl"),
    ],
)
def test_weights_go_as_the_placement_says(overrides: list[str], path: str) -> None:
    config = load(["cluster=ray", "sampler=vllm", *overrides]).config
    plan = plan_placement(roles_of(config), {"CPU": 16.0, "GPU": 4.0}, None)
    assert weight_path(config, plan) == path
    # The sampler's ranks are started for that way.
    assert of_worker(config, plan, "sampler").sampler.vllm.sync == path


@pytest.mark.parametrize("sync", ["ipc", "nccl"])
def test_a_way_that_the_placement_rules_out_is_refused(sync: str) -> None:
    config = load(["cluster=ray", "sampler=vllm", f"sampler.vllm.sync={sync}"]).config
    plan = plan_placement(roles_of(config), {"CPU": 16.0, "GPU": 4.0}, None)
    with pytest.raises(ValueError, match=f"sampler.vllm.sync={sync} needs .* set it to auto"):
        weight_path(config, plan)


def test_a_worker_sees_its_own_device_and_cores() -> None:
    config = load(["cluster=ray", "cluster.policy.first_gpu=0"]).config
    plan = plan_placement(roles_of(config), {"CPU": 16.0, "GPU": 1.0}, None)
    assert of_worker(config, plan, "policy").learner.device == "cuda"
    critic = of_worker(config, plan, "critic_0")
    assert critic.learner.device == "cpu" and critic.learner.threads == 4
    message = load(["cluster=ray", "learner.threads=3"]).config
    assert of_worker(message, plan, "critic_0").learner.threads == 3


def test_shares_do_not_depend_on_the_ranks_unless_vllm_batches() -> None:
    shares = [
        share_of_prompts(
            load(["cluster=ray", "sampler.batch_size=64", f"cluster.sampler.ranks={n}", *own]).config, 32, 8
        )
        for own in (["sampler=transformers"], ["sampler=vllm"])
        for n in (1, 2, 3)
    ]
    assert shares == [8, 8, 8, 32, 16, 11]


def test_a_local_run_never_imports_ray() -> None:
    code = "import asyppo_cli.builders.train, asyppo_cli.builders.roles, sys; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split()[-1] == "False"
