from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from asyppo_cli.runs.metric_log import MetricLog, read_metrics, truncate_metrics


def written(path: Path, steps: int) -> Path:
    log = MetricLog(path)
    for step in range(steps):
        log.append({"step": step, "reward/mean": step / 10})
    log.close()
    return path


def test_each_row_is_in_the_file_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "m.jsonl")
    log.append({"step": 1, "a": np.float32(0.5), "n": np.int64(3)})  # type: ignore[dict-item]
    assert json.loads((tmp_path / "m.jsonl").read_text()) == {"step": 1, "a": 0.5, "n": 3}
    log.close()


def test_what_is_not_finite_is_null_in_the_file_and_nan_when_read(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "m.jsonl")
    log.append({"step": 1, "a": math.nan, "b": math.inf})
    log.close()
    assert "null" in (tmp_path / "m.jsonl").read_text()
    metrics = read_metrics(tmp_path / "m.jsonl")
    assert math.isnan(metrics.rows[0]["a"])
    assert math.isnan(metrics.rows[0]["b"])
    assert metrics.series("a") == []


def test_only_numbers_are_metrics(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "m.jsonl")
    with pytest.raises(AssertionError, match="metric a"):
        log.append({"a": "text"})  # type: ignore[dict-item]
    log.close()


def test_a_torn_last_line_is_left_out_with_a_notice(tmp_path: Path) -> None:
    path = written(tmp_path / "m.jsonl", 3)
    path.write_bytes(path.read_bytes()[:-5])
    metrics = read_metrics(path)
    assert [row["step"] for row in metrics.rows] == [0, 1]
    assert "torn" in metrics.notices[0]


def test_the_next_row_is_not_glued_to_a_torn_one(tmp_path: Path) -> None:
    path = written(tmp_path / "m.jsonl", 3)
    path.write_bytes(path.read_bytes()[:-5])
    log = MetricLog(path)
    log.append({"step": 7})
    log.close()
    assert [row["step"] for row in read_metrics(path).rows] == [0, 1, 7]
    assert read_metrics(path).notices == []


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "m.jsonl", 3)
    path.write_text(path.read_text().replace('"step": 1', "oops"))
    with pytest.raises(ValueError, match="line 2"):
        read_metrics(path)


def test_rows_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    path = written(tmp_path / "m.jsonl", 6)
    truncate_metrics(path, 3)
    assert [row["step"] for row in read_metrics(path).rows] == [0, 1, 2, 3]
    assert list(tmp_path.iterdir()) == [path]


def test_no_file_is_no_metrics(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "m.jsonl").rows == []
