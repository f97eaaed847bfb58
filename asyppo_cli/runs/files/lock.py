"""One training process at a time in a run directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def lock_run(path: Path, lock_file: Path, what: str = "run", doing: str = "trained") -> Iterator[None]:
    """Hold the run directory ``path`` for this process until the block ends; the system lets go if it dies.

    ``what`` lies there and what is being done to it (``doing``), in the words of the error.

    The lock is a POSIX record lock: worker processes do not inherit it, so an orphan never blocks a run.

    Raises:
        ValueError: another process holds it.
    """
    try:
        file = lock_file.open("a+", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot write to the {what} directory {path}: {error.strerror}") from error
    with file:
        if not _acquire(file.fileno()):
            raise ValueError(
                f"{what} {path.name} is being {doing} by {_holder(lock_file)}: wait, or choose another --name"
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def is_locked(lock_file: Path) -> bool:
    """Whether another process holds the lock. Never ask about a run that this process trains: it would let go."""
    try:
        with lock_file.open("r+", encoding="utf-8") as file:
            return not _acquire(file.fileno())
    except OSError:
        return False


def _acquire(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _holder(lock_file: Path) -> str:
    pid = lock_file.read_text(encoding="utf-8").strip()
    return f"process {pid}" if pid else "another process"
