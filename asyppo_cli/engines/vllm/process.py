"""vLLM in a process of its own: it computes with threads of its own while the trainer trains.

Started as ``python -m asyppo_cli.engines.vllm.process CHANNEL``, where CHANNEL is an inherited socket over which the
two exchange pickled calls and results. The child and whatever it starts form a process group, which ends when the
parent closes the socket or dies in whatever way: a thread of the child does nothing but listen.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import IO, Any

from asyppo_cli.engines.vllm.engine import VllmEngine, VllmSettings, environment
from asyppo_cli.engines.vllm.install import explain
from asyppo_cli.ports import WorkerLost
from asyppo_cli.types import Response, SamplingParams

# How long a child may take to end by itself, in seconds.
TIMEOUT = 5.0
LOG_LEVEL = "INFO"


class EngineProcess:
    """A :class:`VllmEngine` elsewhere, with the same methods. One call at a time; :meth:`close` ends any other.

    ``log`` is where vLLM's many lines go; None: a temporary file, of which errors quote the last.
    """

    def __init__(self, plan: VllmSettings, log: Path | None) -> None:
        """ValueError, in one line, if vLLM cannot start."""
        self._plan = plan
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
        self._log: IO[bytes] = tempfile.TemporaryFile() if log is None else log.open("w+b")  # noqa: SIM115
        self._place = "" if log is None else f"; its log is {log}"
        self._lock = threading.Lock()
        self._channel, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "asyppo_cli.engines.vllm.process", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=child_environment(plan),
                pass_fds=[theirs.fileno()],
                # Ctrl-C in the terminal is the main process's affair.
                start_new_session=True,
            )
        try:
            self._ask("start", plan, LOG_LEVEL)
        except BaseException as error:
            self.close()
            if isinstance(error, RuntimeError) and not isinstance(error, WorkerLost):
                raise ValueError(explain(str(error), plan.model) + self._place) from error
            raise

    @property
    def pid(self) -> int:
        """The number of the process, which is also that of its group."""
        return self._process.pid

    def sample(self, prompts: Sequence[Sequence[int]], n: int, params: SamplingParams) -> list[list[Response]]:
        """See :meth:`VllmEngine.sample`."""
        drawn: list[list[Response]] = self._ask("sample", [tuple(prompt) for prompt in prompts], n, params)
        return drawn

    def call_workers(self, method: str, **arguments: Any) -> list[Any]:
        """See :meth:`VllmEngine.call_workers`."""
        results: list[Any] = self._ask("call_workers", method, **arguments)
        return results

    def reset_cache(self) -> None:
        """See :meth:`VllmEngine.reset_cache`."""
        self._ask("reset_cache")

    def sleep(self) -> None:
        """See :meth:`VllmEngine.sleep`."""
        self._ask("sleep")

    def wake(self, *tags: str) -> None:
        """See :meth:`VllmEngine.wake`."""
        self._ask("wake", *tags)

    def close(self) -> None:
        """End the process and all that it started; a call that is under way fails."""
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._channel.fileno())) as ours:
            # Not merely closed: a thread that still reads from it would keep it open. The child notices at once,
            # whatever it computes, and takes its own children along.
            ours.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._channel.close()
        self._log.close()

    def _ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method there and wait for its result; RuntimeError with what went wrong there."""
        with self._lock:
            try:
                self._channel.send((method, arguments, named))
                failed, result = self._channel.recv()
            except (EOFError, OSError) as error:
                raise WorkerLost(f"the process of vLLM {self._how_it_ended()} ({method}){self._place}") from error
            except BaseException:
                # A reply to this call must never be taken for one to the next.
                self._channel.close()
                raise
        if failed:
            raise RuntimeError(result if method == "start" else f"vLLM failed ({method}): {result}{self._place}")
        return result

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            return "was told to end"
        if code == -signal.SIGKILL:
            return "was killed, perhaps because memory ran out: lower sampler.vllm.kv_cache_gib"
        return f"ended with code {code}{last_error(self._log)}"


def last_error(log: IO[bytes]) -> str:
    """The last line of a log that tells of an error, to be put behind a sentence; empty if there is none."""
    if log.closed:
        return ""
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").splitlines()
    errors = [line.strip() for line in lines if "Error" in line]
    return f": {errors[-1]}" if errors else ""


def child_environment(plan: VllmSettings) -> dict[str, str]:
    """The child finds packages exactly where this process does, never in the current folder; and has its threads."""
    path = os.pathsep.join(checksums_of for checksums_of in sys.path if checksums_of)
    threads = {"OMP_NUM_THREADS": str(plan.threads)} if plan.threads else {}
    # What this process was given for its own threads is not meant for the child.
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return inherited | environment(plan, LOG_LEVEL) | threads | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def main(descriptor: int) -> None:
    """Answer calls until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Connection(descriptor)
    calls: queue.Queue[tuple[str, tuple[Any, ...], dict[str, Any]]] = queue.Queue()
    threading.Thread(target=listen, args=(channel, calls), daemon=True).start()
    engine: VllmEngine | None = None
    while True:
        method, arguments, named = calls.get()
        try:
            if engine is None:
                engine, result = VllmEngine(*arguments), None
            else:
                result = getattr(engine, method)(*arguments, **named)
        except Exception as error:  # noqa: BLE001
            # Broad on purpose: any error is reported to the parent.
            traceback.print_exc()
            channel.send((True, f"{type(error).__name__}: {error}"))
        else:
            channel.send((False, result))


def listen(channel: Connection, calls: queue.Queue[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> None:
    """Take calls in; when the other end is gone, end this process and all that it started."""
    while True:
        try:
            calls.put(channel.recv())
        except (EOFError, OSError):
            os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]))
