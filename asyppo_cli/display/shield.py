"""A display whose stream may go away: a pipe that is closed, a terminal that hangs up, a log on a full disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from asyppo_cli import console
from asyppo_cli.monitor import Monitor


class ShieldedMonitor:
    """Passes everything on; when that fails for want of a stream, ``lost`` is called and the run is not disturbed."""

    def __init__(self, inner: Monitor, lost: Callable[[], None]) -> None:
        self._inner, self._lost = inner, lost

    def start(self, title: str, max_steps: int, step: int) -> None:
        """A run begins or goes on."""
        self._try(lambda: self._inner.start(title, max_steps, step))

    def phase(self, name: str) -> None:
        """A step enters a phase."""
        self._try(lambda: self._inner.phase(name))

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """A step is done."""
        self._try(lambda: self._inner.step(step, metrics))

    def note(self, text: str) -> None:
        """Something to know."""
        self._try(lambda: self._inner.note(text))

    def close(self) -> None:
        """The attempt is over."""
        self._try(self._inner.close)

    def _try(self, call: Callable[[], None]) -> None:
        try:
            call()
        except (OSError, SystemExit):
            # rich makes a SystemExit of a broken pipe.
            console.abandon_stdout()
            self._lost()
