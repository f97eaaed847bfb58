"""Failed writes, in one line: what could not be written, why, and what to do."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# How the error begins; a sweep stops at it.
DISK_FULL = "the disk is full"
FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def explain_failed_writes(folder: Path, consequence: str) -> Iterator[None]:
    """Turn a failed write below ``folder`` into one line with its ``consequence``. All other errors pass.

    Raises:
        RuntimeError: the disk is full, or a file in ``folder`` could not be written.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if is_full_disk(error):
            free = shutil.disk_usage(folder).free / 2**20
            raise RuntimeError(f"{DISK_FULL} ({free:.0f} MiB free): {consequence}") from error
        if isinstance(error, OSError) and _below(folder, error.filename):
            raise RuntimeError(f"cannot write {error.filename} ({error.strerror}): {consequence}") from error
        raise


def is_full_disk(error: BaseException) -> bool:
    """Whether an error means a full disk: an OSError, or what safetensors, torch and pyarrow make of it."""
    return getattr(error, "errno", None) in FULL or os.strerror(errno.ENOSPC) in str(error)


def _below(folder: Path, name: object) -> bool:
    return isinstance(name, str | Path) and Path(name).absolute().is_relative_to(folder.absolute())


def unusable(path: Path, error: Exception, advice: str = "delete it") -> ValueError:
    """The error for a file that could not be used: damaged only if it was read, never if it could not be opened."""
    if not isinstance(error, OSError) or (type(error) is OSError and error.errno is None):
        return ValueError(f"{path} is damaged: {advice}")
    # pyarrow gives some errors their class, but no number.
    number = errno.ENOENT if error.errno is None else error.errno
    action = {errno.EMFILE: "raise the limit of open files (ulimit -n)", errno.ENFILE: "close other programs"}
    return ValueError(f"cannot read {path}: {os.strerror(number)}: {action.get(number, 'check the file')}")
