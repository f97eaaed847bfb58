"""The training loop: step, evaluate, record, save; resumable after any step."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Any, Protocol

from asyppo_cli.config.schema import CheckpointsConfig, EvaluationConfig, RecordsConfig
from asyppo_cli.monitor import Monitor
from asyppo_cli.ports import Learner
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.records import RecordTexts
from asyppo_cli.training.clock import Clock, Span
from asyppo_cli.training.health import alarms
from asyppo_cli.training.probes import Probes
from asyppo_cli.training.recording import record_texts, sample_rows, token_columns
from asyppo_cli.training.step import BrokenBatch, StepOutcome, Stepper

STATE_FILE = "trainer.json"
SUPPLY_FOLDER = "supply"


class Journal(Protocol):
    """Where a run is written down (the run directory)."""

    def metrics(self, row: Mapping[str, float]) -> None:
        """Add one row of metrics."""
        ...

    def records(self, step: int, columns: Mapping[str, Any], texts: RecordTexts) -> None:
        """Write the token records of a step."""
        ...

    def probes(self, step: int, columns: Mapping[str, Any], texts: RecordTexts) -> None:
        """Write the token records of the probes after a step."""
        ...

    def samples(self, step: int, rows: list[dict[str, Any]]) -> None:
        """Write readable samples of a step."""
        ...

    def timeline(self, step: int, spans: Sequence[Span]) -> None:
        """Write when each phase of a step began and ended."""
        ...

    def checkpoint(self, step: int, fill: Callable[[Path], None], metric: float | None) -> None:
        """Write a checkpoint: ``fill`` puts files into the folder it is given."""
        ...

    def failure(self, step: int, tensors: Mapping[str, Any]) -> Path:
        """Keep a batch that broke the run; returns where."""
        ...


@dataclass
class RunProgress:
    """Where a run stands: finished steps and the place in the problem stream. Saved in every checkpoint."""

    step: int = 0
    position: int = 0


@dataclass(frozen=True)
class Loop:
    """Everything a run needs; :meth:`run` does the rest. ``learners`` are saved under their names."""

    max_steps: int
    evaluation: EvaluationConfig
    checkpoints: CheckpointsConfig
    records: RecordsConfig
    stepper: Stepper
    learners: Mapping[str, Learner[Any]]
    evaluate: Callable[[], dict[str, float]]
    token_text: Callable[[int], str]
    save_tokenizer: Callable[[Path], None]
    peak_memory: Callable[[], Mapping[str, float]]
    logprob_diff_warning: float
    journal: Journal
    monitor: Monitor
    probes: Probes | None = None
    progress: RunProgress = field(default_factory=RunProgress)
    raised: set[str] = field(default_factory=set)

    def resume(self, checkpoint: Path) -> None:
        """Take back models, optimizers and position from a checkpoint; the sampler gets the weights."""
        for name, learner in self.learners.items():
            learner.load(checkpoint / name)
        state = json.loads((checkpoint / STATE_FILE).read_text())
        self.progress.step = state["step"]
        self.progress.position = state["position"]
        self.stepper.supply.load(checkpoint / SUPPLY_FOLDER, self.learners["policy"].weights())

    def run(self, stop: Event) -> bool:
        """Train up to ``max_steps``, or until ``stop`` is set; saves either way. True if all steps are done."""
        if self.progress.step == 0 and not stop.is_set():
            self._report(self._evaluated({names.STEP: 0}))
            self._probe(0, Clock(self.monitor))
        while self.progress.step < self.max_steps and not stop.is_set():
            step = self.progress.step + 1
            row = self._step(step)
            self._report(row)
            every = self.checkpoints.every
            if step == self.max_steps or stop.is_set() or (every and step % every == 0):
                self._save(row)
        return self.progress.step >= self.max_steps

    def close(self) -> None:
        """Release what samplers and learners hold outside this process."""
        self.stepper.supply.close()
        for learner in self.learners.values():
            learner.close()

    def _step(self, step: int) -> dict[str, float]:
        """One step with its records and, when due, an evaluation; returns the row of metrics."""
        start, clock = perf_counter(), Clock(self.monitor)
        try:
            outcome = self.stepper.run(step, self.progress.position, clock)
        except BrokenBatch as error:
            kept = self.journal.failure(step, error.tensors)
            raise RuntimeError(
                f"step {step}: {error}; the batch is kept in {kept}, the last good checkpoint in checkpoints/: lower "
                "learner.policy.lr or learner.critics.lr, or look at the batch, then go on with --resume"
            ) from error
        self._record(step, outcome, clock)
        seconds = perf_counter() - start
        row = {names.STEP: step, **outcome.metrics, **clock.metrics(), names.STEP_TIME: seconds}
        row[names.TOKENS_PER_SECOND] = int(outcome.batch.lengths.sum()) / seconds
        row |= self.peak_memory()
        self.journal.timeline(step, clock.spans)
        self.progress.step = step
        self.progress.position += self.stepper.supply.gatherer.prompts * outcome.rollout.rounds
        every = self.evaluation.every
        return self._evaluated(row) if step == self.max_steps or (every and step % every == 0) else row

    def _record(self, step: int, outcome: StepOutcome, clock: Clock) -> None:
        with clock.phase("records"):
            if self.records.every and step % self.records.every == 0:
                temperature = self.stepper.supply.gatherer.params.temperature
                columns = token_columns(step, outcome, self.records.responses, self.token_text, temperature)
                self.journal.records(step, columns, record_texts(outcome, self.records.responses))
            if self.records.samples:
                self.journal.samples(step, sample_rows(step, outcome, self.records.samples))

        self._probe(step, clock)

    def _probe(self, step: int, clock: Clock) -> None:
        """Answer the probes with the models as they are now, at the steps that are recorded."""
        if self.probes is None or not self.records.every or step % self.records.every:
            return
        with clock.phase("probes"):
            outcome = self.probes.answer(step)
            if outcome is not None:
                count, temperature = len(outcome.batch), self.stepper.supply.gatherer.params.temperature
                columns = token_columns(step, outcome, count, self.token_text, temperature)
                self.journal.probes(step, columns, record_texts(outcome, count))

    def _evaluated(self, row: dict[str, float]) -> dict[str, float]:
        with self._beside_the_step(int(row[names.STEP]), "evaluate") as clock:
            row |= self.evaluate()
        return row | clock.metrics()

    def _report(self, row: dict[str, float]) -> None:
        self.journal.metrics(row)
        self.monitor.step(int(row[names.STEP]), row)
        for name, warning in alarms(row, self.logprob_diff_warning).items():
            if name not in self.raised:
                self.raised.add(name)
                self.monitor.note(f"step {row[names.STEP]:.0f}: {warning}")

    def _save(self, row: Mapping[str, float]) -> None:
        """A checkpoint, with the metric that ranks it if this step measured it."""
        metric = self.checkpoints.best_metric
        with self._beside_the_step(self.progress.step, "save"):
            self.journal.checkpoint(self.progress.step, self._fill, None if metric is None else row.get(metric))

    @contextmanager
    def _beside_the_step(self, step: int, phase: str) -> Iterator[Clock]:
        """Time what does not count as the step's own time."""
        clock = Clock(self.monitor)
        with clock.phase(phase):
            yield clock
        self.journal.timeline(step, clock.spans)

    def _fill(self, folder: Path) -> None:
        for name, learner in self.learners.items():
            learner.save(folder / name)
        self.save_tokenizer(folder / "policy")
        self.stepper.supply.save(folder / SUPPLY_FOLDER)
        (folder / STATE_FILE).write_text(json.dumps(vars(self.progress)))
