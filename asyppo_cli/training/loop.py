"""The training loop: step, evaluate, record, save; resumable after any step."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Any

from asyppo_cli.config.schema import CheckpointsConfig, EvaluationConfig
from asyppo_cli.monitor import Monitor
from asyppo_cli.ports import Journal, Learner, WorkerLost
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.checkpoints import PartialSaveError
from asyppo_cli.runs.files.disk import is_full_disk
from asyppo_cli.training.clock import Clock
from asyppo_cli.training.reporting.checkpoint_health import CheckpointHealth
from asyppo_cli.training.reporting.health import SamplerAgreement, health_warnings
from asyppo_cli.training.reporting.recording import Recorder
from asyppo_cli.training.rollouts.source import RolloutSource
from asyppo_cli.training.step import NonFiniteBatchError, TrainStep

STATE_FILE = "trainer.json"
ROLLOUTS_FOLDER = "rollouts"


class DivergenceError(RuntimeError):
    """A value, loss or gradient became NaN or infinite (the batch is kept), or the sampler left the trainer."""


@dataclass
class Loop:
    """Everything a run needs; :meth:`run` does the rest.

    ``learners`` are saved under their names; ``step`` counts finished steps; ``warned`` holds the metrics that a
    warning has been given for.
    """

    max_steps: int
    evaluation: EvaluationConfig
    checkpoints: CheckpointsConfig
    train_step: TrainStep
    source: RolloutSource
    learners: Mapping[str, Learner[Any]]
    evaluate: Callable[[], dict[str, float]]
    recorder: Recorder
    save_tokenizer: Callable[[Path], None]
    peak_memory: Callable[[], Mapping[str, float]]
    logprob_diff_warning: float
    agreement: SamplerAgreement
    journal: Journal
    monitor: Monitor
    step: int = 0
    health: CheckpointHealth = field(default_factory=CheckpointHealth)
    warned: set[str] = field(default_factory=set)

    def resume(self, checkpoint: Path) -> None:
        """Restore models, optimizers, rollouts and step from a checkpoint; the sampler gets the weights."""
        for name, learner in self.learners.items():
            learner.load(checkpoint / name)
        self.step = json.loads((checkpoint / STATE_FILE).read_text())["step"]
        self.source.load(checkpoint / ROLLOUTS_FOLDER, self.learners["policy"].weights())

    def sync_sampler(self) -> None:
        """Give the sampler the policy's weights, so that a sync that cannot be proved fails before the first step."""
        self.source.sampler.sampler.load_weights(self.learners["policy"].weights())

    def run(self, stop: Event) -> bool:
        """Train up to ``max_steps``, or until ``stop`` is set; saves either way. True if all steps are done."""
        if self.step == 0 and not stop.is_set():
            self._report(self._evaluated({names.STEP: 0}))
            self.recorder.probe(0, Clock(self.monitor))
        while self.step < self.max_steps and not stop.is_set():
            row = self._step(self.step + 1)
            self._report(row)
            if jump := self.agreement.jump(row):
                raise DivergenceError(f"step {self.step}: {jump}")
            every = self.checkpoints.every
            if self.step == self.max_steps or stop.is_set() or (every and self.step % every == 0):
                self._save(row)
            self.health.follow(row)
        return self.step >= self.max_steps

    def close(self) -> None:
        """Release what samplers and learners hold outside this process."""
        self.source.close()
        for learner in self.learners.values():
            learner.close()

    def _step(self, step: int) -> dict[str, float]:
        """One step with its records and, when due, an evaluation; returns the row of metrics."""
        start, clock = perf_counter(), Clock(self.monitor)
        try:
            outcome = self.train_step.run(step, clock)
        except NonFiniteBatchError as error:
            kept = self.journal.failure(step, error.tensors)
            raise DivergenceError(
                f"step {step}: {error}; the batch is kept in {kept}: lower learner.policy.lr or learner.critics.lr, or "
                "look at the batch"
            ) from error
        self.recorder.record(outcome, clock)
        self.recorder.probe(step, clock)
        seconds = perf_counter() - start
        row = {names.STEP: step, **outcome.metrics, **clock.metrics(), names.STEP_TIME: seconds}
        row[names.TOKENS_PER_SECOND] = int(outcome.batch.lengths.sum()) / seconds
        row |= self.peak_memory()
        self.journal.timeline(step, clock.spans)
        self.step = step
        every = self.evaluation.every
        return self._evaluated(row) if step == self.max_steps or (every and step % every == 0) else row

    def _evaluated(self, row: dict[str, float]) -> dict[str, float]:
        with self._outside_the_step(int(row[names.STEP]), "evaluate") as clock:
            row |= self.evaluate()
        return row | clock.metrics()

    def _report(self, row: dict[str, float]) -> None:
        self.journal.metrics(row)
        self.monitor.step(int(row[names.STEP]), row)
        for name, warning in health_warnings(row, self.logprob_diff_warning).items():
            if name not in self.warned:
                self.warned.add(name)
                self.monitor.note(f"step {row[names.STEP]:.0f}: {warning}")

    def _save(self, row: Mapping[str, float]) -> None:
        """A checkpoint, with the metric that ranks it if this step measured it."""
        metric = self.checkpoints.best_metric

        def fill(folder: Path) -> str | None:
            self.write_state(folder)
            fault = self.health.fault(folder, row)
            if fault is not None:
                self.monitor.note(f"step {self.step}: --resume will skip the checkpoint of this step: {fault}")
            return fault

        with self._outside_the_step(self.step, "save"):
            self.journal.checkpoint(self.step, fill, None if metric is None else row.get(metric))

    @contextmanager
    def _outside_the_step(self, step: int, phase: str) -> Iterator[Clock]:
        """Time what does not count as the step's own time."""
        clock = Clock(self.monitor)
        with clock.phase(phase):
            yield clock
        self.journal.timeline(step, clock.spans)

    def write_state(self, folder: Path) -> None:
        """Write all that :meth:`resume` needs. PartialSaveError if a part cannot be: the others are written."""
        parts: list[Callable[[], object]] = [
            *(partial(learner.save, folder / name) for name, learner in self.learners.items()),
            lambda: self.source.save(folder / ROLLOUTS_FOLDER),
            lambda: (folder / STATE_FILE).write_text(json.dumps({"step": self.step})),
            lambda: self.save_tokenizer(folder / "policy"),
        ]
        failures: list[Exception] = []
        for write in parts:
            try:
                write()
            except WorkerLost:
                raise
            except Exception as error:
                # Broad on purpose: whatever a library raises must not cost what the other parts hold.
                if is_full_disk(error):
                    raise
                failures.append(error)
        if failures:
            words = " ".join(str(failures[0]).split())
            raise PartialSaveError(f"{type(failures[0]).__name__}: {words}") from failures[0]
