"""A learner in plain torch, in this process: AdamW, token-budget micro-batches, bf16 or float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from asyppo_cli.engines.hf.microbatches import merge
from asyppo_cli.engines.hf.models import PolicyModel, ValueModel
from asyppo_cli.engines.hf.prompt_packing import MicroBatch, plan_packing
from asyppo_cli.engines.torch.checkpoint_files import inner_model, open_moments, open_weights, write_moments
from asyppo_cli.engines.torch.disk_adamw import DiskAdamW
from asyppo_cli.ports import NonFiniteLoss
from asyppo_cli.types import LossTerms, Sequences, StepReport, TensorRecord

Outputs = TypeVar("Outputs", bound=TensorRecord)
Targets = TypeVar("Targets", bound=TensorRecord)


@dataclass(frozen=True)
class AdamW:
    """Numbers of the optimizer and its schedule; ``total_steps`` is where a falling schedule ends.

    ``moments_dir``: its moments lie in a file there (:mod:`~asyppo_cli.engines.torch.disk_adamw`), not in memory.
    """

    lr: float
    weight_decay: float
    betas: tuple[float, float]
    max_grad_norm: float
    warmup_steps: int
    schedule: Literal["constant", "linear", "cosine"]
    total_steps: int
    moments_dir: Path | None = None

    def rate(self, step: int) -> float:
        """Learning rate of optimizer step ``step`` (from 0): linear warm-up, then the schedule's course."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        left = 1.0 - (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        match self.schedule:
            case "constant":
                return self.lr
            case "linear":
                return self.lr * max(0.0, left)
            case "cosine":
                return self.lr * 0.5 * (1.0 - math.cos(math.pi * max(0.0, left)))


class TorchLearner(Generic[Outputs]):
    """Trains one module that maps :class:`Sequences` to ``Outputs``. Implements :class:`~asyppo_cli.ports.Learner`."""

    def __init__(
        self,
        module: PolicyModel | ValueModel,
        optimizer: AdamW,
        *,
        device: torch.device,
        dtype: torch.dtype,
        micro_batch_tokens: int,
        gradient_checkpointing: bool,
        share_prompts: bool,
    ) -> None:
        self._module = module.to(device)
        self._settings = optimizer
        self._device = device
        self._dtype = dtype
        self._micro_batch_tokens = micro_batch_tokens
        self._attention_crossover = module.capabilities.attention_crossover if share_prompts else None
        self._steps = 0
        if gradient_checkpointing:
            enable_checkpointing(module)
        self._optimizer = make_optimizer(module, optimizer)

    @torch.no_grad()
    def forward(self, batch: Sequences) -> Outputs:
        """Outputs at every response token, without gradient, on the CPU."""
        parts = plan_packing(batch, self._micro_batch_tokens, self._attention_crossover)
        with self._precision():
            outputs = [self._run(batch, part) for part in parts]
        return merge(outputs, [part.rows for part in parts], batch)

    def forward_backward(
        self, batch: Sequences, targets: Targets, loss: Callable[[Outputs, Targets], LossTerms]
    ) -> tuple[Outputs, Mapping[str, float]]:
        """Accumulate the gradient over micro-batches; see :class:`~asyppo_cli.ports.Learner`."""
        parts = plan_packing(batch, self._micro_batch_tokens, self._attention_crossover)
        outputs, sums = [], dict[str, Tensor]()
        # One context over all parts: weights are cast to the compute precision once a pass, not once a part.
        with self._precision():
            for part in parts:
                output = self._run(batch, part)
                width = int(batch.response_lengths[part.rows].max())
                with self._precision(off=True):
                    terms = self._learn_from(loss(output, self._to_device(targets.rows(part.rows, width))))
                outputs.append(output)
                for name, value in {"loss": terms.loss, **terms.sums}.items():
                    sums[name] = sums.get(name, torch.zeros((), device=self._device)) + value.detach()
        return merge(outputs, [part.rows for part in parts], batch), {
            name: value.item() for name, value in sums.items()
        }

    def _learn_from(self, terms: LossTerms) -> LossTerms:
        """Add the gradient of one micro-batch; none of the whole batch is left where a loss is not finite."""
        if not torch.isfinite(terms.loss):
            self._optimizer.zero_grad()
            raise NonFiniteLoss(f"the loss is {terms.loss.item()}")
        terms.loss.backward()  # type: ignore[no-untyped-call]
        return terms

    def optimizer_step(self) -> StepReport:
        """Clip by the global norm, step, schedule, clear the gradient."""
        norm = float(nn.utils.clip_grad_norm_(self._module.parameters(), self._settings.max_grad_norm))
        if not math.isfinite(norm):
            self._optimizer.zero_grad()
            raise NonFiniteLoss(f"the gradient's norm is {norm}")
        rate = self._settings.rate(self._steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._steps += 1
        return StepReport(norm, rate)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Names and weights of the inner Hugging Face model."""
        inner: Any = getattr(self._module, "model", self._module)
        for name, parameter in inner.named_parameters():
            yield name, parameter.detach()

    def save(self, directory: Path) -> None:
        """Write the files that every engine reads; see :mod:`~asyppo_cli.engines.torch.checkpoint_files`."""
        directory.mkdir(parents=True, exist_ok=True)
        try:
            self._module.save(directory)
        finally:
            state = self._optimizer.state_dict()["state"]
            moments = ((f"{index}.{name}", value) for index, entry in state.items() for name, value in entry.items())
            write_moments(directory, moments, self._steps)

    def load(self, directory: Path) -> None:
        """Take back what any engine saved: to the bit what this one did."""
        self._module.load_state_dict(dict(open_weights(self._module, directory)), strict=False)
        moments, self._steps = open_moments(directory)
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in moments.items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = tensor
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})

    def close(self) -> None:
        """Nothing outside this process is held."""

    def _run(self, batch: Sequences, part: MicroBatch) -> Outputs:
        """One forward pass."""
        device, micro = self._device, batch.rows(part.rows)
        moved = Sequences(micro.tokens.to(device), micro.prompt_lengths.to(device), micro.response_lengths.to(device))
        output: Outputs = self._module(moved, None if part.sizes is None else part.sizes.to(device))
        return output

    def _precision(self, off: bool = False) -> torch.autocast:
        """Within it models compute in the compute precision; ``off``: in that of their tensors, as losses do."""
        low = self._dtype == torch.bfloat16 and not off
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=low)

    def _to_device(self, targets: Targets) -> Targets:
        if self._device.type == "cpu":
            return targets
        return type(targets)(**{k: None if v is None else v.to(self._device) for k, v in vars(targets).items()})


def make_optimizer(module: nn.Module, settings: AdamW) -> torch.optim.Optimizer:
    """AdamW over a module's weights."""
    lr, betas, decay = settings.lr, settings.betas, settings.weight_decay
    if settings.moments_dir is not None:
        return DiskAdamW(module.parameters(), lr, betas, decay, settings.moments_dir)
    return torch.optim.AdamW(module.parameters(), lr=lr, betas=betas, weight_decay=decay, fused=True)


def enable_checkpointing(module: nn.Module) -> None:
    """Recompute activations in the backward pass. Transformers does so in training mode only, which changes no number
    of these models (:func:`~asyppo_cli.engines.hf.models.disable_dropout`).
    """
    _, inner = inner_model(module)
    inner.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    module.train()
