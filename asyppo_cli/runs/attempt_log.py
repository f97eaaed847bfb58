"""The log of one attempt: calls of the monitor as lines with the time, beside the terminal's display."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from asyppo_cli.monitor import Monitor
from asyppo_cli.runs.metrics import ACCURACY, REWARD_MEAN, STEP_TIME


class AttemptLog:
    """A monitor that writes to a file and passes everything on."""

    def __init__(self, inner: Monitor, path: Path, clock: Callable[[], datetime]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._inner, self._clock = inner, clock
        # Lines are rare and must survive a crash: each is written at once.
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def start(self, title: str, max_steps: int, step: int) -> None:
        """A run begins or goes on."""
        self._write(f"{title}: step {step} of {max_steps}")
        self._inner.start(title, max_steps, step)

    def phase(self, name: str) -> None:
        """Passed on: phases are timed in the metrics."""
        self._inner.phase(name)

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """A line with the numbers one looks for first."""
        shown = [f"{name} {metrics[name]:.4g}" for name in (REWARD_MEAN, ACCURACY, STEP_TIME) if name in metrics]
        self._write(f"step {step}  " + "  ".join(shown))
        self._inner.step(step, metrics)

    def note(self, text: str) -> None:
        """A line of its own."""
        self._write(text)
        self._inner.note(text)

    def close(self) -> None:
        """The attempt is over."""
        try:
            self._file.close()
        finally:
            # Whatever the disk says, the terminal gets its cursor back.
            self._inner.close()

    def _write(self, text: str) -> None:
        self._file.write(f"{self._clock():%Y-%m-%d %H:%M:%S}  {text}\n")
