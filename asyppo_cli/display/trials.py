"""The live table of a sweep: the running trials, and counts of all others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyppo_cli.console import make_console, visible
from asyppo_cli.display.drawing import format_duration

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.table import Table

FRAMES_PER_SECOND = 2
BAR = 16


@dataclass
class TrialRow:
    """A running trial: its setting, steps done and to do, the last value of its metric (NaN: none yet)."""

    name: str
    setting: str
    state: str = "starting"
    step: int = 0
    max_steps: int = 0
    value: float = math.nan

    @property
    def share(self) -> float:
        """The share of its steps that are done."""
        return self.step / self.max_steps if self.max_steps else 0.0


@dataclass
class SweepBoard:
    """What is shown: the running trials by name, the number of trials in each state, and the seconds left."""

    title: str
    metric: str
    rows: dict[str, TrialRow] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds_left: float | None = None


class LiveTrials:
    """Redraws the board in place until :meth:`close`; notes are printed above it."""

    def __init__(
        self, board: SweepBoard, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        from rich.live import Live

        self._board, self._clock = board, clock
        self._started = clock()
        self._console = make_console() if console is None else console
        self._live: Live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=FRAMES_PER_SECOND,
            vertical_overflow="crop",
        )
        self._live.start()

    def note(self, text: str) -> None:
        """Print a line above the table."""
        from rich.text import Text

        self._console.print(Text(visible(text)))

    def close(self) -> None:
        """Leave the last state on the screen and restore the cursor."""
        self._live.stop()

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        board = self._board
        rows = list(board.rows.values())
        # Title, counts, table header and a line below need space too.
        space = max(1, self._console.height - 6)
        more = [Text(f"  and {len(rows) - space} more are running", style="dim")] if len(rows) > space else []
        head = Text.assemble((visible(board.title), "bold"), "  ", (self._times(), "dim"))
        return Group(head, _counts(board.counts), *([_table(board, rows[:space])] if rows else []), *more)

    def _times(self) -> str:
        left = self._board.seconds_left
        estimate = "" if left is None else f", about {format_duration(left)} left"
        return format_duration(self._clock() - self._started) + estimate


STYLES = {"finished": "green", "running": "cyan", "failed": "red", "pruned": "yellow", "interrupted": "yellow"}


def _counts(counts: Mapping[str, int]) -> RenderableType:
    from rich.text import Text

    parts = [(f"{number} {state}", STYLES.get(state, "dim")) for state, number in counts.items() if number]
    return Text("  ").join([Text(text, style=style) for text, style in parts])


def _table(board: SweepBoard, rows: list[TrialRow]) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_edge=False)
    table.add_column("trial", style="bold", no_wrap=True, overflow="ellipsis")
    table.add_column("setting", no_wrap=True, overflow="ellipsis")
    table.add_column("", width=BAR)
    for title in ("step", board.metric):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for row in rows:
        steps = f"{row.step}/{row.max_steps}" if row.max_steps else ""
        value = f"{row.value:.4g}" if math.isfinite(row.value) else ""
        bar = ProgressBar(total=1.0, completed=row.share, width=BAR)
        table.add_row(visible(row.name), visible(row.setting), bar, steps, value, row.state)
    return table
