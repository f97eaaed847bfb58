"""A worker: takes turns at a study's runs, some side by side, until all are over or it is told to stop.

Knows processes, run directories and the book, and no trainer: how a trial is started is handed in.
"""

from __future__ import annotations

import math
import signal
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.metric_log import read_metrics
from asyppo_cli.runs.status import read_status
from sweeps.definition.objectives import Tail, measure
from sweeps.execution.attempts import Turn, current, is_over, times_killed, trial_state
from sweeps.execution.jobs import End, Job, Outcome, Place, Signals, Watch, catching, told_by
from sweeps.execution.liveness import BEAT, Lookout, new_owner
from sweeps.execution.study_store import Book, Lost
from sweeps.execution.trial_directory import clear_preamble, progress, run_of, standing

# Seconds between two looks at the processes; between two at the whole study, while there is work and while there is
# none; and how many times as long as a look takes there is at least between two.
INTERVAL, LOOK, IDLE, REST = 0.2, 10.0, 1.0, 20
# So many turns wait to be begun, of however many runs.
AHEAD = 200
# A run that is killed from outside so often is not begun again.
KILLS = 3
KILLED, INTERRUPTED = "killed", "interrupted"
# Seconds for which a storage may be out of reach.
PATIENCE = 120.0


def work(book: Book, place: Place, watch: Watch, seconds: float = math.inf) -> End:
    """Take turns until every run is over; after ``seconds`` none is begun any more. Returns why that was the end.

    SIGINT and SIGTERM are handed on to the trials, which save and stop, and no other is begun.

    Raises:
        RuntimeError: the storage does not answer any more.
    """
    import optuna

    with catching() as caught:
        worker = Worker(book, place, watch, caught, time.monotonic() + seconds)
        trouble = math.inf
        try:
            while not worker.is_done():
                try:
                    worker.once()
                    trouble = math.inf
                except optuna.exceptions.StorageInternalError as error:
                    trouble = min(trouble, time.monotonic())
                    if time.monotonic() - trouble > PATIENCE:
                        raise RuntimeError(
                            "the storage does not answer any more: go on with the same command"
                        ) from error
                time.sleep(INTERVAL)
        finally:
            worker.stop()
    return "told" if caught.count else "over" if worker.unfinished == 0 else "budget"


@dataclass
class Worker:
    """What one worker knows: the study as it last saw it, and the trials that it runs."""

    book: Book
    place: Place
    watch: Watch
    caught: Signals
    deadline: float
    owner: str = field(default_factory=new_owner)
    lookout: Lookout = field(default_factory=Lookout)
    running: list[Job] = field(default_factory=list)
    waiting: deque[Turn] = field(default_factory=deque)
    runs: dict[str, list[Turn]] = field(default_factory=dict)
    # Stopped by somebody else's hand: not for us to begin again.
    left: set[str] = field(default_factory=set)
    unfinished: int = 1
    looked: float = -math.inf
    took: float = 0.0
    beaten: float = -math.inf

    def is_done(self) -> bool:
        """Whether nothing runs here, and nothing is left to do or may be begun."""
        return not self.running and (self.unfinished == 0 or not self._may_begin())

    def once(self) -> None:
        """Everything that is to be done now, none of which waits for anything."""
        self._beat()
        self._look()
        while self.waiting and len(self.running) < len(self.place.shares) and self._may_begin():
            self._begin(self.waiting.popleft())
        self._hand_on()
        for job in list(self.running):
            self._look_at(job)

    def stop(self) -> None:
        """Have all that still runs save and stop, and wait for it: only something that nobody expected leads here."""
        processes = [job.process for job in self.running if job.process is not None]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait()

    def _may_begin(self) -> bool:
        return not self.caught.count and time.monotonic() < self.deadline

    def _beat(self) -> None:
        if time.monotonic() - self.beaten < BEAT:
            return
        self.beaten = time.monotonic()
        for job in self.running:
            with self._unless_lost(job):
                self.book.beat(job.held)

    def _look(self) -> None:
        """Look at the whole study, if it is time to: what waits, what is lost, whether all is over."""
        now = time.monotonic()
        free = not self.waiting and len(self.running) < len(self.place.shares)
        if not self._may_begin() or now - self.looked < max(IDLE if free else LOOK, REST * self.took):
            return
        self.runs = self.book.turns()
        if self._recover():
            self.runs = self.book.turns()
        turns = [turn for turn in map(current, self.runs.values()) if turn is not None]
        self.waiting = deque(turn for turn in turns if turn.state == "waiting" and turn.run not in self.left)
        self.unfinished = sum(name not in self.left and not is_over(all_of) for name, all_of in self.runs.items())
        self.looked = time.monotonic()
        self.took = self.looked - now
        self.watch.stands(Counter(map(trial_state, self.runs.values())))

    def _recover(self) -> bool:
        """End the turns of dead workers, and see that some turns wait; returns whether anything has changed."""
        ours = {job.held.turn.number for job in self.running}
        now = [turn for turns in self.runs.values() if (turn := current(turns)) and turn.state == "running"]
        dead = self.lookout.dead([turn for turn in now if turn.number not in ours])
        self.book.end_lost(dead)
        if dead:
            self.runs = self.book.turns()
        turns = {name: current(all_of) for name, all_of in self.runs.items() if name not in self.left}
        room = AHEAD - sum(turn is not None and turn.state == "waiting" for turn in turns.values())
        missing = islice((name for name, turn in turns.items() if turn is None), max(0, room))
        return bool(self.book.add_missing({name: self.runs[name] for name in missing}) or dead)

    def _begin(self, turn: Turn) -> None:
        """Take the turn, unless another worker was faster, and start its trial, unless that is finished already."""
        held = self.book.claim(turn, self.owner)
        if held is None:
            return
        run = run_of(self.place.folder, held.trial.name)
        taken = {id(job.share) for job in self.running}
        share = next(share for share in self.place.shares if id(share) not in taken)
        self.running.append(Job(held, share, Tail(run.metrics)))

    def _start(self, job: Job, run: RunDirectory) -> None:
        """Start the trial, or wait for the process that a dead worker has left: it is saving."""
        clear_preamble(run)
        try:
            there = standing(run)
        except ValueError as error:
            return self._end(job, Outcome(job.trial, "failed", str(error)))
        match there:
            case "finished":
                self._over(job, run, 0)
            case "held":
                if self.caught.count:
                    self._over(job, run, 0)
            case _:
                self.watch.started(job.trial, there == "begun")
                job.process = self.place.launch(job.trial, job.share)

    def _hand_on(self) -> None:
        """Every signal once to every process of ours; another's is left to it."""
        new = [job for job in self.running if job.signals < self.caught.count]
        for job in new:
            if job.process is not None:
                job.process.send_signal(self.caught.number)
            job.signals = self.caught.count
        if new and self.caught.count == 1:
            self.watch.stopping(len(new))

    def _look_at(self, job: Job) -> None:
        """Tell how a trial gets on, have it stopped if it is to be pruned, and see whether it is over."""
        run = run_of(self.place.folder, job.trial.name)
        if job.process is None:
            self._start(job, run)
            return
        code = job.process.poll()
        now, new = progress(run, job.tail, job.progress, self.book.definition.objectives[0].metric)
        if now != job.progress:
            job.progress = now
            self.watch.progress(job.trial, now)
        if self.book.definition.search is not None and self.book.definition.search.pruner != "none":
            self._judge(job, new)
        if code is not None:
            self._over(job, run, code)

    def _judge(self, job: Job, new: Sequence[tuple[int, float]]) -> None:
        """Report evaluations; the first that speaks against the trial has it save and stop."""
        for step, value in new:
            if math.isfinite(value) and job.stopped is None:
                with self._unless_lost(job):
                    if self.book.report(job.held, step, value):
                        self._stop(job, "pruned")

    def _stop(self, job: Job, why: Literal["pruned", "lost"]) -> None:
        job.stopped = why
        if job.process is not None and job.process.poll() is None:
            job.process.send_signal(signal.SIGTERM)

    @contextmanager
    def _unless_lost(self, job: Job) -> Iterator[None]:
        """A trial that another worker has taken over, because we were silent for too long, is left to it."""
        try:
            yield
        except Lost:
            self._stop(job, "lost")

    def _over(self, job: Job, run: RunDirectory, code: int) -> None:
        """The trial's process has ended with ``code``."""
        try:
            outcome = self._outcome(job, run, code)
        except ValueError as error:
            outcome = Outcome(job.trial, "failed", str(error))
        self._end(job, outcome)

    def _end(self, job: Job, outcome: Outcome) -> None:
        """Write down how the trial ended, and forget it: in this order, so that a storage's failure loses nothing."""
        with self._unless_lost(job):
            match outcome.state:
                case "finished":
                    self.book.finish(job.held, outcome.values, outcome.seconds)
                case "pruned":
                    self.book.prune(job.held)
                case "failed":
                    self.book.fail(job.held, outcome.reason or "failed")
                case "interrupted" if job.stopped != "lost":
                    self.book.give_back(job.held, outcome.reason or INTERRUPTED)
        self.running.remove(job)
        # Whether that was the last one, only a look at the study can say.
        self.looked = min(self.looked, time.monotonic() - LOOK) if not self.waiting else self.looked
        self.watch.ended(outcome)

    def _outcome(self, job: Job, run: RunDirectory, code: int) -> Outcome:
        """What became of a trial whose process has ended with ``code``."""
        status = read_status(run.status)
        state = None if status is None else status.state
        if state == "finished":
            values = measure(run, self.book.definition.objectives)
            return Outcome(job.trial, "finished", values=values, seconds=read_metrics(run.metrics).seconds())
        if job.stopped == "pruned":
            return Outcome(job.trial, "pruned")
        if job.stopped == "lost" or self.caught.count:
            return Outcome(job.trial, "interrupted")
        if state == "interrupted":
            self.left.add(job.trial.name)
            return Outcome(job.trial, "interrupted")
        killed = times_killed(self.runs.get(job.trial.name, ()), KILLED)
        if -code == signal.SIGKILL and killed < KILLS - 1:
            return Outcome(job.trial, "interrupted", KILLED)
        return Outcome(job.trial, "failed", (None if code < 0 else self.place.why(job.trial)) or told_by(code))
