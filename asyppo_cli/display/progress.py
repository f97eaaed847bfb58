"""Progress towards a known number of things, with a word on how it goes: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from asyppo_cli import console
from asyppo_cli.display.drawing import format_duration

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

# Plain lines end up in logs: one of them every few seconds is enough.
SECONDS_BETWEEN_LINES = 5.0
BAR_WIDTH = 12
LONGEST_TITLE = 36


class Progress(Protocol):
    """What :func:`progress` gives."""

    def start(self, title: str, total: int, done: int) -> None:
        """Something of ``total`` parts begins, or goes on after ``done`` of them."""
        ...

    def advance(self, done: int, text: str) -> None:
        """``done`` parts are done; ``text`` is the score so far."""
        ...

    def finish(self, text: str) -> None:
        """All are there; ``text`` says how it went."""
        ...

    def note(self, text: str) -> None:
        """Something to know, in one line that stays."""
        ...

    def close(self) -> None:
        """Leave the terminal clean."""
        ...


def progress() -> Progress:
    """What suits stderr, so that the result alone goes to stdout."""
    return LiveProgress() if console.is_terminal(stderr=True) else PlainProgress(SECONDS_BETWEEN_LINES)


class LiveProgress:
    """One line that is drawn over itself for each thing that was started."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def start(self, title: str, total: int, done: int) -> None:
        """Add a line."""
        from rich import progress as rich_progress

        if self._bar is None:
            columns = (
                rich_progress.SpinnerColumn(),
                rich_progress.TextColumn("{task.description}", markup=False),
                rich_progress.BarColumn(BAR_WIDTH),
                rich_progress.TextColumn("{task.completed}/{task.total}  {task.fields[text]}", markup=False),
                rich_progress.TimeRemainingColumn(),
            )
            self._bar = rich_progress.Progress(*columns, console=console.make_console(stderr=True), transient=True)
            self._bar.start()
        self._task = self._bar.add_task(_short(console.visible(title)), total=total, completed=done, text="")

    def advance(self, done: int, text: str) -> None:
        """Move the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, text=console.visible(text))

    def finish(self, text: str) -> None:
        """Fill the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._bar.tasks[-1].total, text=console.visible(text))

    def note(self, text: str) -> None:
        """Print above the bar."""
        from rich.text import Text

        target = console.make_console(stderr=True) if self._bar is None else self._bar.console
        target.print(Text(console.visible(text), style="dim"), soft_wrap=True)

    def close(self) -> None:
        """Take the bar away: the result says it all."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class PlainProgress:
    """A line now and then, and one at the end."""

    def __init__(self, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock
        self._title, self._total, self._first = "", 0, 0
        self._began = self._printed = clock()

    def start(self, title: str, total: int, done: int) -> None:
        """Print the title, and where it goes on."""
        self._title, self._total, self._first = title, total, done
        self._began = self._printed = self._clock()
        going_on = ", all there" if done == total else f", going on after {done}" if done else ""
        self.note(f"{title}: {total} samples{going_on}")

    def advance(self, done: int, text: str) -> None:
        """Print a line if it is due."""
        now = self._clock()
        if now - self._printed < self._every:
            return
        self._printed = now
        left = ""
        if self._first < done < self._total:
            pace = (now - self._began) / (done - self._first)
            left = f"  {format_duration(pace * (self._total - done))} left"
        self.note(f"{self._title}  {done}/{self._total}  {text}{left}")

    def finish(self, text: str) -> None:
        """Print the last line."""
        self.note(f"{self._title}  {text}  in {format_duration(self._clock() - self._began)}")

    def note(self, text: str) -> None:
        """Print a line."""
        console.note(text)

    def close(self) -> None:
        """Nothing to leave."""


def _short(title: str) -> str:
    """The beginning and the end of a title that would leave no room for anything else."""
    half = LONGEST_TITLE // 2
    return title if len(title) <= LONGEST_TITLE else f"{title[: half - 1]}…{title[-half:]}"
