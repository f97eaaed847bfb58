"""Writing so that a file is either the old one or the new one, whenever the process dies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

# How the name of a file ends that is not yet in place.
PARTIAL = ".partial"


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a file beside ``path``, then rename it into place; parent folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        write(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Write a whole text file (UTF-8) in one stroke."""
    replace_file(path, lambda aside: _write(aside, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def sync_to_disk(path: Path) -> None:
    """Have the system put a file or the entries of a folder on the disk, so that it outlives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
