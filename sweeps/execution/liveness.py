"""Telling live workers from dead ones.

A worker writes its name into the turns that it has, and counts there, every :data:`BEAT` seconds. Whoever looks keeps
what it last saw and when, by its own clock, so that no two clocks are ever compared: a turn whose count has stood still
for :data:`SILENCE` seconds is in dead hands. On the same machine a look at the process says so at once.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sweeps.execution.attempts import Turn

# Each beat is a write to the storage, and a line of a journal for ever: a dead worker of this machine is seen at once,
# and one of another soon enough.
BEAT = 60.0
SILENCE = 300.0
# Machine (name, boot, process room), process, its start, a random part.
OWNER_PARTS = 6


def new_owner() -> str:
    """A name for this worker that no other has: the machine, its process with its start, and a random part."""
    pid = os.getpid()
    return "/".join((machine(), str(pid), _started(pid) or "?", secrets.token_hex(4)))


def machine() -> str:
    """Name of this machine since it was started; a container is one of its own where its processes are."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
        room = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        boot = room = "?"
    return f"{socket.gethostname().replace('/', '_')}/{boot}/{room}"


def is_gone(owner: str) -> bool:
    """Whether the worker ran on this machine and does so no more. False where that cannot be known."""
    parts = owner.split("/")
    if len(parts) != OWNER_PARTS or "?" in parts or "/".join(parts[:3]) != machine():
        return False
    return _started(int(parts[3])) != parts[4]


def _started(pid: int) -> str | None:
    """When the process began, in ticks since the machine was started; None if it is not there, or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name, in parentheses, may hold blanks.
    values = stat.rpartition(")")[2].split()
    return None if values[0] in ("Z", "X") else values[19]


@dataclass
class Lookout:
    """Remembers when each running turn last got on."""

    clock: Callable[[], float] = time.monotonic
    silence: float = SILENCE
    gone: Callable[[str], bool] = is_gone
    seen: dict[int, tuple[int, float]] = field(default_factory=dict)

    def dead(self, running: Iterable[Turn]) -> list[Turn]:
        """Of all running turns, those whose worker is dead."""
        now, known = self.clock(), self.seen
        running = list(running)
        self.seen = {turn.number: self._last(known.get(turn.number), turn.beat, now) for turn in running}
        return [
            turn
            for turn in running
            if now - self.seen[turn.number][1] > self.silence or (turn.owner is not None and self.gone(turn.owner))
        ]

    @staticmethod
    def _last(known: tuple[int, float] | None, beat: int, now: float) -> tuple[int, float]:
        return known if known is not None and known[0] == beat else (beat, now)
