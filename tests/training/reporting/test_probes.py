"""Probes: the same held-out prompts at every recorded step, and a run that never notices them."""

from __future__ import annotations

import math
from contextlib import closing
from threading import Event

import numpy as np
import pytest
import torch
from memory import Memory
from run_files import computed

from asyppo_cli.builders.loop import build_grader, build_loop, load_inputs
from asyppo_cli.config.load import load
from asyppo_cli.runs.records import record_columns

SMALL = [
    "max_steps=4",
    "rollout.prompts=4",
    "rollout.responses=4",
    "rollout.response_length=40",
    "task.size=50",
    "evaluation.problems=8",
    "evaluation.every=0",
    "critics.mini_batches=1",
    "learner.threads=1",
    "records.every=2",
]


def trained(*overrides: str) -> tuple[Memory, list[torch.Tensor]]:
    """A run in this process: what it kept, and its last weights."""
    config, kept = load([*SMALL, *overrides]).config, Memory()
    before = torch.get_num_threads()
    with closing(build_grader(config)) as grader:
        loop = build_loop(config, load_inputs(config), grader, kept, kept)
        assert loop.run(Event())
    torch.set_num_threads(before)
    return kept, [weight.clone() for learner in loop.learners.values() for _, weight in learner.weights()]


@pytest.fixture(scope="module")
def probed() -> tuple[Memory, list[torch.Tensor]]:
    return trained("critics.warmup_steps=2")


def test_training_never_notices(probed: tuple[Memory, list[torch.Tensor]]) -> None:
    without, weights = trained("critics.warmup_steps=2", "records.probes=0")
    assert without.probed == {}
    for row, other in zip(map(computed, probed[0].rows), map(computed, without.rows), strict=True):
        assert row.keys() == other.keys()
        assert all(row[name] == other[name] or math.isnan(row[name]) for name in row), row
    assert all(torch.equal(a, b) for a, b in zip(probed[1], weights, strict=True))


def test_the_same_prompts_are_answered_at_every_recorded_step(probed: tuple[Memory, list[torch.Tensor]]) -> None:
    found = probed[0].probed
    assert list(found) == [0, 2, 4]
    heldout = [f"chain_sum-heldout-{i}" for i in range(4)]
    for step, (columns, texts) in found.items():
        assert set(columns) == set(record_columns(2)) and (columns["step"] == step).all()
        assert list(dict.fromkeys(columns["prompt_id"])) == heldout == list(texts.prompts)
        assert sorted(set(columns["response_id"].tolist())) == list(range(8)) and len(texts.responses) == 8
        assert {response["verdict"] for response in texts.responses} <= {"right", "wrong", "unparseable"}
        values = np.stack([columns["value_0"], columns["value_1"]])
        np.testing.assert_allclose(values.mean(0), columns["value_mean"], atol=1e-6)


def test_the_draw_is_the_same_so_that_only_the_policy_differs(probed: tuple[Memory, list[torch.Tensor]]) -> None:
    # For two steps only the critics learn: the responses stay, their values change.
    found = {step: columns for step, (columns, _) in probed[0].probed.items()}
    assert found[0]["token_id"].tolist() == found[2]["token_id"].tolist() != found[4]["token_id"].tolist()
    assert not np.array_equal(found[0]["value_0"], found[2]["value_0"])


def test_gates_are_those_of_a_batch_of_its_own(probed: tuple[Memory, list[torch.Tensor]]) -> None:
    columns = probed[0].probed[4][0]
    masked, count = ~columns["advantage_kept"], int(0.2 * len(columns["token_id"]))
    assert masked.sum() == count
    assert columns["value_std"][masked].max() <= columns["value_std"][~masked].min()


def test_the_prompts_of_training_are_written_beside_their_records(probed: tuple[Memory, list[torch.Tensor]]) -> None:
    texts = probed[0].texts
    assert texts is not None and len(texts.prompts) == 4 and len(texts.responses) == 16
    for prompt in texts.prompts.values():
        # A chain of single digits is Python too.
        sum_ = prompt["problem"].rpartition(": ")[2].rstrip(" =")
        terms = sum_.replace("- ", "-").replace("+ ", "+").split()
        assert sum(map(int, terms)) == int(prompt["answer"])


def test_a_method_without_critics_is_probed_too() -> None:
    kept, _ = trained("algorithm=grpo", "max_steps=2")
    columns, _ = kept.probed[2]
    assert set(columns) == set(record_columns(0))
    assert np.isfinite(columns["entropy"]).all()


def test_no_more_prompts_than_there_are() -> None:
    kept, _ = trained("max_steps=2", "records.probes=100")
    assert len(kept.probed[0][1].prompts) == 8
