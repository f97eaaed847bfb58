"""One rank of a learner whose weights, gradients or moments are shared out over ranks by DeepSpeed's ZeRO."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from asyppo_cli.engines.deepspeed.engine import EngineModule, Offload, engine_settings, load_deepspeed, start_engine
from asyppo_cli.engines.deepspeed.state import EngineState
from asyppo_cli.engines.distributed import init_single_rank
from asyppo_cli.engines.hf.microbatches import merge
from asyppo_cli.engines.hf.models import PolicyModel, ValueModel
from asyppo_cli.engines.hf.prompt_packing import MicroBatch, plan_packing
from asyppo_cli.engines.torch.checkpoint_files import full_shape, open_moments, open_weights, write_moments
from asyppo_cli.engines.torch.learner import AdamW, enable_checkpointing
from asyppo_cli.ports import NonFiniteLoss
from asyppo_cli.types import LossTerms, Sequences, StepReport, TensorRecord

Outputs = TypeVar("Outputs", bound=TensorRecord)
Targets = TypeVar("Targets", bound=TensorRecord)

EMPTY_MICRO_BATCH = MicroBatch(torch.zeros(0, dtype=torch.long), None)
# What a rank computes when it has run out of rows and others have not: one prompt token, one response token.
DUMMY = Sequences(torch.zeros(1, 2, dtype=torch.long), torch.ones(1, dtype=torch.long), torch.ones(1, dtype=torch.long))


class DeepSpeedLearner(Generic[Outputs]):
    """Trains one module on this rank's share of every batch. Implements :class:`~asyppo_cli.ports.Learner`.

    Every method is collective: all ranks of the ``torch.distributed`` world call it, in the same order, each with its
    own rows (:func:`~asyppo_cli.engines.distributed.shard_rows`), or with none. Outputs are those of this rank's rows;
    sums, norms and rates are those of the whole batch, the same on every rank. Without a process group a world of one
    rank is set up; several may have loaded the module together (:mod:`~asyppo_cli.engines.deepspeed.loading`).
    ``stage`` 0-3: ranks share out nothing, the optimizer, the gradient too, the weights too. ``offload`` keeps the
    optimizer, or all (stage 3), in the host's memory.
    """

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
        stage: int,
        offload: Offload,
    ) -> None:
        deepspeed = load_deepspeed(device)
        init_single_rank(device)
        self._module = module
        self._settings = optimizer
        self._device = device
        self._micro_batch_tokens = micro_batch_tokens
        self._steps = 0
        self._norm = math.nan
        self._world = dist.get_world_size()
        self._attention_crossover = module.capabilities.attention_crossover if share_prompts else None
        if gradient_checkpointing:
            enable_checkpointing(module)
        # At stage 0 the weights are their own float32 masters; from stage 1 on DeepSpeed keeps masters beside them.
        self._mapped = EngineModule(module, autocast=stage == 0 and dtype == torch.bfloat16)
        self._adamw = torch.optim.AdamW(
            module.parameters(), lr=optimizer.lr, betas=optimizer.betas, weight_decay=optimizer.weight_decay, fused=True
        )
        if stage == 0:
            self._adamw.register_step_pre_hook(self._clip)
        weights = sum(math.prod(full_shape(parameter)) for parameter in module.parameters())
        settings = engine_settings(stage, offload, dtype, optimizer.max_grad_norm, weights)
        self._engine = start_engine(deepspeed, self._mapped, self._adamw, settings, device)
        self._stage = stage
        self._state = EngineState(module, self._adamw, stage)
        self._copy_head()

    @torch.no_grad()
    def forward(self, batch: Sequences) -> Outputs:
        """Outputs at every response token of this rank's rows, without gradient, on the CPU."""
        parts = self._plan(batch)
        return merge(
            [without_padding_rows(self._run(batch, part), part) for part in parts],
            [part.rows for part in parts],
            batch,
        )

    def forward_backward(
        self, batch: Sequences, targets: Targets, loss: Callable[[Outputs, Targets], LossTerms]
    ) -> tuple[Outputs, Mapping[str, float]]:
        """Accumulate the gradient over micro-batches and ranks; see :class:`~asyppo_cli.ports.Learner`.

        Weights in ``targets`` are normalised over the rows of all ranks, so gradients and terms add up.
        """
        parts = self._plan(batch)
        outputs, accumulator = [], LossAccumulator(self._device)
        for part in parts:
            output = self._run(batch, part)
            empty = len(part.rows) == 0
            terms = zero_loss(output) if empty else loss(output, self._chosen(targets, batch, part.rows))
            finite = accumulator.add(terms)
            # DeepSpeed averages over ranks. A loss that is not finite must leave no gradient that could be used.
            scale = torch.where(finite, float(self._world), math.nan)
            self._engine.backward(terms.loss * scale, scale_wrt_gas=False)
            outputs.append(without_padding_rows(output, part))
        sums, broken = accumulator.reduce()
        if broken:
            self._discard()
            raise NonFiniteLoss(f"the loss is {sums['loss']}")
        return merge(outputs, [part.rows for part in parts], batch), sums

    def optimizer_step(self) -> StepReport:
        """Clip by the norm over all ranks, step, schedule, clear the gradient."""
        rate = self._settings.rate(self._steps)
        applied = self._step(rate)
        if not math.isfinite(self._norm):
            raise NonFiniteLoss(f"the gradient's norm is {self._norm}")
        self._steps += applied
        self._copy_head()
        return StepReport(self._norm, rate, skipped=not applied)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Names and weights of the inner Hugging Face model, on every rank, which all must exhaust this.

        In the precision that the model computes in; at stage 3 every tensor is a copy.
        """
        for name, parameter in getattr(self._module, "model", self._module).named_parameters():
            yield name, self._state.weight(parameter)

    def save(self, directory: Path) -> None:
        """Write, from rank 0, the files that every engine reads (:mod:`~asyppo_cli.engines.torch.checkpoint_files`)."""
        directory.mkdir(parents=True, exist_ok=True)
        weights = self._state.masters()
        moments = self._state.moments()
        try:
            if dist.get_rank() == 0:
                self._module.save(directory, weights)
        finally:
            # Every rank takes part in collecting the moments, also where rank 0 could not write the model.
            if dist.get_rank() == 0:
                write_moments(directory, moments, self._steps)
            for _ in moments:
                pass

    def load(self, directory: Path) -> None:
        """Take back what any engine on any number of ranks saved: to the bit on as many ranks as saved it."""
        weights = open_weights(self._module, directory)
        moments, steps = open_moments(directory)
        if not self._state.ready:
            self._prime()
        self._state.restore(weights, moments, steps)
        self._copy_head()
        self._steps = steps

    def close(self) -> None:
        """Give up DeepSpeed's buffers and hooks. The process group stays, for it may have other users."""
        self._engine.destroy()

    def _copy_head(self) -> None:
        """Let a critic's head compute with its float32 masters instead of the weights that DeepSpeed casts."""
        if self._stage > 0 and isinstance(self._module, ValueModel):
            weight, bias = (
                self._state.master(p).detach().to(self._device).clone() for p in self._module.head.parameters()
            )
            self._module.head.masters = (weight, bias)

    def _plan(self, batch: Sequences) -> list[MicroBatch]:
        """Micro-batches of this rank's rows, filled up with empty ones to the most that any rank has.

        Every forward and backward pass may be collective, so all ranks must make as many.
        """
        parts = plan_packing(batch, self._micro_batch_tokens, self._attention_crossover)
        most = torch.tensor(len(parts), device=self._device)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        return parts + [EMPTY_MICRO_BATCH] * (int(most) - len(parts))

    def _run(self, batch: Sequences, part: MicroBatch) -> Outputs:
        """One forward pass; of the dummy where there are no rows."""
        micro = batch.rows(part.rows) if len(part.rows) else DUMMY
        moved = [micro.tokens, micro.prompt_lengths, micro.response_lengths]
        if part.sizes is not None:
            moved.append(part.sizes)
        named = self._engine(*(tensor.to(self._device) for tensor in moved))
        assert self._mapped.record is not None
        output: Outputs = self._mapped.record(**named)
        return output

    def _chosen(self, targets: Targets, batch: Sequences, rows: Tensor) -> Targets:
        """The targets of some rows, on the device."""
        chosen = targets.rows(rows, int(batch.response_lengths[rows].max()))
        return type(chosen)(**{k: None if v is None else v.to(self._device) for k, v in vars(chosen).items()})

    def _step(self, rate: float) -> bool:
        """Let DeepSpeed step at that rate; whether it did. It does not where the gradient is not finite."""
        for group in self._adamw.param_groups:
            group["lr"] = rate
        self._engine.step()
        if self._stage > 0:
            self._norm = float(self._engine.get_global_grad_norm())
        return math.isfinite(self._norm) and bool(self._engine.was_step_applied())

    def _discard(self) -> None:
        """Throw the gradient away, wherever DeepSpeed has put its parts: it does so itself when one is not finite."""
        applied = self._step(0.0)
        assert not applied

    def _prime(self) -> None:
        """Make DeepSpeed set up its optimizer's tensors, which it does at the first step: one that changes nothing."""
        output = self._run(DUMMY, EMPTY_MICRO_BATCH)
        self._engine.backward(zero_loss(output).loss, scale_wrt_gas=False)
        applied = self._step(0.0)
        assert applied

    def _clip(self, *_: Any) -> None:
        """Stage 0, just before the optimizer: gradients are whole and summed over ranks by then."""
        norm = nn.utils.clip_grad_norm_(self._module.parameters(), self._settings.max_grad_norm)
        self._norm = float(norm)
        if not math.isfinite(self._norm):
            self._module.zero_grad()


class LossAccumulator:
    """Sums of loss terms over micro-batches, then over ranks."""

    def __init__(self, device: torch.device) -> None:
        self._zero = torch.zeros((), device=device)
        self._sums = {"loss": self._zero}
        self._broken = self._zero

    def add(self, terms: LossTerms) -> Tensor:
        """Count one micro-batch in; whether its loss is finite, bool ``[]``."""
        for name, value in {"loss": terms.loss, **terms.sums}.items():
            self._sums[name] = self._sums.get(name, self._zero) + value.detach()
        finite = torch.isfinite(terms.loss.detach())
        self._broken = self._broken + ~finite
        return finite

    def reduce(self) -> tuple[dict[str, float], bool]:
        """Sums of the whole batch, and whether any loss in it was not finite. A rank without rows knows no names."""
        own = ({name: value.item() for name, value in self._sums.items()}, bool(self._broken))
        everyone: list[Any] = [own] * dist.get_world_size()
        if len(everyone) > 1:
            dist.all_gather_object(everyone, own)
        names = dict.fromkeys(name for sums, _ in everyone for name in sums)
        return {n: sum(sums.get(n, 0.0) for sums, _ in everyone) for n in names}, any(broken for _, broken in everyone)


def zero_loss(output: TensorRecord) -> LossTerms:
    """A loss of zero that reaches every weight."""
    reached = [value.sum() for value in vars(output).values() if value.requires_grad]
    return LossTerms(torch.stack(reached).sum() * 0.0, {})


def without_padding_rows(output: Outputs, part: MicroBatch) -> Outputs:
    """The output for those rows of the batch: nothing of a dummy's."""
    return output if len(part.rows) else output.rows(part.rows.to(next(iter(vars(output).values())).device), 0)
