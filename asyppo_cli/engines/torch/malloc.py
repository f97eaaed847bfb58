"""The C library's memory: kept for a process's next pass, or given back to the system."""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar

# Of glibc's malloc.h; 32 MiB is the most that older versions take for the second.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
UNLIMITED, LIMITED = 2**31 - 1, 2**25
# Freed bytes that are worth a walk through the heap; passes of a small model never leave as many.
TRIM_MIN_BYTES = 2**29


def set_trim_thresholds() -> bool:
    """Have this process keep the memory that it frees, for its next pass; False where that cannot be set (no glibc).

    A pass of a model frees what it allocated, and the next one allocates the same again. Given back to the system in
    between, every page is cleared and mapped anew: a tenth of a pass of 135 million weights on cores, nothing where a
    model is small (benchmarks/page_faults.py). The peak of a run grows a little, as kept blocks do not always fit.
    """
    mallopt = _function("mallopt")
    if mallopt is None:
        return False
    kept = mallopt(M_MMAP_THRESHOLD, UNLIMITED) or mallopt(M_MMAP_THRESHOLD, LIMITED)
    return bool(kept and mallopt(M_TRIM_THRESHOLD, UNLIMITED))


def trim_heap() -> bool:
    """Give back what this process has freed and will not soon need again; False where there was nothing, or no way."""
    trim = _function("malloc_trim")
    return trim is not None and bool(trim(0))


def trim_large_heap() -> bool:
    """Give freed memory back if it is much; True if any was. For when a sampler is about to take a trainer's weights.

    That is when a sampler needs most, and what the trainer keeps for its next pass is of no use. After every optimizer
    step it would slow the critics' passes down: pages that are mapped anew cost up to 4 microseconds each.
    """
    count = _function("mallinfo2")
    if count is None:
        return False
    count.restype = Mallinfo2
    return bool(count().fordblks >= TRIM_MIN_BYTES) and trim_heap()


class Mallinfo2(ctypes.Structure):
    """``struct mallinfo2`` of glibc's malloc.h, in bytes by what they are for; ``fordblks`` are free."""

    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _function(name: str) -> Any:
    """A function of the C library; None where it has none of that name."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
