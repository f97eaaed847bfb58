"""One seeded configuration learns the same with every training engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from importlib.util import find_spec
from threading import Event
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch

from asyppo_cli.builders import learners
from asyppo_cli.builders.loop import build_grader, build_loop, load_inputs
from asyppo_cli.builders.roles import Cluster, roles_of
from asyppo_cli.config.load import load
from asyppo_cli.config.schema import Config
from asyppo_cli.runs import metrics as names

pytestmark = [
    pytest.mark.skipif(find_spec("deepspeed") is None, reason="deepspeed is not installed (extra: cpu-engines)"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.distributed:FutureWarning"),
]

SHORT = [
    "max_steps=3",
    "rollout.prompts=4",
    "rollout.responses=4",
    "rollout.response_length=40",
    "task.size=50",
    "evaluation.problems=4",
    "evaluation.every=0",
    "critics.warmup_steps=1",
    "training.mini_batches=2",
    "utd=2",
    "sampler=transformers",
    "learner.threads=1",
    "learner.micro_batch_tokens=200",
    "records.every=0",
    "checkpoints.every=0",
]
COMPARED = [
    names.REWARD_MEAN,
    names.LENGTH_MEAN,
    names.ENTROPY,
    names.POLICY_LOSS,
    names.POLICY_GRAD_NORM,
    names.CLIP_SHARE,
    names.DISAGREEMENT,
    names.ADVANTAGE_MASKED,
    *(names.critic(m, quantity) for m in range(2) for quantity in ("loss", "grad_norm", "value_mean")),
]


def learnt(*overrides: str, place: Callable[[Config], Cluster] | None = None) -> list[dict[str, float]]:
    """The numbers of three steps of the default, policy and critics, shortened."""
    config, journal = load([*SHORT, *overrides]).config, MagicMock()
    cluster = None if place is None else place(config)
    with closing(build_grader(config)) as grader:
        assert build_loop(config, load_inputs(config), grader, journal, MagicMock(), cluster).run(Event())
    rows: list[Mapping[str, float]] = [call.args[0] for call in journal.metrics.call_args_list]
    return [{name: row[name] for name in COMPARED if name in row} for row in rows if row["step"]]


@pytest.fixture(scope="module")
def expected() -> list[dict[str, float]]:
    rows = learnt("learner=torch")
    assert len(rows) == 3 and rows[-1].keys() == set(COMPARED) and rows[-1][names.POLICY_GRAD_NORM] > 0
    return rows


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def build_here(module: Any, config: Any, optimizer: Any, total_steps: int) -> Any:
    """A rank's learner, in its own process, where nothing is replaced."""
    return learners.build_learner(module, config, optimizer, total_steps)


def assert_same(rows: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    for row, other in zip(rows, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-4, abs=1e-6)


def test_deepspeed_in_this_process(expected: list[dict[str, float]]) -> None:
    assert_same(learnt("learner=deepspeed"), expected)


@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_on_two_ranks(
    expected: list[dict[str, float]], two_ranks: Any, monkeypatch: pytest.MonkeyPatch, stage: int
) -> None:
    two_ranks.know(__name__, __file__)

    def build_on_two(module: Any, config: Any, optimizer: Any, total_steps: int) -> Any:
        return two_ranks.learner(
            partial(build_here, config=config, optimizer=optimizer, total_steps=total_steps), module
        )

    monkeypatch.setattr(learners, "build_learner", build_on_two)
    assert_same(learnt("learner=deepspeed", f"learner.deepspeed.stage={stage}"), expected)
    two_ranks.reset_cache()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (extra: cpu-engines)")
@pytest.mark.parametrize("stage", [0, 3])
def test_deepspeed_on_two_ranks_of_a_ray_cluster(expected: list[dict[str, float]], ray_desk: Any, stage: int) -> None:
    seats: list[Any] = []

    def place(config: Config) -> Cluster:
        seats.append(ray_desk.seats(roles_of(config)))
        return Cluster(seats[0]._plan, seats[0])

    ranks = ["cluster=ray", "cluster.policy.ranks=2", "learner.device=cpu"]
    assert_same(learnt("learner=deepspeed", *ranks, f"learner.deepspeed.stage={stage}", place=place), expected)
    seats[0].close()
