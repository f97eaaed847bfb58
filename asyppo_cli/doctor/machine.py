"""This machine: Python, memory, cores, shared memory, open files, disk, the hub. Numbers in, findings out."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from asyppo_cli.doctor.findings import Finding
from asyppo_cli.openmp import describe_waiting, is_busy
from asyppo_cli.system import usable_cores

GIB = 2**30
OLDEST = (3, 11)
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, not written to
# Ray and vLLM keep many files and sockets open.
FEWEST_FILES = 4096
LEAST_DISK = 2 * GIB
LEAST_MEMORY = 2 * GIB
# Ray's object store and PyTorch's workers share memory there.
LEAST_SHARED = GIB


def python_finding(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """The interpreter."""
    if version < OLDEST:
        return Finding("python", "fault", f"{version[0]}.{version[1]}", "install Python 3.11 or newer")
    return Finding("python", "fine", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def memory_findings(competing: float) -> Sequence[Finding]:
    """Memory that is free, and cores that this process may use beside ``competing`` threads of other processes."""
    page, whole = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    free = available() or os.sysconf("SC_AVPHYS_PAGES") * page
    return [memory_finding(free, page * whole), cores_finding(usable_cores(), competing)]


def cores_finding(cores: int, competing: float) -> Finding:
    """Cores to be used, how OpenMP's threads wait, and a warning where other programs compute on the same cores."""
    text = f"{cores} to be used, {competing:.0f} other threads compute; waiting threads: {describe_waiting(os.environ)}"
    if is_busy(cores, competing):
        return Finding("cores", "warning", text, "steps take longer in proportion: end other programs, or wait")
    return Finding("cores", "fine", text)


def available() -> int | None:
    """Bytes that could be had without swapping, where Linux says so."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)


def memory_finding(free: float, whole: float) -> Finding:
    """What is free of the memory."""
    text = f"{free / GIB:.1f} of {whole / GIB:.1f} GiB available"
    if free < LEAST_MEMORY:
        return Finding("memory", "warning", text, "end other programs; asyppo plan says what a run needs")
    return Finding("memory", "fine", text)


def shared_memory_finding(free: float, sent: float) -> Finding:
    """Free bytes of /dev/shm against those of weights that are ``sent`` through it at a time; 0: none are."""
    text = f"{free / GIB:.2f} GiB free in {SHARED_MEMORY}"
    if free < sent:
        fix = f"enlarge it to {sent / GIB * 1.2:.1f} GiB (containers: --shm-size), or weights take the slow way"
        return Finding(
            "shared memory", "warning", f"{text}, and weights on their way to the sampler take {sent / GIB:.2f}", fix
        )
    if free < LEAST_SHARED:
        return Finding("shared memory", "warning", text, "enlarge it (containers: --shm-size=8g) before using Ray")
    return Finding("shared memory", "fine", text)


def shared_memory_free() -> float:
    """Free bytes of /dev/shm; 0 where there is none."""
    return float(shutil.disk_usage(SHARED_MEMORY).free) if SHARED_MEMORY.is_dir() else 0.0


def files_finding(limit: int | None = None) -> Finding:
    """How many files a process may open."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    if soft < FEWEST_FILES and soft != resource.RLIM_INFINITY:
        return Finding("open files", "warning", f"at most {soft}", f"ulimit -n {2 * FEWEST_FILES} before using Ray")
    return Finding("open files", "fine", "unlimited" if soft == resource.RLIM_INFINITY else f"at most {soft}")


def disk_finding(folder: Path) -> Finding:
    """Free room where runs are written."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    text = f"{free / GIB:.1f} GiB free for {folder}"
    if not os.access(there, os.W_OK):
        return Finding("disk", "fault", f"{there} cannot be written to", "choose another --runs-dir")
    if free < LEAST_DISK:
        return Finding("disk", "warning", text, "make room, or choose another --runs-dir")
    return Finding("disk", "fine", text)


def hub_findings() -> Sequence[Finding]:
    """Whether the Hugging Face hub answers, and where its cache is."""
    from asyppo_cli.tasks.data.hub import why_out_of_reach

    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    where = f"its cache is {home}"
    reason = why_out_of_reach()
    if reason is None:
        return [Finding("hub", "fine", f"answers; {where}")]
    return [Finding("hub", "warning", f"{reason}; {where}", "local folders and what is in the cache work all the same")]
