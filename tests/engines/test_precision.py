"""Values are float32 numbers whatever the backbone computes in, in every engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asyppo_cli.engines.hf.models import ValueModel
from asyppo_cli.engines.torch.checkpoint_files import open_weights
from asyppo_cli.engines.torch.learner import AdamW, TorchLearner
from asyppo_cli.ports import Learner
from asyppo_cli.types import LossTerms, Sequences, TensorRecord, ValueOutputs

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.distributed:FutureWarning"),
]
SETTINGS = AdamW(
    lr=1e-2, weight_decay=0.0, betas=(0.9, 0.95), max_grad_norm=1.0, warmup_steps=0, schedule="constant", total_steps=20
)


@dataclass(frozen=True)
class Returns(TensorRecord):
    returns: Tensor
    mask: Tensor


def value_loss(outputs: ValueOutputs, targets: Returns) -> LossTerms:
    return LossTerms((((outputs.values - targets.returns) ** 2) * targets.mask).sum() / 100, {})


def make_learner(engine: str, module: ValueModel) -> Learner[ValueOutputs]:
    settings: dict[str, Any] = {
        "device": torch.device("cpu"),
        "dtype": torch.bfloat16,
        "micro_batch_tokens": 40,
        "gradient_checkpointing": False,
        "share_prompts": True,
    }
    if engine == "torch":
        return TorchLearner(module, SETTINGS, **settings)
    if find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed (extra: cpu-engines)")
    from asyppo_cli.engines.deepspeed.learner import DeepSpeedLearner

    return DeepSpeedLearner(module, SETTINGS, stage=int(engine[-1]), offload="none", **settings)


def float32_values(engine: str, folder: Path, backbone: Any, batch: Sequences) -> Tensor:
    """The saved float32 head, applied in float32 to the hidden states of a bfloat16 backbone."""
    module = ValueModel(backbone)
    weights = dict(open_weights(module, folder))
    module.load_state_dict(weights, strict=False)
    if engine not in ("torch", "deepspeed-0"):
        module.backbone.to(torch.bfloat16)
    rows = []
    for row in range(len(batch)):
        one = batch.rows(torch.tensor([row]))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=engine in ("torch", "deepspeed-0")):
            hidden = module.backbone(input_ids=one.tokens, use_cache=False).last_hidden_state[0]
        first, count = int(one.prompt_lengths[0]) - 1, int(one.response_lengths[0])
        values = hidden[first : first + count].float() @ weights["head.weight"][0] + weights["head.bias"]
        rows.append(torch.nn.functional.pad(values, (0, int(batch.response_lengths.max()) - count)))
    return torch.stack(rows)


@pytest.mark.parametrize("engine", ["torch", "deepspeed-0", "deepspeed-1", "deepspeed-2", "deepspeed-3"])
def test_values_are_float32_over_a_bfloat16_backbone(
    engine: str, make_model: Callable[..., Any], batch: Sequences, tmp_path: Path
) -> None:
    learner = make_learner(engine, ValueModel(make_model("qwen3").model))
    targets = Returns(torch.rand(batch.response_mask.shape), batch.response_mask)
    for _ in range(3):
        learner.forward_backward(batch, targets, value_loss)
        learner.optimizer_step()
    values = learner.forward(batch).values
    learner.save(tmp_path)
    expected = float32_values(engine, tmp_path, make_model("qwen3", 1).model, batch)
    # Padding moves bfloat16's rounding of hidden states; the head adds none of its own.
    assert float((values - expected)[batch.response_mask].abs().mean()) < 2e-3
    real = values[batch.response_mask]
    assert float((real == real.bfloat16().float()).float().mean()) < 0.1
    resumed = make_learner(engine, ValueModel(make_model("qwen3", 2).model))
    resumed.load(tmp_path)
    assert torch.equal(resumed.forward(batch).values, values)
    learner.close()
    resumed.close()
