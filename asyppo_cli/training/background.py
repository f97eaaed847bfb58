"""Work in a thread beside the one that goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def in_background(work: Callable[[], T]) -> Future[T]:
    """Run ``work`` in a thread; what it raises is raised where the result is asked for.

    The thread is a daemon: one who stops at once does not wait for it to come to its end.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001
            # Broad on purpose: nothing is swallowed, the result carries it to the one that asks.
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
