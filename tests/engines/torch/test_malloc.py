"""The C library's memory."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from asyppo_cli.engines.torch.malloc import set_trim_thresholds, trim_heap, trim_large_heap

# Page faults of the last of some equal allocations, each freed again, of more than malloc keeps by itself. Not
# tensors: a block that was cut to their alignment need not fit its own size again.
FAULTS = """
import resource, sys
from asyppo_cli.engines.torch.malloc import set_trim_thresholds
if sys.argv[1] == "keep":
    assert set_trim_thresholds()
for _ in range(5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytes([1]) * 2**28
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    print(faults)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="no mallopt in this C library")
def test_memory_that_was_freed_is_not_mapped_anew() -> None:
    def faults(way: str) -> int:
        command = [sys.executable, "-c", FAULTS, way]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])

    assert faults("keep") < 1000 < faults("leave")


def test_a_c_library_without_the_call_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not set_trim_thresholds() and not trim_heap() and not trim_large_heap()


RESIDENT = """
from pathlib import Path
from asyppo_cli.engines.torch.malloc import trim_heap
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])
blocks = [bytes([1]) * 2**16 for _ in range(2000)]
full, last = resident(), blocks[-1]
del blocks
# The block at the end of the heap is in use: the C library gives back nothing by itself.
kept = resident()
assert trim_heap()
print(full, kept, resident())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="no malloc_trim in this C library")
def test_memory_that_was_freed_is_given_back_when_asked() -> None:
    output = subprocess.run([sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True).stdout
    full, kept, left = map(int, output.split())
    # 2,000 blocks of 16 pages.
    assert kept > full - 3_000 and left < kept - 25_000


SETTLED = """
from pathlib import Path
from asyppo_cli.engines.torch import malloc
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])
def passed(blocks):
    held = [bytes([1]) * 2**16 for _ in range(blocks)]
    last = held[-1]
    del held
    return last
assert malloc.set_trim_thresholds()
malloc.TRIM_MIN_BYTES = 2**26
few = passed(500)
assert not malloc.trim_large_heap()
many, kept = passed(2000), resident()
assert malloc.trim_large_heap()
print(kept, resident())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="no mallinfo2 in this C library")
def test_what_is_kept_is_given_back_only_where_it_is_much() -> None:
    output = subprocess.run([sys.executable, "-c", SETTLED], capture_output=True, text=True, check=True).stdout
    kept, left = map(int, output.split())
    assert left < kept - 25_000
