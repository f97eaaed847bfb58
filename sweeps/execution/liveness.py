"""Which workers are alive.

A worker writes its name into the attempts that it claims, and increments a counter there every
:data:`HEARTBEAT_INTERVAL` seconds. An observer remembers by its own clock when a counter last changed, so that no two
clocks are compared: after :data:`HEARTBEAT_TIMEOUT` seconds without a change the worker counts as gone. On the same
machine the process table shows it at once.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sweeps.execution.attempts import Attempt

# Each heartbeat is a write to the storage, and stays in a journal for good.
HEARTBEAT_INTERVAL = 60.0
HEARTBEAT_TIMEOUT = 300.0
# Host, boot, PID namespace, process, its start, a random part.
OWNER_PARTS = 6


def new_owner() -> str:
    """A unique name for this worker: the machine, its process with its start time, and a random part."""
    pid = os.getpid()
    return "/".join((machine(), str(pid), _start_time(pid) or "?", secrets.token_hex(4)))


def machine() -> str:
    """Host, boot and PID namespace: processes can be looked up only where all three are the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
        namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        boot = namespace = "?"
    return f"{socket.gethostname().replace('/', '_')}/{boot}/{namespace}"


def is_gone(owner: str) -> bool:
    """Whether the worker ran on this machine and has ended; False where that is unknown."""
    parts = owner.split("/")
    if len(parts) != OWNER_PARTS or "?" in parts or "/".join(parts[:3]) != machine():
        return False
    return _start_time(int(parts[3])) != parts[4]


def _start_time(pid: int) -> str | None:
    """Start of the process in clock ticks since boot; None if there is none, or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command, in parentheses, may contain blanks.
    values = stat.rpartition(")")[2].split()
    return None if values[0] in ("Z", "X") else values[19]


@dataclass
class LivenessTracker:
    """Remembers when the heartbeat of each running attempt last changed."""

    clock: Callable[[], float] = time.monotonic
    timeout: float = HEARTBEAT_TIMEOUT
    gone: Callable[[str], bool] = is_gone
    seen: dict[int, tuple[int, float]] = field(default_factory=dict)

    def lost(self, running: Iterable[Attempt]) -> list[Attempt]:
        """The running attempts whose worker is gone; to be called with all running attempts of others."""
        now, before, self.seen = self.clock(), self.seen, {}
        found: list[Attempt] = []
        for attempt in running:
            last = before.get(attempt.number)
            since = last[1] if last is not None and last[0] == attempt.heartbeat else now
            self.seen[attempt.number] = attempt.heartbeat, since
            if now - since > self.timeout or (attempt.owner is not None and self.gone(attempt.owner)):
                found.append(attempt)
        return found
