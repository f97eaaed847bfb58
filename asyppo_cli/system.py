"""What the operating system gives this process: cores, ports, signals."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def competing_threads() -> float:
    """Threads on this machine that want a core now, without this one; the load average where Linux does not say.

    A load average covers a minute, so it would count an installation that has just ended.
    """
    try:
        running = Path("/proc/loadavg").read_text().split()[3].partition("/")[0]
    except OSError:
        return os.getloadavg()[0]
    return float(int(running) - 1)


def free_port(host: str = "") -> int:
    """A port that no process listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@contextmanager
def catch_signals(
    handle: Callable[[int], None], numbers: Sequence[signal.Signals], hangup: bool = True
) -> Iterator[None]:
    """Call ``handle`` with the number of each signal that comes in the block; the handlers before are put back.

    ``hangup`` adds SIGHUP (a terminal that closes), unless it is ignored already, as under nohup.
    """
    closing = [signal.SIGHUP] if hangup and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else []
    with keep_handlers((*numbers, *closing)):
        for number in (*numbers, *closing):
            signal.signal(number, lambda number, _frame: handle(number))
        yield


@contextmanager
def keep_handlers(numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """Put back the handlers of these signals after the block, whatever it installed."""
    previous = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
