"""What a training run writes down, step by step: the loop's journal, backed by a run directory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from asyppo_cli.runs.checkpoints import CheckpointStore
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.files.atomic import sync_to_disk
from asyppo_cli.runs.listing import headline_of
from asyppo_cli.runs.metric_log import MetricLog, truncate_metrics
from asyppo_cli.runs.records import RecordTexts, write_records, write_samples
from asyppo_cli.runs.sinks import MetricSink
from asyppo_cli.runs.status import State, advance, begin, end


class RunJournal:
    """Writes into a run directory whose lock this process holds; ``clock`` gives the time.

    ``step`` finished steps are resumed from: metrics of later ones are dropped, as they come again. None: a run from
    its beginning.
    """

    def __init__(
        self,
        run: RunDirectory,
        max_steps: int,
        step: int | None,
        store: CheckpointStore,
        sinks: Sequence[MetricSink],
        clock: Callable[[], datetime],
    ) -> None:
        truncate_metrics(run.metrics, -1 if step is None else step)
        self._run, self._store, self._sinks, self._clock = run, store, sinks, clock
        headline = headline_of(run) if run.exists() else None
        self._log = MetricLog(run.metrics)
        self._status = begin(run.status, max_steps, step or 0, clock(), headline)

    def metrics(self, row: Mapping[str, float]) -> None:
        """Add one row of metrics, here and in all sinks."""
        self._log.append(row)
        self._status = advance(self._run.status, self._status, row, self._clock())
        for sink in self._sinks:
            sink.write(row)

    def records(self, step: int, columns: Mapping[str, Any], texts: RecordTexts) -> None:
        """Write the token records of a step."""
        write_records(self._run.records(step), columns, texts)

    def probes(self, step: int, columns: Mapping[str, Any], texts: RecordTexts) -> None:
        """Write the token records of the probes after a step."""
        write_records(self._run.probes(step), columns, texts)

    def samples(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write readable samples of a step."""
        write_samples(self._run.samples(step), rows)

    def timeline(self, step: int, spans: Sequence[Any]) -> None:
        """Write when each phase of a step began and ended (``track``, ``phase``, ``start``, ``end`` in seconds)."""
        with self._run.timeline.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"step": step, **vars(span)}) + "\n" for span in spans)

    def checkpoint(self, step: int, fill: Callable[[Path], str | None], metric: float | None) -> None:
        """Write a checkpoint, with the metrics up to it: both outlive a power cut, or neither."""
        sync_to_disk(self._run.metrics)
        self._store.write(step, fill, metric)

    def failure(self, step: int, tensors: Mapping[str, Any]) -> Path:
        """Keep a batch that broke the run, as arrays that numpy reads without running any code."""
        import numpy as np

        path = self._run.failure(step)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {name: np.asarray(tensor) for name, tensor in tensors.items()}
        np.savez(path, **arrays)
        return path

    def close(self, state: State, message: str | None = None) -> None:
        """The attempt is over; ``message`` says why it failed."""
        self._log.close()
        # Before the sinks, which may wait for a network.
        end(self._run.status, self._status, state, self._clock(), message)
        for sink in self._sinks:
            sink.close()
