"""What is DeepSpeed's own; what it shares with every learner is in the contract suite."""

from __future__ import annotations

import logging
import math
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asyppo_cli.config.load import load, load_warmstart
from asyppo_cli.engines.deepspeed import engine
from asyppo_cli.engines.hf.models import PolicyModel, ValueModel
from asyppo_cli.engines.torch.learner import AdamW, TorchLearner
from asyppo_cli.ports import Learner, NonFiniteLoss
from asyppo_cli.training.objectives import ValueObjective
from asyppo_cli.types import LossTerms, PolicyOutputs, Sequences, TensorRecord, ValueTargets

# DeepSpeed imports torch's compiler and calls collectives by their older names.
pytestmark = [
    pytest.mark.skipif(find_spec("deepspeed") is None, reason="deepspeed is not installed (extra: cpu-engines)"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.distributed:FutureWarning"),
]

SETTINGS = AdamW(
    lr=1e-2, weight_decay=0.1, betas=(0.9, 0.95), max_grad_norm=1.0, warmup_steps=2, schedule="cosine", total_steps=20
)
STAGES = range(4)


def torch_learner(module: Any, dtype: torch.dtype = torch.float32, moments_dir: Path | None = None) -> Learner[Any]:
    return TorchLearner(
        module,
        replace(SETTINGS, moments_dir=moments_dir),
        device=torch.device("cpu"),
        dtype=dtype,
        micro_batch_tokens=40,
        gradient_checkpointing=False,
        share_prompts=True,
    )


def deepspeed_learner(
    module: Any, stage: int, offload: Any = "none", dtype: torch.dtype = torch.float32, budget: int = 40
) -> Learner[Any]:
    from asyppo_cli.engines.deepspeed.learner import DeepSpeedLearner

    return DeepSpeedLearner(
        module,
        SETTINGS,
        device=torch.device("cpu"),
        dtype=dtype,
        micro_batch_tokens=budget,
        gradient_checkpointing=False,
        share_prompts=True,
        stage=stage,
        offload=offload,
    )


@pytest.fixture
def on_two_ranks(two_ranks: Any) -> Iterator[Callable[..., Learner[Any]]]:
    """``on_two_ranks(module, stage)``: a learner on two ranks."""
    two_ranks.know(__name__, __file__)
    yield lambda module, stage, **more: two_ranks.learner(partial(deepspeed_learner, stage=stage, **more), module)
    two_ranks.reset_cache()


@dataclass(frozen=True)
class Weights(TensorRecord):
    weights: Tensor


def policy_loss(outputs: PolicyOutputs, targets: Weights) -> LossTerms:
    return LossTerms(((outputs.entropy - outputs.logprobs) * targets.weights).sum(), {})


def uniform(batch: Sequences) -> Weights:
    return Weights(batch.response_mask / batch.response_mask.sum())


def train(learner: Learner[Any], batch: Sequences, steps: int) -> list[float]:
    """Loss and norm of the gradient before it is clipped, of each step."""
    numbers = []
    for _ in range(steps):
        numbers.append(learner.forward_backward(batch, uniform(batch), policy_loss)[1]["loss"])
        numbers.append(learner.optimizer_step().grad_norm)
    return numbers


def assert_same(numbers: list[float], expected: list[float]) -> None:
    """To float32's rounding in another order, which Adam's first steps amplify."""
    assert numbers[::2] == pytest.approx(expected[::2], rel=1e-5)
    assert numbers[1::2] == pytest.approx(expected[1::2], rel=1e-4)


def state(learner: Learner[Any]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in learner.weights()}


@pytest.fixture
def policy(make_model: Callable[..., Any]) -> Callable[..., PolicyModel]:
    return lambda seed=0: PolicyModel(make_model("qwen3", seed), 1.0)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("stage", STAGES)
def test_it_gives_the_torch_learners_numbers(
    policy: Callable[..., PolicyModel], batch: Sequences, request: pytest.FixtureRequest, stage: int, ranks: int
) -> None:
    reference = torch_learner(policy())
    expected = train(reference, batch, 6)
    make = deepspeed_learner if ranks == 1 else request.getfixturevalue("on_two_ranks")
    learner = make(policy(), stage)
    assert_same(train(learner, batch, 6), expected)
    given = state(learner)
    for name, weight in reference.weights():
        torch.testing.assert_close(given[name], weight, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("stage", STAGES)
def test_bfloat16_stays_near_the_torch_learners(
    policy: Callable[..., PolicyModel], batch: Sequences, stage: int
) -> None:
    expected = train(torch_learner(policy(), torch.bfloat16), batch, 4)
    learner = deepspeed_learner(policy(), stage, dtype=torch.bfloat16)
    numbers = train(learner, batch, 4)
    assert numbers[0] == pytest.approx(expected[0], rel=1e-3) and numbers[1] == pytest.approx(expected[1], rel=0.02)
    assert numbers[::2] == pytest.approx(expected[::2], rel=0.03)
    assert {w.dtype for w in state(learner).values()} == {torch.float32 if stage == 0 else torch.bfloat16}


@pytest.mark.parametrize("stage", [1, 3])
def test_bfloat16_resumes_from_float32_masters(
    policy: Callable[..., PolicyModel], batch: Sequences, tmp_path: Path, stage: int
) -> None:
    through = deepspeed_learner(policy(), stage, dtype=torch.bfloat16)
    train(through, batch, 2)
    through.save(tmp_path)
    expected = train(through, batch, 2)
    resumed = deepspeed_learner(policy(1), stage, dtype=torch.bfloat16)
    resumed.load(tmp_path)
    assert train(resumed, batch, 2) == expected
    assert '"dtype": "float32"' in (tmp_path / "config.json").read_text()


def test_a_checkpoint_goes_on_under_any_engine_and_number_of_ranks(
    policy: Callable[..., PolicyModel],
    batch: Sequences,
    tmp_path: Path,
    on_two_ranks: Callable[..., Learner[Any]],
) -> None:
    through = torch_learner(policy())
    expected = train(through, batch, 10)
    seen: list[float] = []
    stations = [
        torch_learner(policy(1)),
        on_two_ranks(policy(2), 3),
        deepspeed_learner(policy(3), 1),
        on_two_ranks(policy(4), 2, offload="optimizer"),
        torch_learner(policy(5)),
    ]
    torch_learner(policy()).save(tmp_path / "0")
    for number, learner in enumerate(stations):
        learner.load(tmp_path / f"{number}")
        seen += train(learner, batch, 2)
        learner.save(tmp_path / f"{number + 1}")
    assert_same(seen, expected)


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_moments_in_a_file_go_on_in_memory(
    policy: Callable[..., PolicyModel], batch: Sequences, tmp_path: Path, stage: int
) -> None:
    through = torch_learner(policy(), moments_dir=Path(__file__).parent)
    train(through, batch, 3)
    through.save(tmp_path)
    resumed, expected = deepspeed_learner(policy(1), stage), torch_learner(policy(2))
    for learner in (resumed, expected):
        learner.load(tmp_path)
    assert_same(train(resumed, batch, 3), train(expected, batch, 3))


def test_moments_larger_than_a_part_are_written_in_parts(
    policy: Callable[..., PolicyModel], batch: Sequences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyppo_cli.engines.torch.checkpoint_files.PART_BYTES", 20_000)
    through = torch_learner(policy())
    train(through, batch, 2)
    through.save(tmp_path)
    assert len(list(tmp_path.glob("optimizer*.safetensors"))) > 3
    resumed = deepspeed_learner(policy(1), 2)
    resumed.load(tmp_path)
    assert_same(train(resumed, batch, 2), train(through, batch, 2))


def test_a_checkpoint_from_before_the_first_step_forgets_what_was_learnt_since(
    policy: Callable[..., PolicyModel], batch: Sequences, tmp_path: Path
) -> None:
    learner = deepspeed_learner(policy(), 2)
    learner.save(tmp_path)
    first = train(learner, batch, 3)
    learner.load(tmp_path)
    assert train(learner, batch, 3) == first


@pytest.mark.parametrize("stage", STAGES)
def test_a_rank_without_rows_takes_part(
    policy: Callable[..., PolicyModel], batch: Sequences, on_two_ranks: Callable[..., Learner[Any]], stage: int
) -> None:
    alone = batch.rows(torch.tensor([3]))
    expected = train(torch_learner(policy()), alone, 2)
    learner = on_two_ranks(policy(), stage)
    assert_same(train(learner, alone, 2), expected)
    assert learner.forward(alone).logprobs.shape == alone.response_mask.shape


@pytest.mark.parametrize(("stage", "poison"), [(0, math.inf), (1, math.nan), (2, math.inf), (3, math.nan)])
def test_one_bad_row_stops_all_ranks_and_leaves_no_gradient(
    policy: Callable[..., PolicyModel],
    batch: Sequences,
    on_two_ranks: Callable[..., Learner[Any]],
    stage: int,
    poison: float,
) -> None:
    expected = train(torch_learner(policy()), batch, 2)
    learner = on_two_ranks(policy(), stage, budget=10)
    before = state(learner)
    poisoned = uniform(batch)
    poisoned.weights[int(batch.lengths.argmin()), 0] = poison
    with pytest.raises(NonFiniteLoss, match="loss is"):
        learner.forward_backward(batch, poisoned, policy_loss)
    assert all(torch.equal(weight, before[name]) for name, weight in learner.weights())
    assert_same(train(learner, batch, 2), expected)


def test_policy_and_critics_live_in_one_process(make_model: Callable[..., Any], batch: Sequences) -> None:
    def critic() -> ValueModel:
        return ValueModel(make_model("qwen3").base_model)

    def learn(actor: Learner[Any], values: Learner[Any]) -> list[float]:
        mask = batch.response_mask
        targets = ValueTargets(mask, mask / mask.sum(), mask.float())
        losses = []
        for _ in range(3):
            _, sums = values.forward_backward(batch, targets, ValueObjective(None))
            losses += [sums["loss"], *train(actor, batch, 1)]
            values.optimizer_step()
        return losses

    expected = learn(torch_learner(PolicyModel(make_model("qwen3"), 1.0)), torch_learner(critic()))
    # Stage 3 cuts its own model into parts, and no model that is made after it.
    actor = deepspeed_learner(PolicyModel(make_model("qwen3"), 1.0), 3)
    second = critic()
    assert all(parameter.numel() > 0 for parameter in second.parameters())
    assert learn(actor, deepspeed_learner(second, 1)) == pytest.approx(expected, rel=1e-4)


def test_it_is_quiet_and_compiles_nothing(
    policy: Callable[..., PolicyModel],
    batch: Sequences,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "compiled"))
    capfd.readouterr()
    with caplog.at_level(logging.WARNING):
        for stage in STAGES:
            train(deepspeed_learner(policy(), stage, dtype=torch.bfloat16), batch, 2)
    assert not [record.getMessage() for record in caplog.records]
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / "compiled").exists()


def test_the_learning_rate_follows_the_schedule(policy: Callable[..., PolicyModel], batch: Sequences) -> None:
    learner = deepspeed_learner(policy(), 2)
    rates = []
    for _ in range(5):
        learner.forward_backward(batch, uniform(batch), policy_loss)
        report = learner.optimizer_step()
        assert not report.skipped
        rates.append(report.lr)
    assert rates == [SETTINGS.rate(step) for step in range(5)]


@pytest.mark.parametrize("installed", [None, "0.18.2"])
def test_a_missing_or_other_version_is_one_line(monkeypatch: pytest.MonkeyPatch, installed: str | None) -> None:
    def version(_name: str) -> str:
        if installed is None:
            raise engine.PackageNotFoundError
        return installed

    monkeypatch.setattr(engine, "version", version)
    with pytest.raises(ValueError, match=f"installed is {installed or 'none'}: .* install .*deepspeed==") as told:
        engine.check_deepspeed()
    assert "\n" not in str(told.value)


def test_the_version_is_that_of_the_extras() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    for extra in ("cpu-engines", "gpu-engines"):
        wanted = project["optional-dependencies"][extra]
        assert f"deepspeed=={engine.DEEPSPEED_VERSION}" in wanted


@pytest.mark.parametrize(
    ("stage", "offload", "said"),
    [(0, "optimizer", "stage=1 or more, not 0"), (2, "all", "stage=3, not 2")],
)
def test_only_what_is_shared_out_can_be_offloaded(stage: int, offload: str, said: str) -> None:
    overrides = ["learner=deepspeed", f"learner.deepspeed.stage={stage}", f"learner.deepspeed.offload={offload}"]
    with pytest.raises(ValueError, match=said):
        load(overrides)


def test_moments_in_a_file_are_torchs() -> None:
    with pytest.raises(ValueError, match="learner.moments_dir=/nvme needs learner=torch, not deepspeed"):
        load(["learner.moments_dir=/nvme", "learner=deepspeed"])


def test_a_warm_start_says_that_it_needs_torch() -> None:
    with pytest.raises(ValueError, match="set learner=torch"):
        load_warmstart(["learner.engine=deepspeed"])


def test_another_accelerator_than_asked_for_is_refused() -> None:
    with pytest.raises(ValueError, match="DeepSpeed computes on cpu"):
        engine.load_deepspeed(torch.device("cuda"))
    assert "deepspeed" in sys.modules
