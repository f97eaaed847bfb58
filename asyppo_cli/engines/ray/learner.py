"""A learner on several ranks: a group of processes behind the one protocol.

Every rank gets its own rows of a batch and nothing else; losses travel to them; weights stay where they are until
somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import ray
from torch import Tensor

from asyppo_cli.engines.distributed import shard_rows
from asyppo_cli.engines.hf.microbatches import merge
from asyppo_cli.engines.ray.rank_group import RankGroup
from asyppo_cli.engines.ray.transport import pack_record, unpack_record
from asyppo_cli.types import LossTerms, Sequences, StepReport, TensorRecord

Outputs = TypeVar("Outputs", bound=TensorRecord)
Targets = TypeVar("Targets", bound=TensorRecord)


class RayLearner(Generic[Outputs]):
    """Trains wherever the ranks of ``group`` are. Implements :class:`~asyppo_cli.ports.Learner`.

    The sums, norms and rates that a rank reports are those of the whole batch, the same from all of them.
    """

    def __init__(self, group: RankGroup) -> None:
        self._group = group
        self._computing = "computing values" if group.role.startswith("critic") else "computing log-probabilities"

    def forward(self, batch: Sequences) -> Outputs:
        """Outputs at every response token, without gradient, on the CPU."""
        shards = shard_rows(batch.lengths, self._group.size)
        parts = [(pack_record(batch.rows(rows)),) for rows in shards]
        answers = self._group.call(self._computing, "forward", parts)
        return self._merged(answers, shards, batch)

    def forward_backward(
        self, batch: Sequences, targets: Targets, loss: Callable[[Outputs, Targets], LossTerms]
    ) -> tuple[Outputs, Mapping[str, float]]:
        """Accumulate the gradient over all ranks; ``loss`` must be picklable."""
        shards = shard_rows(batch.lengths, self._group.size)
        answers = self._group.call(
            "learning from a batch", "forward_backward", [(*shard(batch, targets, rows), loss) for rows in shards]
        )
        return self._merged([outputs for outputs, _ in answers], shards, batch), answers[0][1]

    def optimizer_step(self) -> StepReport:
        """Clip, step, schedule, and clear the gradient on every rank."""
        reports: list[StepReport] = self._group.call_all("taking its optimizer's step", "optimizer_step")
        assert all(report == reports[0] for report in reports), f"ranks of {self._group.role} differ: {reports}"
        return reports[0]

    def weights(self) -> WeightStream:
        """Names and weights, fetched when they are asked for."""
        return WeightStream(self._group)

    def save(self, directory: Path) -> None:
        """Let all ranks write into ``directory``.

        Raises:
            ValueError: they wrote, but on another machine.
        """
        self._group.call_all("saving", "save", directory.resolve())
        if not directory.is_dir() or not any(directory.iterdir()):
            raise ValueError(
                f"{self._group.role} has saved {directory.resolve()}, but on another machine: --runs-dir must be on "
                "a file system that all machines of the cluster share"
            )

    def load(self, directory: Path) -> None:
        """Let all ranks take back what they saved."""
        self._group.call_all("loading a checkpoint", "load", directory.resolve())

    def close(self) -> None:
        """End the processes."""
        self._group.close()

    def _merged(self, answers: list[Any], shards: list[Tensor], batch: Sequences) -> Outputs:
        outputs: list[Outputs] = [unpack_record(answer) for answer in answers]
        return merge(outputs, shards, batch)


class WeightStream(Iterator[tuple[str, Tensor]]):
    """A model's weights in the cluster's memory: fetched here one chunk at a time, or by others straight from there."""

    def __init__(self, group: RankGroup) -> None:
        self._group = group
        self._pairs: Iterator[tuple[str, Tensor]] | None = None

    def __next__(self) -> tuple[str, Tensor]:
        if self._pairs is None:
            self._pairs = (pair for reference in self.references() for pair in ray.get(reference))
        return next(self._pairs)

    def send(self, samplers: RankGroup) -> None:
        """Let the learner's ranks send them to those of a sampler by vLLM's transfer, past the host's memory."""
        self._group.call_all("sending its weights", "send_weights", samplers.actors)

    def references(self) -> list[Any]:
        """Where the chunks are: rank 0 puts them into the object store once, for however many receivers."""
        references: list[Any] = self._group.call_all("giving its weights", "weights")[0]
        return references


def shard(batch: Sequences, targets: Targets, rows: Tensor) -> tuple[Any, Any]:
    """The part of a batch that one rank learns from; there may be none."""
    part = batch.rows(rows)
    return pack_record(part), pack_record(targets.rows(rows, max(part.response_lengths.tolist(), default=0)))
