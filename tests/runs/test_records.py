from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.records import (
    read_samples,
    read_table,
    record_columns,
    row_count,
    write_records,
    write_samples,
)

ISSUE_COLUMNS = (
    "step prompt_id response_id position token_id token value_0 value_1 value_mean value_std advantage entropy logprob "
    "gradient_norm advantage_kept entropy_kept reward"
)


def columns(step: int, critics: int) -> dict[str, Any]:
    rng = np.random.default_rng(step)
    made: dict[str, Any] = {name: rng.random(4, np.float32) for name in record_columns(critics)}
    return made | {
        "step": np.full(4, step),
        "prompt_id": ["p1", "p1", "p2", "p2"],
        "response_id": np.array([0, 0, 1, 1]),
        "position": [0, 1, 0, 1],
        "token_id": np.array([5, 6, 5, 7]),
        "token": ["a", "\udce9", "a", "[red]"],
        "advantage_kept": np.array([True, False, True, True]),
        "entropy_kept": np.array([True, True, False, True]),
    }


def test_the_columns_are_those_promised() -> None:
    assert record_columns(2) == ISSUE_COLUMNS.split()
    assert "value_0" not in record_columns(0)


@pytest.mark.parametrize("critics", [0, 2, 11])
def test_records_come_back_to_the_bit(tmp_path: Path, critics: int) -> None:
    run, written = RunDirectory(tmp_path), columns(3, critics)
    write_records(run.records(3), written)
    table = read_table(run.records(3))
    assert table.column_names == record_columns(critics)
    for name in set(table.column_names) - {"token", "prompt_id"}:
        assert np.array_equal(table[name].to_numpy(), written[name]), name
    assert table["prompt_id"].to_pylist() == written["prompt_id"]
    assert table["token"].to_pylist() == ["a", "\\udce9", "a", "[red]"]


def test_types_are_compact(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    write_records(run.records(1), columns(1, 1))
    schema = read_table(run.records(1)).schema
    assert schema.field("advantage").type == pa.float32()
    assert schema.field("token_id").type == pa.int32()
    assert schema.field("advantage_kept").type == pa.bool_()
    assert pa.types.is_dictionary(schema.field("token").type)


def test_a_missing_column_is_a_mistake_of_ours(tmp_path: Path) -> None:
    written = columns(1, 1)
    del written["reward"]
    with pytest.raises(AssertionError, match="reward"):
        write_records(tmp_path / "x.parquet", written)
    assert list(tmp_path.iterdir()) == []


def test_damaged_records_are_named(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.records(3).parent.mkdir(parents=True)
    run.records(3).write_bytes(b"PAR1 nonsense")
    with pytest.raises(ValueError, match=r"step-000003.parquet is damaged"):
        read_table(run.records(3))


def test_samples_come_back(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert read_samples(run) == []
    rows = [{"step": 2, "response": "a\nb \u2028 \x1b[31m [red] \udce9", "reward": 1.0, "extracted": None}]
    write_samples(run.samples(1), [])
    write_samples(run.samples(2), rows)
    assert read_samples(run) == rows
    assert read_samples(run, 1) == []


def test_a_file_that_cannot_be_opened_is_not_called_damaged(tmp_path: Path) -> None:
    # A link to itself: root may read files without permission.
    for name in ("step-000001.parquet", "step-000002.parquet"):
        (tmp_path / name).symlink_to(tmp_path / name)
    for read in (read_table, row_count):
        with pytest.raises(ValueError, match="step-000001") as caught:
            read(tmp_path / "step-000001.parquet")
        assert "damaged" not in str(caught.value)
