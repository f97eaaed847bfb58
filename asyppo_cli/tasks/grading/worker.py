"""A grading process: JSON lines on standard input (a socket), answers on the same socket.

A request is ``{"gold": ..., "answer": ..., "entry": ...}``. The reply is ``judging`` when all imports are done (from
then on the deadline counts), then the verdict's kind and reason as a JSON list; or ``failed: REASON`` when the judge
cannot be loaded. The process ends when its parent closes the socket or dies. Start it as
``python -m asyppo_cli.tasks.grading.worker DEADLINE``.

Verifiers read text that a model has written, and several of reasoning-gym's pass it to ``eval``. While one runs,
anything but computing and reading files is refused by an audit hook, and memory is limited. This stops accidents and
plain tricks. It is no sandbox against a determined attacker: train such models inside a container.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import socket
import sys
import warnings
from typing import TYPE_CHECKING, Any

from asyppo_cli.tasks.grading import verify

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

MEMORY_BYTES = 4 * 2**30
# Standard error is kept by the parent in a file, which must not fill the disk.
FILE_BYTES = 16 * 2**20
# Past the deadline by this much, the kernel ends the process by itself: its parent is gone.
ORPHAN_SECONDS = 2.0
# Events of sys.audit that a verifier may raise: computing, and finding and reading modules.
_ALLOWED_OS = frozenset({"os.listdir", "os.scandir"})
_REFUSED = ("os.", "subprocess.", "shutil.", "socket.", "ctypes.", "pty.", "signal.", "tempfile.", "urllib.", "ftplib.")


class Guard:
    """Audit hook that refuses side effects while ``closed``. Hooks cannot be removed, hence the switch."""

    def __init__(self) -> None:
        self.closed = False

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """Raise PermissionError on an event that is neither computing nor reading."""
        if not self.closed:
            return
        if event == "open":
            writes = isinstance(args[1], str) and not set(args[1]).isdisjoint("wax+")
            flagged = isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes or flagged:
                raise PermissionError("a verifier may not write files")
        elif event.startswith(_REFUSED) and event not in _ALLOWED_OS:
            raise PermissionError(f"a verifier may not use {event}")


def main(deadline: float) -> None:
    """Answer requests until the socket closes."""
    channel = socket.socket(fileno=os.dup(0))
    close_streams()
    _limit_resources()
    guard = Guard()
    sys.addaudithook(guard)
    with channel, channel.makefile("r", encoding="ascii") as requests, channel.makefile("w", encoding="ascii") as out:
        serve(requests, out, guard, deadline)


def serve(requests: Iterable[str], out: TextIO, guard: Guard, deadline: float) -> None:
    """One reply, or two, to each request line."""
    for line in requests:
        request = json.loads(line)
        try:
            verify.load(request["entry"])
        except (ImportError, MemoryError, OSError, ValueError, TypeError, AssertionError) as error:
            reply(out, f"failed: {type(error).__name__}: {error}".replace("\n", " "))
            continue
        reply(out, "judging")
        # The default action of SIGALRM ends the process even inside a C function that never lets Python run.
        signal.setitimer(signal.ITIMER_REAL, deadline + ORPHAN_SECONDS)
        guard.closed = True
        judgement = verify.judge(**request)
        guard.closed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        reply(out, json.dumps(judgement))


def reply(out: TextIO, message: str) -> None:
    """Send one line."""
    out.write(message.encode("ascii", "backslashreplace").decode("ascii") + "\n")
    out.flush()


def close_streams() -> None:
    """Nothing to read from, nothing to print to, and no Ctrl-C: that is for the main process."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")


def _limit_resources() -> None:
    """A limit to memory and files, and no core dumps."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit(resource.RLIMIT_FSIZE, FILE_BYTES)
    if sys.platform == "linux":  # elsewhere the limit on address space is not enforced or refused
        _limit(resource.RLIMIT_AS, MEMORY_BYTES)


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    main(float(sys.argv[1]))
