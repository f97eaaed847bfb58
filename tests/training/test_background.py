"""Work beside the trainer, and learners that work at the same time: the numbers are those of one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
import torch

from asyppo_cli.algorithm.targets import Targets
from asyppo_cli.engines.hf.models import ValueModel
from asyppo_cli.engines.torch.learner import AdamW, TorchLearner
from asyppo_cli.training.background import in_background
from asyppo_cli.training.objectives import ValueObjective
from asyppo_cli.training.update import CriticUpdate, Passes
from asyppo_cli.types import Sequences, StepReport, ValueOutputs

OUTCOMES = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0])


class Meeting(TorchLearner[Any]):
    """A critic that values a batch only while all others do."""

    barrier: Barrier

    def forward(self, batch: Sequences) -> ValueOutputs:
        self.barrier.wait(timeout=30)
        outputs: ValueOutputs = super().forward(batch)
        return outputs


def critic(kind: type[TorchLearner[Any]], module: Any) -> TorchLearner[Any]:
    return kind(
        module,
        AdamW(1e-2, 0.0, (0.9, 0.95), 1.0, 0, "constant", 10),
        device=torch.device("cpu"),
        dtype=torch.float32,
        micro_batch_tokens=60,
        gradient_checkpointing=False,
        share_prompts=True,
    )


@pytest.fixture
def learnt(
    make_model: Callable[..., Any], papers_targets: Callable[..., Targets], batch: Sequences
) -> Callable[[type[TorchLearner[Any]], bool], Any]:
    return lambda kind, together: learn(kind, together, make_model, papers_targets, batch)


def learn(
    kind: type[TorchLearner[Any]],
    together: bool,
    make_model: Callable[..., Any],
    papers_targets: Callable[..., Targets],
    batch: Sequences,
) -> Any:
    """Metrics and weights after a step of three critics."""
    critics = [critic(kind, ValueModel(make_model("qwen3", seed).base_model)) for seed in (1, 2, 3)]
    update = CriticUpdate(critics, ValueObjective(None), Passes(2, 2), "by_response", together)
    values, mask = update.values(batch), batch.response_mask
    targets = papers_targets(values, OUTCOMES, mask)
    metrics = update.learn(batch, torch.arange(9) // 3, targets, values, seed=0)
    return metrics, [{n: w.clone() for n, w in one.weights()} for one in critics]


def test_critics_that_learn_together_learn_the_same(learnt: Callable[..., Any]) -> None:
    Meeting.barrier = Barrier(3)
    expected, weights = learnt(TorchLearner, False)
    metrics, others = learnt(Meeting, True)
    assert metrics == expected and list(metrics) == list(expected)
    for one, other in zip(weights, others, strict=True):
        assert all(torch.equal(weight, other[name]) for name, weight in one.items())


class Skipping(TorchLearner[Any]):
    """A critic whose engine takes no step."""

    def optimizer_step(self) -> StepReport:
        return replace(super().optimizer_step(), skipped=True)


def test_steps_that_an_engine_skips_are_counted(learnt: Callable[..., Any]) -> None:
    metrics, _ = learnt(TorchLearner, False)
    assert [metrics[f"critic_{m}/skipped_steps"] for m in range(3)] == [0, 0, 0]
    metrics, _ = learnt(Skipping, False)
    # Two mini-batches, twice.
    assert [metrics[f"critic_{m}/skipped_steps"] for m in range(3)] == [4, 4, 4]


def test_what_is_raised_in_the_background_reaches_the_one_who_asks() -> None:
    def fail() -> int:
        raise KeyboardInterrupt

    assert in_background(lambda: 3).result(5) == 3
    with pytest.raises(KeyboardInterrupt):
        in_background(fail).result(5)
