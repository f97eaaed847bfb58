from __future__ import annotations

from pathlib import Path

import pytest

from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.overrides import is_execution_key, read_overrides, varying


def test_overrides_are_read_by_key(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.overrides.write_text("- algorithm=grpo\n- +policy.model='a=b'\n- seed=3\n")
    assert read_overrides(run) == {"algorithm": "grpo", "policy.model": "'a=b'", "seed": "3"}
    run.overrides.write_text("[")
    with pytest.raises(ValueError, match="cannot be read"):
        read_overrides(run)


def test_what_varies() -> None:
    runs = [{"a": "1", "b": "x", "seed": "1"}, {"a": "1", "b": "y", "seed": "2"}, {"b": "x", "seed": "1"}]
    assert varying(runs) == {"a": ["1", ""], "b": ["x", "y"], "seed": ["1", "2"]}


def test_execution_keys_are_whole_keys() -> None:
    assert is_execution_key("seed") and is_execution_key("records.every") and not is_execution_key("seeds")
