"""A full disk, in words: whoever writes says what was not written and what to do about it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def telling_full_disk(folder: Path, consequence: str) -> Iterator[None]:
    """A full disk is an OSError, or what safetensors, torch and pyarrow make of it. Let all others pass.

    Raises:
        RuntimeError: the disk of ``folder`` is full; says how much is free, and the ``consequence``.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if getattr(error, "errno", None) not in FULL and os.strerror(errno.ENOSPC) not in str(error):
            raise
        free = shutil.disk_usage(folder).free / 2**20
        raise RuntimeError(f"the disk is full ({free:.0f} MiB free): {consequence}") from error
