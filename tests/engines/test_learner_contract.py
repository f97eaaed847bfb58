"""What every learner must do, run over all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asyppo_cli.engines.models import PolicyModel, ValueModel
from asyppo_cli.engines.torch_learner import AdamW, TorchLearner
from asyppo_cli.ports import Learner, NonFiniteLoss
from asyppo_cli.types import LossTerms, PolicyOutputs, Sequences, TensorRecord, ValueOutputs

SETTINGS = AdamW(
    lr=1e-2, weight_decay=0.1, betas=(0.9, 0.95), max_grad_norm=1.0, warmup_steps=2, schedule="cosine", total_steps=20
)


def torch_learner(module: Any, budget: int = 40, checkpointing: bool = False) -> TorchLearner[Any]:
    return TorchLearner(
        module,
        SETTINGS,
        device=torch.device("cpu"),
        dtype=torch.float32,
        micro_batch_tokens=budget,
        gradient_checkpointing=checkpointing,
    )


LEARNERS: dict[str, Callable[..., Learner[Any]]] = {
    "torch": torch_learner,
    "torch-checkpointing": lambda module, budget=40: torch_learner(module, budget, checkpointing=True),
}


@pytest.fixture(params=LEARNERS)
def make_learner(request: pytest.FixtureRequest) -> Callable[..., Learner[Any]]:
    return LEARNERS[request.param]


@dataclass(frozen=True)
class Weights(TensorRecord):
    weights: Tensor


def policy_loss(outputs: PolicyOutputs, targets: Weights) -> LossTerms:
    loss = ((outputs.entropy - outputs.logprobs) * targets.weights).sum()
    return LossTerms(loss, {"tokens": (targets.weights != 0).sum()})


def value_loss(outputs: ValueOutputs, targets: Weights) -> LossTerms:
    return LossTerms(((outputs.values - 1.0).square() * targets.weights).sum(), {})


def uniform(batch: Sequences) -> Weights:
    mask = batch.response_mask
    return Weights(mask / mask.sum())


def state(learner: Learner[Any]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in learner.weights()}


def train(learner: Learner[Any], batch: Sequences, loss: Any, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        _, sums = learner.forward_backward(batch, uniform(batch), loss)
        learner.optimizer_step()
        losses.append(sums["loss"])
    return losses


def test_any_split_gives_the_same_gradient(
    make_learner: Callable[..., Learner[Any]], make_model: Callable[..., Any], batch: Sequences
) -> None:
    norms, after = [], []
    for budget in (1, 30, 10_000):
        learner = make_learner(PolicyModel(make_model("qwen3"), 1.0), budget)
        _, sums = learner.forward_backward(batch, uniform(batch), policy_loss)
        assert sums["tokens"] == int(batch.response_lengths.sum())
        norms.append(learner.optimizer_step().grad_norm)
        after.append(state(learner))
    assert norms[0] == pytest.approx(norms[2], rel=1e-4) and norms[1] == pytest.approx(norms[2], rel=1e-4)
    for name, weight in after[0].items():
        torch.testing.assert_close(weight, after[2][name], atol=2e-4, rtol=1e-3)


def test_gradient_is_autograds_own(
    make_learner: Callable[..., Learner[Any]], make_model: Callable[..., Any], batch: Sequences
) -> None:
    learner = make_learner(PolicyModel(make_model("qwen3"), 1.0))
    learner.forward_backward(batch, uniform(batch), policy_loss)
    module = PolicyModel(make_model("qwen3"), 1.0)
    policy_loss(module(batch), uniform(batch)).loss.backward()
    expected = torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])
    assert learner.optimizer_step().grad_norm == pytest.approx(float(expected), rel=1e-4)


def test_outputs_come_in_the_batchs_order(
    make_learner: Callable[..., Learner[Any]], make_model: Callable[..., Any], batch: Sequences
) -> None:
    learner = make_learner(PolicyModel(make_model("qwen3"), 1.0), 30)
    expected = PolicyModel(make_model("qwen3"), 1.0)(batch)
    seen, _ = learner.forward_backward(batch, uniform(batch), policy_loss)
    for outputs in (learner.forward(batch), seen):
        torch.testing.assert_close(outputs.logprobs, expected.logprobs.detach(), atol=1e-5, rtol=1e-4)
        assert not outputs.logprobs.requires_grad and outputs.logprobs.shape == batch.response_mask.shape


def test_training_lowers_the_loss(
    make_learner: Callable[..., Learner[Any]], make_model: Callable[..., Any], batch: Sequences
) -> None:
    losses = train(make_learner(ValueModel(make_model("qwen3").base_model)), batch, value_loss, 12)
    assert losses[0] == pytest.approx(1.0, rel=1e-5) and losses[-1] < 0.2


@pytest.mark.parametrize("kind", ["policy", "value"])
def test_save_and_load_continue_to_the_bit(
    make_learner: Callable[..., Learner[Any]],
    make_model: Callable[..., Any],
    batch: Sequences,
    tmp_path: Path,
    kind: str,
) -> None:
    def new(seed: int) -> Learner[Any]:
        model = make_model("qwen3", seed)
        return make_learner(PolicyModel(model, 1.0) if kind == "policy" else ValueModel(model.base_model))

    loss = policy_loss if kind == "policy" else value_loss
    through = new(0)
    train(through, batch, loss, 3)
    through.save(tmp_path / "saved")
    expected = train(through, batch, loss, 3)
    resumed = new(1)
    resumed.load(tmp_path / "saved")
    assert train(resumed, batch, loss, 3) == expected
    for name, weight in through.weights():
        assert torch.equal(weight, dict(resumed.weights())[name]), name


def test_a_saved_policy_is_an_ordinary_hugging_face_model(
    make_learner: Callable[..., Learner[Any]], make_model: Callable[..., Any], batch: Sequences, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    learner = make_learner(PolicyModel(make_model("qwen3"), 1.0))
    train(learner, batch, policy_loss, 2)
    learner.save(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    for name, weight in learner.weights():
        assert torch.equal(weight, loaded.get_parameter(name)), name


def test_saved_files_hold_no_code(
    make_learner: Callable[..., Learner[Any]], make_model: Callable[..., Any], batch: Sequences, tmp_path: Path
) -> None:
    learner = make_learner(PolicyModel(make_model("qwen3"), 1.0))
    train(learner, batch, policy_loss, 1)
    learner.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".safetensors", ".json", ".jinja"}


def test_a_checkpoint_of_another_model_is_refused(
    make_learner: Callable[..., Learner[Any]], make_model: Callable[..., Any], batch: Sequences, tmp_path: Path
) -> None:
    learner = make_learner(PolicyModel(make_model("llama"), 1.0))
    train(learner, batch, policy_loss, 1)
    learner.save(tmp_path)
    with pytest.raises(ValueError, match="not a checkpoint of this model"):
        make_learner(PolicyModel(make_model("qwen3"), 1.0)).load(tmp_path)


def test_a_loss_that_is_not_finite_changes_nothing(
    make_learner: Callable[..., Learner[Any]], make_model: Callable[..., Any], batch: Sequences
) -> None:
    learner = make_learner(PolicyModel(make_model("qwen3"), 1.0))
    before = state(learner)
    poisoned = Weights(uniform(batch).weights * float("nan"))
    with pytest.raises(NonFiniteLoss, match="nan"):
        learner.forward_backward(batch, poisoned, policy_loss)
    for name, weight in learner.weights():
        assert torch.equal(weight, before[name])


def test_rates_warm_up_and_fall() -> None:
    rates = [SETTINGS.rate(step) for step in range(21)]
    assert rates[0] == pytest.approx(5e-3) and rates[2] == pytest.approx(1e-2)
    assert rates[11] == pytest.approx(5e-3) and rates[20] == pytest.approx(0.0)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[2:]))
