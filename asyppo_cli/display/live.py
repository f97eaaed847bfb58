"""The live display: a frame that is drawn over itself while a run is trained.

What changes only with a step is laid out once a step; four times a second only the clock and the spinner are drawn
anew, so that the display takes no time from the training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from asyppo_cli.console import make_console, visible
from asyppo_cli.display.board import Board, History
from asyppo_cli.display.frame import Frame, Moment

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live

FRAMES_PER_SECOND = 4
# Steps whose pace gives the time left.
PACE_STEPS = 20


class LiveMonitor:
    """Draws the board from the first phase on; :meth:`close` leaves the last state on the screen."""

    def __init__(
        self, board: Board, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = make_console() if console is None else console
        self._clock = clock
        self._began = clock()
        self._phase = "starting"
        self._frame: Frame | None = None
        self._history = History(board)
        self._marks: list[tuple[int, float]] = []
        self._live: Live | None = None
        self._closed = False

    def start(self, title: str, max_steps: int, step: int) -> None:
        """Show the whole frame."""
        self._began = self._clock()
        self._marks = [(step, self._began)]
        self._frame = Frame(visible(title), max_steps, step, self._history)
        self._open()

    def phase(self, name: str) -> None:
        """Name what is under way beside the spinner."""
        self._phase = name
        self._open()

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take the step's numbers; they are seen with the next frame."""
        self._history.add(metrics)
        self._marks = [*self._marks[-PACE_STEPS:], (step, self._clock())]
        if self._frame is not None:
            self._frame.advance(step, metrics)

    def note(self, text: str) -> None:
        """Print a line above the frame, where it stays."""
        from rich.text import Text

        console = self._console if self._live is None else self._live.console
        console.print(Text.assemble(("note  ", "yellow"), visible(text)))

    def close(self) -> None:
        """Draw the last state without the spinner and give the cursor back."""
        self._closed = True
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _open(self) -> None:
        if self._live is not None or self._closed:
            return
        from rich.live import Live

        self._live = Live(self, console=self._console, refresh_per_second=FRAMES_PER_SECOND, vertical_overflow="crop")
        self._live.start()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What rich draws."""
        from rich.text import Text

        phase = "" if self._closed else self._phase
        if self._frame is None:
            yield Text(f" {_spinner(self._clock())} {visible(phase)}" if phase else "", style="dim", no_wrap=True)
            return
        moment = Moment(self._clock() - self._began, self._seconds_left(), visible(phase), _spinner(self._clock()))
        yield from self._frame.segments(console, options.max_width, options.size.height, moment)

    def _seconds_left(self) -> float | None:
        """By the pace of the last steps and the time since the last one."""
        assert self._frame is not None
        (first, began), (last, ended) = self._marks[0], self._marks[-1]
        if last == first:
            return None
        pace = (ended - began) / (last - first)
        return max(0.0, pace * (self._frame.max_steps - last) - (0.0 if self._closed else self._clock() - ended))


def _spinner(now: float) -> str:
    return "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(now * FRAMES_PER_SECOND) % 10]
