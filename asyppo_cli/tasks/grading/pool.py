"""Grade many responses under a deadline each, in processes that can be killed.

Most answers are integers or missing and are decided here. The rest go to workers: ``python -m
asyppo_cli.tasks.grading.worker``, each on a socket of its own. Plain processes rather than ``multiprocessing``: they
never import the main module, do not care from which thread or folder they are started, and speak JSON, so nothing is
unpickled from a process that has handled hostile text. Neither signals nor threads of this process are used.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Self

from asyppo_cli.tasks.grading import verify
from asyppo_cli.tasks.grading.verify import Judgement
from asyppo_cli.types import Problem, Verdict

# Seconds a worker may take to start and import a judge; only a broken installation takes so long.
START_LIMIT = 120.0
# A worker that dies before it judges is replaced this often for one answer (an out-of-memory killer may strike there).
START_ATTEMPTS = 3
_RECEIVE_BYTES = 65536


@dataclass
class Job:
    """One request to a worker, the rows of the batch it is about, and its reply; or why there is none."""

    request: bytes
    rows: list[int] = field(default_factory=list)
    starts: int = 0
    reply: Any = None
    lost: str | None = None


class WorkerPool:
    """``workers`` processes of a module, each request limited to ``deadline`` seconds.

    Processes start at first need. A worker that overruns its deadline, or dies over a request, costs that request its
    reply and is replaced. One batch is worked at a time; any thread may call.
    """

    def __init__(self, module: str, workers: int, deadline: float) -> None:
        self._module = module
        self._most = workers
        self._deadline = deadline
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()

    def run(self, jobs: Sequence[Job]) -> None:
        """Set the reply of every job, or why it has none; RuntimeError if workers cannot start."""
        with self._lock:
            self._work(deque(jobs))

    def close(self) -> None:
        """End all workers. The pool may be used again: new ones start."""
        with self._lock:
            self._drop(list(self._workers))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self, waiting: deque[Job]) -> None:
        try:
            while waiting or any(worker.job for worker in self._workers):
                self._hand_out(waiting)
                busy = [worker for worker in self._workers if worker.job]
                now = time.monotonic()
                ready = wait([worker.socket for worker in busy], max(0.0, min(w.due for w in busy) - now))
                for worker in busy:
                    # An answer that has arrived counts, even if this process was too busy to look in time.
                    alive = worker.receive(self._deadline) if worker.socket in ready else worker.due > now
                    if not alive:
                        self._bury(worker, waiting)
        finally:
            # After an error or Ctrl-C, no reply to this batch may be taken for one to the next.
            self._drop([worker for worker in self._workers if worker.job])

    def _hand_out(self, waiting: deque[Job]) -> None:
        idle = [worker for worker in self._workers if not worker.job]
        while waiting and (idle or len(self._workers) < self._most):
            if not idle:
                self._workers.append(_Worker(self._module, self._deadline))
                idle.append(self._workers[-1])
            idle.pop().give(waiting.popleft())

    def _bury(self, worker: _Worker, waiting: deque[Job]) -> None:
        """A worker has ended or is overdue: its job is lost if it was being judged, else another worker gets it."""
        job, judging = worker.job, worker.judging
        assert job is not None
        worker.job = None
        overdue, report = worker.due <= time.monotonic(), worker.kill()
        self._workers.remove(worker)
        if judging:
            job.lost = f"no result within {self._deadline:g} s" if overdue else f"its process ended ({report})"
        elif job.starts < START_ATTEMPTS:
            waiting.appendleft(job)
        else:
            raise RuntimeError(f"a grading worker cannot start: {report}")

    def _drop(self, workers: list[_Worker]) -> None:
        for worker in workers:
            worker.kill()
            self._workers.remove(worker)


class GraderPool(WorkerPool):
    """A :class:`asyppo_cli.ports.Grader`: an answer that takes too long has the verdict ``timed_out``."""

    def __init__(self, workers: int, deadline: float) -> None:
        """Raise ValueError unless there is at least one worker and the deadline, in seconds, is positive."""
        if workers < 1:
            raise ValueError(f"grading.workers must be at least 1, not {workers}")
        if not deadline > 0:
            raise ValueError(f"grading.deadline must be a positive number of seconds, not {deadline}")
        super().__init__("asyppo_cli.tasks.grading.worker", workers, deadline)

    def grade(self, problems: Sequence[Problem], texts: Sequence[str]) -> list[Verdict]:
        """One verdict for each problem and response text, in order; RuntimeError if workers cannot start."""
        decided = [verify.decide(p.answer, text, p.entry) for p, text in zip(problems, texts, strict=True)]
        jobs: dict[tuple[str, str, str, str], Job] = {}
        for row, (problem, (judgement, answer)) in enumerate(zip(problems, decided, strict=True)):
            if judgement is None and answer is not None:
                # Samples of one problem often share an answer, also one that hangs: judge it once.
                key = (problem.id, problem.question, problem.answer, answer)
                job = jobs.setdefault(key, Job(_request(problem, answer)))
                job.rows.append(row)
        self.run([*jobs.values()])
        late = {row: self._judgement(job) for job in jobs.values() for row in job.rows}
        return [_verdict(judgement or late[row], answer) for row, (judgement, answer) in enumerate(decided)]

    def _judgement(self, job: Job) -> Judgement:
        if job.lost is not None:
            return Judgement("timed_out", f"not decided within {self._deadline:g} s")
        return Judgement(*job.reply)


class _Worker:
    """One process, its socket, and the job it has in hand."""

    def __init__(self, module: str, deadline: float) -> None:
        self.socket, theirs = socket.socketpair()
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by kill
        command = [sys.executable, "-m", module, str(deadline)]
        with theirs:
            # A session of its own: Ctrl-C in the terminal is the main process's affair.
            self.process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=self.log,
                stderr=self.log,
                env=_environment(),
                start_new_session=True,
            )
        self.job: Job | None = None
        self.judging = False
        self.due = 0.0
        self._received = b""

    def give(self, job: Job) -> None:
        """Send a job. A worker that has ended is noticed when it is read from."""
        job.starts += 1
        self.job, self.judging, self.due = job, False, time.monotonic() + START_LIMIT
        self.socket.settimeout(START_LIMIT)
        try:
            self.socket.sendall(job.request)
        except OSError:
            self.due = 0.0

    def receive(self, deadline: float) -> bool:
        """Take in what the worker says; False if it has ended. RuntimeError if it cannot load a judge."""
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except ConnectionError:
            return False
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._understand(line.decode("ascii"), deadline)
        return bool(data)

    def _understand(self, message: str, deadline: float) -> None:
        assert self.job is not None
        if message == "judging":
            self.judging, self.due = True, time.monotonic() + deadline
        elif message.startswith("failed: "):
            raise RuntimeError(f"a grading worker cannot load its judge: {message.removeprefix('failed: ')}")
        else:
            self.job.reply = json.loads(message)
            self.job = None

    def kill(self) -> str:
        """End the process and whatever it started; returns the last error that it printed, or how it ended."""
        # A child that has not been waited for keeps its number; where a stranger has waited, there is nothing to kill.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        self.socket.close()
        with self.log:
            self.log.seek(0)
            lines = self.log.read().decode("utf-8", "replace").strip().splitlines()
        errors = [line for line in lines if "Error" in line]
        return errors[-1] if errors else f"it ended with code {code}"


def _request(problem: Problem, answer: str) -> bytes:
    return line_of({"gold": problem.answer, "answer": answer, "entry": dict(problem.entry)})


def line_of(request: Mapping[str, Any]) -> bytes:
    """One line: JSON escapes everything but ASCII, line ends and lone surrogates too."""
    return json.dumps(request).encode("ascii") + b"\n"


def _verdict(judgement: Judgement, answer: str | None) -> Verdict:
    return Verdict(judgement.kind, 1.0 if judgement.kind == "right" else 0.0, answer, judgement.reason)


def _environment() -> dict[str, str]:
    """A worker finds packages exactly where this process does, but never in the current folder; and has one thread."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
