"""What is the plain learner's own; what it shares with every learner is in the contract suite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from asyppo_cli.engines.hf.models import PolicyModel
from asyppo_cli.engines.torch.learner import AdamW, TorchLearner
from asyppo_cli.training.objectives import LikelihoodObjective
from asyppo_cli.types import PolicyTargets, Sequences


def learner(module: Any, budget: int) -> TorchLearner[Any]:
    return TorchLearner(
        module,
        AdamW(1e-3, 0.0, (0.9, 0.95), 1.0, 0, "constant", 10),
        device=torch.device("cpu"),
        dtype=torch.bfloat16,
        micro_batch_tokens=budget,
        gradient_checkpointing=False,
        share_prompts=True,
    )


def targets(batch: Sequences) -> PolicyTargets:
    mask = batch.response_mask
    return PolicyTargets(mask, mask / mask.sum(), mask, mask, mask)


class Casts(TorchDispatchMode):
    """How often a matrix of a layer is cast."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.shape, self.count = shape, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default and isinstance(result, Tensor):
            self.count += result.shape == self.shape and result.dtype == torch.bfloat16
        return result


def test_weights_are_cast_once_a_pass_and_not_once_a_micro_batch(
    make_model: Callable[..., Any], batch: Sequences
) -> None:
    module = PolicyModel(make_model("qwen3", num_hidden_layers=1), 1.0)
    matrix = module.model.model.layers[0].mlp.down_proj.weight
    casts = Casts(matrix.shape)
    with casts:
        learner(module, 17).forward_backward(batch, targets(batch), LikelihoodObjective())
    assert casts.count == 1
    assert matrix.grad is not None and matrix.grad.dtype == torch.float32


def test_micro_batches_in_bfloat16_add_up_to_the_whole(make_model: Callable[..., Any], batch: Sequences) -> None:
    def gradient(budget: int) -> Tensor:
        module = PolicyModel(make_model("qwen3"), 1.0)
        learner(module, budget).forward_backward(batch, targets(batch), LikelihoodObjective())
        return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])

    whole, parts = gradient(10_000), gradient(17)
    assert (parts - whole).norm() < 0.02 * whole.norm()
