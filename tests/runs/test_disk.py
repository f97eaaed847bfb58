"""A failed write is one line with what to do; errors of another kind pass."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from asyppo_cli.runs.files.disk import telling_full_disk


@pytest.mark.parametrize(
    ("code", "said"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "Permission denied"), (errno.EIO, "error")]
)
def test_a_write_that_fails_says_what_and_what_to_do(tmp_path: Path, code: int, said: str) -> None:

    with pytest.raises(RuntimeError, match=said) as caught, telling_full_disk(tmp_path, "choose another folder"):
        raise OSError(code, os.strerror(code), str(tmp_path / "metrics.jsonl"))
    assert "choose another folder" in str(caught.value) and "\n" not in str(caught.value)


def test_files_elsewhere_are_another_matter(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), telling_full_disk(tmp_path, "choose another folder"):
        raise FileNotFoundError(errno.ENOENT, "No such file", "/elsewhere/model.json")
