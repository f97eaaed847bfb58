"""What a check found, and checks under deadlines: none of them can hold the others up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["fine", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """``text`` about a ``subject``; ``fix``: what to do, in one line. With a fault the configuration cannot run."""

    subject: str
    state: State
    text: str
    fix: str = ""


@dataclass(frozen=True)
class Check:
    """Something to check within ``seconds``; ``needed``: without an answer the configuration cannot run."""

    subject: str
    look: Callable[[], Sequence[Finding]]
    seconds: float
    needed: bool = False


def carry_out(checks: Sequence[Check]) -> list[Finding]:
    """All checks at the same time; findings in the order of the checks. One that gives no answer is a finding too."""
    answers: list[list[Finding]] = [[] for _ in checks]
    threads = [
        # Daemons: one that hangs in the operating system must not keep this process alive.
        threading.Thread(target=_answer, args=(check, answer), daemon=True)
        for check, answer in zip(checks, answers, strict=True)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for check, thread, answer in zip(checks, threads, answers, strict=True):
        thread.join(max(0.0, started + check.seconds - time.monotonic()))
        if thread.is_alive():
            answer[:] = [silent(check)]
    return [finding for answer in answers for finding in answer]


def _answer(check: Check, answer: list[Finding]) -> None:
    found = check.look()
    answer.extend(found)


def silent(check: Check) -> Finding:
    """A check that has not answered in time."""
    state: State = "fault" if check.needed else "warning"
    return Finding(check.subject, state, f"no answer within {check.seconds:g} seconds", "try again on an idle machine")
