"""A role as a group of processes: asks all ranks at once, and says in one line what became of one that failed.

A rank that dies, hangs or runs out of memory leaves the others waiting for it in a collective operation: the group is
of no more use, and its owner closes it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ray
from ray.exceptions import ObjectLostError, OutOfMemoryError, RayActorError, RayError, RayTaskError

from asyppo_cli.engines.ray.rank_process import RankContext
from asyppo_cli.ports import NonFiniteLoss, WorkerLost

# When one rank fails, the cause may be another one, of which Ray hears a moment later.
GRACE_SECONDS = 5.0
CLOSE_SECONDS = 10.0
LONGEST_REASON = 300
# What torch says in a plain RuntimeError: of the host's memory, and of a GPU's.
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


class RankGroup:
    """Ranks 0 to ``len(places) - 1`` of one role, each an actor."""

    def __init__(self, contexts: Sequence[RankContext], actors: Sequence[Any], timeout: float) -> None:
        self._contexts, self._actors, self._timeout = contexts, actors, timeout
        self._open_calls = 0
        self._closed = False

    @property
    def role(self) -> str:
        """The role's name."""
        return self._contexts[0].role

    @property
    def size(self) -> int:
        """Number of ranks."""
        return len(self._actors)

    @property
    def actors(self) -> list[Any]:
        """Handles of the ranks, for other processes to call."""
        return list(self._actors)

    def call(self, activity: str, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method of the ranks; call number ``i`` goes to rank ``i`` modulo their number, answers likewise.

        ``activity`` says in words what is being done.

        Raises:
            WorkerLost: a rank died, hung, ran out of memory, or failed.
            ValueError, NonFiniteLoss: as a rank raised them.
        """
        return self.submit(activity, method, arguments)()

    def call_all(self, activity: str, method: str, *arguments: Any) -> list[Any]:
        """The same with the same arguments for every rank."""
        return self.call(activity, method, [arguments] * self.size)

    def submit(self, activity: str, method: str, arguments: Sequence[tuple[Any, ...]]) -> Callable[[], list[Any]]:
        """As :meth:`call`, but returns at once; what is returned waits for the answers."""
        ranks = itertools.cycle(self._actors)
        calls = [getattr(actor, method).remote(*own) for actor, own in zip(ranks, arguments, strict=False)]
        self._open_calls += 1
        return partial(self._collect, activity, calls)

    def close(self) -> None:
        """End all processes; those that have nothing to do release first what they hold."""
        if self._closed:
            return
        self._closed = True
        if not self._open_calls:
            closing = [actor.close.remote() for actor in self._actors]
            ray.wait(closing, num_returns=len(closing), timeout=CLOSE_SECONDS)
        for actor in self._actors:
            ray.kill(actor)

    def _collect(self, activity: str, calls: Sequence[Any]) -> list[Any]:
        waiting = {call: number for number, call in enumerate(calls)}
        answers: dict[int, Any] = {}
        failures: dict[int, Exception] = {}
        while waiting:
            done, _ = ray.wait(list(waiting), num_returns=1, timeout=GRACE_SECONDS if failures else self._timeout)
            if not done:
                break
            number = waiting.pop(done[0])
            try:
                answers[number] = ray.get(done[0])
            except RayError as error:
                failures[number % self.size] = error
        if failures:
            raise self._explain(activity, failures)
        if waiting:
            raise self._timed_out(activity, sorted({number % self.size for number in waiting.values()}))
        self._open_calls -= 1
        return [answers[number] for number in range(len(calls))]

    def _timed_out(self, activity: str, ranks: Sequence[int]) -> WorkerLost:
        others = f" (nor have ranks {', '.join(map(str, ranks[1:]))})" if len(ranks) > 1 else ""
        context = self._contexts[ranks[0]]
        return WorkerLost(
            f"{context.title}{others}, has not answered for {self._timeout:g} seconds while {activity}: "
            f"it hangs, or cluster.timeout is too short; its log is {context.log}"
        )

    def _explain(self, activity: str, failures: dict[int, Exception]) -> Exception:
        """One error for all: a death explains the others' complaints, else the first one heard of counts."""
        exited = [rank for rank, error in failures.items() if not isinstance(error, RayTaskError)]
        rank = exited[0] if exited else next(iter(failures))
        context, error = self._contexts[rank], failures[rank]
        message = f"{context.title}, {{}} while {activity}{{}}; its log is {context.log}"
        if isinstance(error, RayTaskError):
            return _translate(error, context, message)
        return WorkerLost(message.format(*_exit_reason(error)))


def _exit_reason(error: Exception) -> tuple[str, str]:
    """What happened to a process, and why as far as Ray knows."""
    text = " ".join(str(error).split())
    if isinstance(error, OutOfMemoryError) or "memory pressure" in text or "running low on memory" in text:
        return "was stopped for lack of memory on its machine", ""
    if isinstance(error, ObjectLostError):
        return "lost data", ": a machine or process that held it has died"
    if isinstance(error, RayActorError):
        return "died", " (killed, or crashed, or its machine ran out of memory)"
    return "failed", f": {text[:LONGEST_REASON]}"


def _translate(error: RayTaskError, context: RankContext, message: str) -> Exception:
    """What a rank itself raised, under the name it has in this process."""
    cause = error.cause if isinstance(error.cause, Exception) else error
    lines = [line for line in str(cause).splitlines() if line.strip()]
    reason = lines[0].strip()[:LONGEST_REASON] if lines else type(cause).__name__
    if isinstance(cause, NonFiniteLoss):
        return NonFiniteLoss(str(cause))
    if isinstance(cause, ValueError):
        return ValueError(f"{context.title}: {reason}")
    if isinstance(cause, MemoryError) or any(sign in str(cause) for sign in NO_MEMORY):
        return WorkerLost(message.format("ran out of memory", f" ({reason}): lower learner.micro_batch_tokens"))
    return WorkerLost(message.format("failed", f": {type(cause).__name__}: {reason}"))
