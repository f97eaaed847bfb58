"""A failed write is one line with what to do; errors of another kind pass."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from asyppo_cli.runs.files.disk import explain_failed_writes, unusable


@pytest.mark.parametrize(
    ("code", "said"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "Permission denied"), (errno.EIO, "error")]
)
def test_a_write_that_fails_says_what_and_what_to_do(tmp_path: Path, code: int, said: str) -> None:

    with pytest.raises(RuntimeError, match=said) as caught, explain_failed_writes(tmp_path, "choose another folder"):
        raise OSError(code, os.strerror(code), str(tmp_path / "metrics.jsonl"))
    assert "choose another folder" in str(caught.value) and "\n" not in str(caught.value)


def test_files_elsewhere_are_another_matter(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), explain_failed_writes(tmp_path, "choose another folder"):
        raise FileNotFoundError(errno.ENOENT, "No such file", "/elsewhere/model.json")


def test_only_what_was_read_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "step-000001.parquet"
    assert "damaged" in str(unusable(path, ValueError("no Parquet magic bytes")))
    assert "damaged" in str(unusable(path, OSError("Couldn't deserialize thrift")))
    for code, advice in ((errno.EMFILE, "ulimit -n"), (errno.EACCES, "Permission denied")):
        message = str(unusable(path, OSError(code, os.strerror(code), str(path))))
        assert str(path) in message and advice in message
        assert "damaged" not in message and "delete" not in message
