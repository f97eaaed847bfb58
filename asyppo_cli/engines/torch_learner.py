"""A learner in plain torch, in this process: AdamW, token-budget micro-batches, bf16 or float32."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from asyppo_cli.engines.microbatches import plan_micro_batches
from asyppo_cli.ports import NonFiniteLoss
from asyppo_cli.types import LossTerms, Sequences, StepReport, TensorRecord

Outputs = TypeVar("Outputs", bound=TensorRecord)
Targets = TypeVar("Targets", bound=TensorRecord)

OPTIMIZER_FILE = "optimizer.safetensors"
PROGRESS_FILE = "optimizer.json"


@dataclass(frozen=True)
class AdamW:
    """Numbers of the optimizer and its schedule; ``total_steps`` is where a falling schedule ends."""

    lr: float
    weight_decay: float
    betas: tuple[float, float]
    max_grad_norm: float
    warmup_steps: int
    schedule: Literal["constant", "linear", "cosine"]
    total_steps: int

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
        module: nn.Module,
        optimizer: AdamW,
        *,
        device: torch.device,
        dtype: torch.dtype,
        micro_batch_tokens: int,
        gradient_checkpointing: bool,
    ) -> None:
        self._module = module.to(device)
        self._settings = optimizer
        self._device = device
        self._dtype = dtype
        self._micro_batch_tokens = micro_batch_tokens
        self._steps = 0
        if gradient_checkpointing:
            enable_checkpointing(module)
        self._optimizer = torch.optim.AdamW(
            module.parameters(), lr=optimizer.lr, betas=optimizer.betas, weight_decay=optimizer.weight_decay, fused=True
        )

    @torch.no_grad()
    def forward(self, batch: Sequences) -> Outputs:
        """Outputs at every response token, without gradient, on the CPU."""
        parts = plan_micro_batches(batch.lengths, self._micro_batch_tokens)
        return self._gather([self._run(batch.rows(rows)) for rows in parts], parts, batch)

    def forward_backward(
        self, batch: Sequences, targets: Targets, loss: Callable[[Outputs, Targets], LossTerms]
    ) -> tuple[Outputs, Mapping[str, float]]:
        """Accumulate the gradient over micro-batches; see :class:`~asyppo_cli.ports.Learner`."""
        parts = plan_micro_batches(batch.lengths, self._micro_batch_tokens)
        outputs, sums = [], dict[str, Tensor]()
        for rows in parts:
            micro = batch.rows(rows)
            output = self._run(micro)
            terms = loss(output, self._to_device(targets.rows(rows, int(micro.response_lengths.max()))))
            if not torch.isfinite(terms.loss):
                self._optimizer.zero_grad()
                raise NonFiniteLoss(f"the loss is {terms.loss.item()}")
            terms.loss.backward()  # type: ignore[no-untyped-call]
            outputs.append(output)
            for name, value in {"loss": terms.loss, **terms.sums}.items():
                sums[name] = sums.get(name, torch.zeros((), device=self._device)) + value.detach()
        return self._gather(outputs, parts, batch), {name: value.item() for name, value in sums.items()}

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
        """Write the model in Hugging Face form, every weight, and the optimizer as tensors and numbers (no pickle)."""
        from safetensors.torch import save_file

        directory.mkdir(parents=True, exist_ok=True)
        self._module.save(directory)  # type: ignore[operator]
        state = self._optimizer.state_dict()["state"]
        tensors = {f"{index}.{name}": value for index, entry in state.items() for name, value in entry.items()}
        save_file(tensors, directory / OPTIMIZER_FILE)
        (directory / PROGRESS_FILE).write_text(json.dumps({"steps": self._steps}))

    def load(self, directory: Path) -> None:
        """Take back what :meth:`save` wrote, to the bit."""
        from safetensors.torch import load_file

        load_weights_into(self._module, directory)
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in load_file(directory / OPTIMIZER_FILE).items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = tensor
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})
        self._steps = json.loads((directory / PROGRESS_FILE).read_text())["steps"]

    def close(self) -> None:
        """Nothing outside this process is held."""

    def _run(self, micro: Sequences) -> Outputs:
        """One forward pass, in the compute precision."""
        device = self._device
        moved = Sequences(micro.tokens.to(device), micro.prompt_lengths.to(device), micro.response_lengths.to(device))
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self._dtype == torch.bfloat16):
            output: Outputs = self._module(moved)
        return output

    def _to_device(self, targets: Targets) -> Targets:
        if self._device.type == "cpu":
            return targets
        return type(targets)(**{k: None if v is None else v.to(self._device) for k, v in vars(targets).items()})

    def _gather(self, outputs: list[Outputs], parts: list[Tensor], batch: Sequences) -> Outputs:
        """Micro-batch outputs as one record in the batch's order and width."""
        shape = (len(batch), int(batch.response_lengths.max()))
        gathered = {}
        for name in vars(outputs[0]):
            whole = torch.zeros(shape)
            for rows, output in zip(parts, outputs, strict=True):
                value = getattr(output, name).detach().cpu()
                whole[rows, : value.shape[1]] = value
            gathered[name] = whole
        return type(outputs[0])(**gathered)


def enable_checkpointing(module: nn.Module) -> None:
    """Recompute activations in the backward pass. Transformers does so in training mode only; no model of ours has
    dropout left on, so the mode changes nothing else.
    """
    inner: Any = getattr(module, "model", None) or getattr(module, "backbone", None)
    for part in inner.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    inner.config.attention_dropout = 0.0
    inner.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    module.train()


def load_weights_into(module: nn.Module, directory: Path) -> None:
    """Copy the weights saved in ``directory`` into a module; a missing or foreign weight is an error."""
    from safetensors.torch import load_file

    from asyppo_cli.engines.models import VALUE_HEAD_FILE

    inner: Any = getattr(module, "model", None) or getattr(module, "backbone", None)
    saved: dict[str, Tensor] = {}
    for file in sorted(directory.glob("model*.safetensors")):
        saved.update(load_file(file))
    # A tied output matrix is not saved a second time.
    tied = set(getattr(inner, "all_tied_weights_keys", None) or {})
    missing, unexpected = inner.load_state_dict(saved, strict=False)
    if set(missing) - tied or unexpected:
        raise ValueError(f"{directory} is not a checkpoint of this model: weights {[*missing, *unexpected][:3]} differ")
    if (directory / VALUE_HEAD_FILE).is_file():
        module.get_submodule("head").load_state_dict(load_file(directory / VALUE_HEAD_FILE))
