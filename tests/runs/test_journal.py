from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from asyppo_cli.runs.checkpoints import CheckpointStore
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.journal import RunJournal
from asyppo_cli.runs.metric_log import read_metrics
from asyppo_cli.runs.status import read_status


class Sink:
    def __init__(self) -> None:
        self.rows: list[Mapping[str, float]] = []
        self.closed = False

    def write(self, row: Mapping[str, float]) -> None:
        self.rows.append(row)

    def close(self) -> None:
        self.closed = True


def journal(path: Path, step: int | None, sink: Sink) -> RunJournal:
    run = RunDirectory(path)
    return RunJournal(run, 8, step, CheckpointStore(run.checkpoints, 2), [sink], lambda: datetime.now(UTC))


def test_a_resumed_run_writes_its_later_rows_again(tmp_path: Path) -> None:
    first = journal(tmp_path, None, Sink())
    for step in range(5):
        first.metrics({"step": step, "reward/mean": 0.1})
    first.checkpoint(2, lambda folder: None, None)
    first.close("interrupted")
    second = journal(tmp_path, 2, Sink())
    second.metrics({"step": 3, "reward/mean": 0.2})
    second.close("finished")
    rows = read_metrics(tmp_path / "metrics.jsonl").rows
    assert [(row["step"], row["reward/mean"]) for row in rows] == [(0, 0.1), (1, 0.1), (2, 0.1), (3, 0.2)]


def test_status_and_sinks_follow(tmp_path: Path) -> None:
    sink = Sink()
    writer = journal(tmp_path, None, sink)
    writer.metrics({"step": 1})
    running = read_status(tmp_path / "status.json")
    writer.close("failed", "loss is not finite")
    ended = read_status(tmp_path / "status.json")
    assert running is not None
    assert ended is not None
    assert (running.state, running.step, running.max_steps, running.ended) == ("running", 1, 8, None)
    assert (ended.state, ended.message) == ("failed", "loss is not finite")
    assert ended.ended is not None
    assert sink.rows == [{"step": 1}]
    assert sink.closed


def test_a_broken_batch_is_kept_as_plain_arrays(tmp_path: Path) -> None:
    writer = journal(tmp_path, None, Sink())
    path = writer.failure(7, {"tokens": np.arange(3), "rewards": np.array([np.nan])})
    writer.samples(7, [{"step": 7}])
    writer.close("failed")
    with np.load(path, allow_pickle=False) as kept:
        assert kept["tokens"].tolist() == [0, 1, 2]
    assert path.parent.name == "failures"
    assert json.loads((tmp_path / "samples" / "step-000007.jsonl").read_text()) == {"step": 7}
