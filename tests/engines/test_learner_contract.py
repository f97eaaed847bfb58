"""What every learner must do, run over all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asyppo_cli.engines.hf.models import PolicyModel, ValueModel
from asyppo_cli.engines.torch.learner import AdamW, TorchLearner
from asyppo_cli.ports import Learner, NonFiniteLoss
from asyppo_cli.types import LossTerms, PolicyOutputs, Sequences, TensorRecord, ValueOutputs

# DeepSpeed imports torch's compiler and calls collectives by their older names.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.distributed:FutureWarning"),
]

SETTINGS = AdamW(
    lr=1e-2, weight_decay=0.1, betas=(0.9, 0.95), max_grad_norm=1.0, warmup_steps=2, schedule="cosine", total_steps=20
)


def torch_learner(
    module: Any, budget: int = 40, checkpointing: bool = False, share: bool = True, moments_dir: Path | None = None
) -> TorchLearner[Any]:
    return TorchLearner(
        module,
        replace(SETTINGS, moments_dir=moments_dir),
        device=torch.device("cpu"),
        dtype=torch.float32,
        micro_batch_tokens=budget,
        gradient_checkpointing=checkpointing,
        share_prompts=share,
    )


def deepspeed_learner(
    module: Any,
    budget: int = 40,
    stage: int = 2,
    offload: Any = "none",
    checkpointing: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Learner[Any]:
    from asyppo_cli.engines.deepspeed.learner import DeepSpeedLearner

    return DeepSpeedLearner(
        module,
        SETTINGS,
        device=torch.device("cpu"),
        dtype=dtype,
        micro_batch_tokens=budget,
        gradient_checkpointing=checkpointing,
        share_prompts=True,
        stage=stage,
        offload=offload,
    )


HERE: dict[str, Callable[..., Learner[Any]]] = {
    "torch": torch_learner,
    "torch-moments-in-a-file": partial(torch_learner, moments_dir=Path(__file__).parent),
    "torch-checkpointing": partial(torch_learner, checkpointing=True),
    "deepspeed-0": partial(deepspeed_learner, stage=0),
    "deepspeed-2-offload": partial(deepspeed_learner, stage=2, offload="optimizer"),
    "deepspeed-2": partial(deepspeed_learner, stage=2),
    "deepspeed-3": partial(deepspeed_learner, stage=3),
    "deepspeed-1-checkpointing": partial(deepspeed_learner, stage=1, checkpointing=True),
    "deepspeed-3-checkpointing-offload": partial(deepspeed_learner, stage=3, offload="all", checkpointing=True),
}
ON_TWO_RANKS: dict[str, Callable[..., Learner[Any]]] = {
    f"two-ranks-deepspeed-{stage}": partial(deepspeed_learner, stage=stage) for stage in range(4)
}
ON_TWO_RANKS["two-ranks-deepspeed-2-offload"] = partial(deepspeed_learner, stage=2, offload="optimizer")
ON_TWO_RANKS["two-ranks-deepspeed-3-offload"] = partial(deepspeed_learner, stage=3, offload="all")
# All of them take minutes. These are the same code as others, and their numbers are compared with torch's in any case.
SLOW = {
    "deepspeed-3-checkpointing-offload",
    "two-ranks-deepspeed-0",
    "two-ranks-deepspeed-1",
    "two-ranks-deepspeed-2-offload",
    "two-ranks-deepspeed-3-offload",
}

# Processes that are Ray actors: how many, and what each of them builds.
ON_RAY: dict[str, tuple[int, Callable[..., Learner[Any]]]] = {
    "ray-torch": (1, torch_learner),
    "ray-two-ranks-deepspeed-2": (2, partial(deepspeed_learner, stage=2)),
}


@pytest.fixture(
    params=[
        pytest.param(kind, marks=pytest.mark.slow) if kind in SLOW else kind for kind in [*HERE, *ON_TWO_RANKS, *ON_RAY]
    ]
)
def make_learner(request: pytest.FixtureRequest) -> Iterator[Callable[..., Learner[Any]]]:
    kind: str = request.param
    if "deepspeed" in kind and find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed (extra: cpu-engines)")
    if kind in HERE:
        yield HERE[kind]
        return
    if kind in ON_RAY:
        yield request.getfixturevalue("ray_desk").learners_of(__name__, *ON_RAY[kind])
        return
    group = request.getfixturevalue("two_ranks")
    group.know(__name__, __file__)
    yield lambda module, budget=40: group.learner(partial(ON_TWO_RANKS[kind], budget=budget), module)
    group.reset_cache()


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


def test_shared_prompts_change_no_number(
    make_learner: Callable[..., Learner[Any]], make_model: Callable[..., Any], groups: Sequences
) -> None:
    alone = torch_learner(PolicyModel(make_model("qwen3"), 1.0), share=False)
    expected, sums = alone.forward_backward(groups, uniform(groups), policy_loss)
    norm = alone.optimizer_step().grad_norm
    for budget in (40, 10_000):
        learner = make_learner(PolicyModel(make_model("qwen3"), 1.0), budget)
        seen, same = learner.forward_backward(groups, uniform(groups), policy_loss)
        assert same["loss"] == pytest.approx(sums["loss"], rel=1e-5)
        torch.testing.assert_close(seen.logprobs, expected.logprobs, atol=2e-5, rtol=1e-4)
        assert learner.optimizer_step().grad_norm == pytest.approx(norm, rel=1e-4)


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


def broken_gradient(outputs: PolicyOutputs, targets: Weights) -> LossTerms:
    # The root's slope at zero is infinite, and zero times infinity is no number.
    return LossTerms((outputs.logprobs * 0.0).abs().sqrt().sum(), {})


def test_a_gradient_that_is_not_finite_changes_nothing_and_is_forgotten(
    make_learner: Callable[..., Learner[Any]], make_model: Callable[..., Any], batch: Sequences
) -> None:
    learner = make_learner(PolicyModel(make_model("qwen3"), 1.0))
    before = state(learner)
    learner.forward_backward(batch, uniform(batch), policy_loss)
    assert learner.forward_backward(batch, uniform(batch), broken_gradient)[1]["loss"] == 0.0
    with pytest.raises(NonFiniteLoss, match="gradient's norm"):
        learner.optimizer_step()
    for name, weight in learner.weights():
        assert torch.equal(weight, before[name])
    expected = train(torch_learner(PolicyModel(make_model("qwen3"), 1.0)), batch, policy_loss, 2)
    assert train(learner, batch, policy_loss, 2) == pytest.approx(expected, rel=1e-5)


def test_rates_warm_up_and_fall() -> None:
    rates = [SETTINGS.rate(step) for step in range(21)]
    assert rates[0] == pytest.approx(5e-3) and rates[2] == pytest.approx(1e-2)
    assert rates[11] == pytest.approx(5e-3) and rates[20] == pytest.approx(0.0)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[2:]))
