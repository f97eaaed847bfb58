"""A worker: runs trials of a study, some at the same time, until all are over or it is stopped.

It knows processes, run directories and the study's storage, but no trainer: a launcher starts the trials. Each step
polls the study (:meth:`Worker.poll`), decides (:func:`~sweeps.execution.attempts.decide`) and applies the decision.
"""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from asyppo_cli.runs.directory import RunDirectory, clear_unfinished
from asyppo_cli.runs.files.disk import DISK_FULL
from asyppo_cli.runs.metrics import STEP
from asyppo_cli.runs.status import RunStatus, read_status
from asyppo_cli.runs.studies import StudyTrial, TrialState
from asyppo_cli.system import STOP_SIGNALS, catch_signals
from sweeps.definition.grid import Trial
from sweeps.definition.objectives import measure
from sweeps.execution.attempts import Attempt, Attempts, PollResult, current, decide
from sweeps.execution.devices import ResourceShare
from sweeps.execution.finished_runs import adopt_run
from sweeps.execution.jsonl_tail import JsonlTail
from sweeps.execution.liveness import HEARTBEAT_INTERVAL, LivenessTracker, new_owner
from sweeps.execution.process import Launcher, TrialProcess, describe_exit
from sweeps.execution.study_store import ClaimLost, StudyStore
from sweeps.execution.trial_directory import run_of, standing

# Seconds between checks of the processes; between polls of the study, with and without free shares; and the least
# ratio of the time between two polls to the duration of one.
INTERVAL, POLL_INTERVAL, IDLE_POLL_INTERVAL, POLL_RATIO = 0.2, 10.0, 1.0, 20
# A trial that is killed this often is not resumed again.
MAX_KILLS = 3
KILLED, INTERRUPTED = "killed", "interrupted"
# Seconds for which the storage may be unreachable.
STORAGE_TIMEOUT = 120.0

# Why a worker stopped: all trials are over, the time budget is, a signal came, or a trial found the disk full.
End = Literal["over", "budget", "signal", "disk"]


class SweepObserver(Protocol):
    """Is notified of the progress of a sweep."""

    def polled(self, counts: Mapping[TrialState, int]) -> None:
        """How many trials of the study are in each state."""
        ...

    def started(self, trial: Trial, resumed: bool) -> None:
        """A trial starts or is resumed."""
        ...

    def progressed(self, trial: Trial, step: int, max_steps: int, evaluation: tuple[int, float] | None) -> None:
        """A trial has finished a step or an evaluation (step, value)."""
        ...

    def ended(self, trial: StudyTrial) -> None:
        """A trial is over."""
        ...

    def stopping(self, running: int) -> None:
        """A signal came: ``running`` trials finish their step."""
        ...


def run_worker(
    store: StudyStore,
    launcher: Launcher,
    shares: Sequence[ResourceShare],
    observer: SweepObserver,
    seconds: float = math.inf,
) -> End:
    """Run trials until all are over; none is started after ``seconds``. Returns why the worker stopped.

    SIGINT and SIGTERM are forwarded to the trials, which save and stop, and no other is started.

    Raises:
        RuntimeError: the storage cannot be reached any more.
    """
    signals: list[int] = []
    with catch_signals(signals.append, STOP_SIGNALS, hangup=False):
        worker = Worker(store, launcher, shares, observer, signals, time.monotonic() + seconds)
        try:
            _loop(worker)
        finally:
            worker.stop()
    if worker.disk_full:
        return "disk"
    return "signal" if signals else "over" if worker.unfinished == 0 else "budget"


def _loop(worker: Worker) -> None:
    import optuna

    reached = time.monotonic()
    while not worker.is_done():
        try:
            worker.step()
            reached = time.monotonic()
        except optuna.exceptions.StorageInternalError as error:
            if time.monotonic() - reached > STORAGE_TIMEOUT:
                raise RuntimeError(
                    "lost the connection to the study storage: rerun the same command to continue"
                ) from error
        time.sleep(INTERVAL)


@dataclass
class Worker:
    """One worker: the study as last polled, and the trials that it runs."""

    store: StudyStore
    launcher: Launcher
    shares: Sequence[ResourceShare]
    observer: SweepObserver
    # Numbers of the signals received, in order.
    signals: list[int]
    deadline: float
    clock: Callable[[], float] = time.monotonic
    owner: str = field(default_factory=new_owner)
    liveness: LivenessTracker = field(default_factory=LivenessTracker)
    running: list[TrialProcess] = field(default_factory=list)
    waiting: deque[Attempt] = field(default_factory=deque)
    attempts: Attempts = field(default_factory=dict)
    # Trials stopped from outside; not to be resumed by this worker.
    skipped: set[str] = field(default_factory=set)
    unfinished: int = 1
    disk_full: bool = False
    next_poll: float = -math.inf
    earliest_poll: float = -math.inf
    next_heartbeat: float = -math.inf

    def is_done(self) -> bool:
        """Whether nothing runs here, and nothing is left or may be started."""
        return not self.running and (self.unfinished == 0 or not self._may_start())

    def step(self) -> None:
        """Do everything that is due; nothing of it blocks."""
        self._send_heartbeats()
        if self._may_start() and self.clock() >= self.next_poll:
            began = self.clock()
            changed = self.apply(self.poll())
            self._schedule_poll(began, changed)
        while self.waiting and len(self.running) < len(self.shares) and self._may_start():
            self._claim(self.waiting.popleft())
        self._forward_signals()
        for process in list(self.running):
            self._check(process)

    def poll(self) -> PollResult:
        """Read the study and decide what is to be done."""
        self.attempts = self.store.attempts()
        own = {process.claimed.attempt.number for process in self.running}
        running = [
            attempt
            for attempt in map(current, self.attempts.values())
            if attempt is not None and attempt.state == "running" and attempt.number not in own
        ]
        return decide(self.attempts, self.liveness.lost(running), self.skipped)

    def apply(self, found: PollResult) -> bool:
        """Store lost and new attempts, and keep those to be claimed; returns whether the study was changed."""
        self.store.end_lost(found.lost)
        added = self.store.add_attempts({name: self.attempts[name] for name in found.unattempted})
        changed = bool(added or found.lost)
        # Claims keep the order of the trials, so they wait for the poll that follows a change.
        self.waiting, self.unfinished = deque(() if changed else found.waiting), found.unfinished
        self.observer.polled(found.counts)
        return changed

    def _schedule_poll(self, began: float, changed: bool) -> None:
        """Poll again at once after a change, else sooner where a share is free."""
        now = self.clock()
        self.earliest_poll = now + POLL_RATIO * (now - began)
        idle = not self.waiting and len(self.running) < len(self.shares)
        pause = IDLE_POLL_INTERVAL if idle else POLL_INTERVAL
        self.next_poll = now if changed else max(self.earliest_poll, now + pause)

    def stop(self) -> None:
        """Have all trials save and stop, and wait for them; some are left only after an unexpected error."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            if process.process is not None:
                process.process.wait()

    def _may_start(self) -> bool:
        return not self.signals and not self.disk_full and self.clock() < self.deadline

    def _send_heartbeats(self) -> None:
        if self.clock() < self.next_heartbeat:
            return
        self.next_heartbeat = self.clock() + HEARTBEAT_INTERVAL
        for process in self.running:
            with self._unless_lost(process):
                self.store.heartbeat(process.claimed)

    def _claim(self, attempt: Attempt) -> None:
        """Claim an attempt, unless another worker was faster."""
        claimed = self.store.claim(attempt, self.owner)
        if claimed is None:
            return
        run = run_of(self.launcher.folder, claimed.trial.name)
        taken = {id(process.share) for process in self.running}
        share = next(share for share in self.shares if id(share) not in taken)
        self.running.append(TrialProcess(claimed, share, run, JsonlTail(run.metrics)))

    def _forward_signals(self) -> None:
        """Send every signal once to every trial of this worker."""
        new = [process for process in self.running if process.signals < len(self.signals)]
        for process in new:
            process.terminate(self.signals[-1])
            process.signals = len(self.signals)
        if new and len(self.signals) == 1:
            self.observer.stopping(len(new))

    def _check(self, process: TrialProcess) -> None:
        """Start the trial, or observe its progress, and record its end."""
        if process.process is None:
            return self._start(process)
        code = process.process.poll()
        self._observe(process)
        if code is not None:
            self._end(process, code)

    def _start(self, process: TrialProcess) -> None:
        """Start the trial, unless its run is finished; a process left by a killed worker is waited for: it saves."""
        clear_unfinished(process.run)
        try:
            there = standing(process.run)
        except ValueError:
            # The outcome is the same error.
            return self._end(process, 0)
        if there == "finished" or (there == "locked" and self.signals) or (there == "new" and self._reuse(process)):
            self._end(process, 0)
        elif there != "locked":
            self.observer.started(process.trial, there == "begun")
            process.process = self.launcher.start(process.trial, process.share)

    def _reuse(self, process: TrialProcess) -> bool:
        """Copy the run of a finished trial at the same point of a search; returns whether there is one."""
        for name, attempts in self.store.attempts().items() if self.store.definition.search is not None else ():
            attempt, run = current(attempts), run_of(self.launcher.folder, name)
            if attempt is None or attempt.state != "complete" or not run.exists():
                continue
            if self.store.trial_of(name, attempt).overrides == process.trial.overrides:
                adopt_run(process.trial, run, self.launcher.folder)
                return True
        return False

    def _observe(self, process: TrialProcess) -> None:
        """Read the new steps and evaluations, pass them on, and prune the trial where an evaluation says so."""
        metric, search = self.store.definition.objectives[0].metric, self.store.definition.search
        rows = [row for row in process.metrics.rows() if metric in row and STEP in row]
        status = _status(process.run)
        progress = process.progress if status is None else (status.step, status.max_steps)
        if rows or progress != process.progress:
            process.progress = progress
            last = (int(rows[-1][STEP]), rows[-1][metric]) if rows else None
            self.observer.progressed(process.trial, *progress, last)
        for row in rows if search is not None and search.pruner != "none" else ():
            if math.isfinite(row[metric]) and process.stopped is None:
                with self._unless_lost(process):
                    if self.store.report(process.claimed, int(row[STEP]), row[metric]):
                        process.stopped = "pruned"
                        process.terminate()

    @contextmanager
    def _unless_lost(self, process: TrialProcess) -> Iterator[None]:
        """Stop a trial that another worker has taken over after a missed heartbeat."""
        try:
            yield
        except ClaimLost:
            process.stopped = "lost"
            process.terminate()

    def _outcome(self, process: TrialProcess, code: int) -> StudyTrial:
        """The result of a trial whose process has ended with ``code``; ValueError if its files are damaged."""
        trial, status = process.trial, read_status(process.run.status)
        state = None if status is None else status.state
        if state == "finished":
            values, seconds = measure(process.run, self.store.definition.objectives)
            return trial.record("finished", values=values, seconds=seconds)
        if process.stopped == "pruned":
            return trial.record("pruned")
        if process.stopped == "lost" or self.signals:
            return trial.record("interrupted")
        if state == "interrupted":
            self.skipped.add(trial.name)
            return trial.record("interrupted")
        kills = sum(attempt.note == KILLED for attempt in self.attempts.get(trial.name, ()))
        if -code == signal.SIGKILL and kills < MAX_KILLS - 1:
            return trial.record("interrupted", reason=KILLED)
        error = self.launcher.last_error(trial) if code >= 0 else None
        if error is not None and error.startswith(DISK_FULL):
            self.disk_full = True
            return trial.record("interrupted", reason=error)
        return trial.record("failed", reason=error or describe_exit(code))

    def _end(self, process: TrialProcess, code: int) -> None:
        """Store how a trial ended, then forget it, so that a failure of the storage loses nothing."""
        try:
            outcome = self._outcome(process, code)
        except ValueError as error:
            outcome = process.trial.record("failed", reason=str(error))
        with self._unless_lost(process):
            match outcome.state:
                case "finished":
                    self.store.finish(process.claimed, outcome.values, outcome.seconds)
                case "pruned":
                    self.store.prune(process.claimed)
                case "failed":
                    self.store.fail(process.claimed, outcome.reason or "failed")
                case "interrupted" if process.stopped != "lost":
                    self.store.release(process.claimed, outcome.reason or INTERRUPTED)
        self.running.remove(process)
        if not self.waiting:
            # Only a poll tells whether that was the last trial.
            self.next_poll = self.earliest_poll
        self.observer.ended(outcome)


def _status(run: RunDirectory) -> RunStatus | None:
    try:
        return read_status(run.status)
    except ValueError:
        # The end of the trial reports a damaged file.
        return None
