"""The layout of the live display: lines of styled text in a rounded frame, from narrow to wide.

Lines are put together by hand instead of by rich's tables: they are drawn four times a second beside the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyppo_cli.display.board import History, Row
from asyppo_cli.display.drawing import (
    braille_chart,
    format_change,
    format_duration,
    format_value,
    shares_to_cells,
    sparkline,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.segment import Segment

# A piece of a line: text and rich's name of its style.
Piece = tuple[str, str]
Line = list[Piece]

NARROWEST, WIDEST = 40, 180
# From this width on there is room for a chart beside the rows.
CHART_FROM = 116
SPARK_BESIDE_CHART = 24
# Lines of the frame that are not rows: borders, progress, a blank on each side of the rows, the phases.
OVERHEAD = 7
CURVE, STRONG, QUIET, FRAME = "cyan", "bold", "dim", "dim"
GOOD, BAD = "green", "red"
PHASE_STYLES = ("cyan", "blue", "magenta", "green", "yellow", "bright_cyan", "bright_magenta", "bright_blue")
# A phase below this share of a step is not worth a name.
SMALLEST_SHARE = 0.02


@dataclass(frozen=True)
class Moment:
    """What changes between steps: seconds since the start and to the end, the phase (empty: over), the spinner."""

    elapsed: float
    left: float | None
    phase: str
    spinner: str


class Frame:
    """A run's picture. ``step`` finished steps at first."""

    def __init__(self, title: str, max_steps: int, step: int, history: History) -> None:
        self.max_steps = max_steps
        self._title, self._step, self._first, self._history = title, step, step, history
        self._phases: dict[str, float] = {}
        self._colours: dict[str, str] = {}
        self._steps: dict[str, list[int]] = {}
        self._cache: tuple[tuple[int, int, int], list[list[Segment]]] | None = None
        self._version = 0

    def advance(self, step: int, metrics: Mapping[str, float]) -> None:
        """Step ``step`` is done; the history has its metrics."""
        board = self._history.board
        self._step = step
        for row in board.rows[:2]:
            if row.value(metrics) is not None:
                self._steps.setdefault(row.label, []).append(step)
        seconds = {n: v for n, v in metrics.items() if n.startswith(board.phases) and n != board.step_time}
        if board.step_time in metrics:
            self._phases = {name.removeprefix(board.phases): value for name, value in seconds.items()}
            for name, value in self._phases.items():
                if value >= SMALLEST_SHARE * sum(self._phases.values()):
                    self._colours.setdefault(name, PHASE_STYLES[len(self._colours) % len(PHASE_STYLES)])
        self._version += 1

    def segments(self, console: Console, width: int, height: int, moment: Moment) -> Iterator[Segment]:
        """The whole picture, never wider than ``width`` nor as high as ``height``."""
        from rich.segment import Segment

        width = max(NARROWEST, min(width, WIDEST))
        key = (width, height, self._version)
        if self._cache is None or self._cache[0] != key:
            self._cache = key, [_segments(console, line) for line in self._body(width, height)]
        top = [self._top(width), _framed(self._progress(width - 4, moment), width)]
        lines = [_segments(console, line) for line in top]
        lines += self._cache[1]
        lines.append(_segments(console, self._bottom(width, moment)))
        for line in lines:
            yield from line
            yield Segment.line()

    def _top(self, width: int) -> Line:
        count = f"step {self._step}/{self.max_steps}"
        title = _cut(self._title, width - len(count) - 10)
        fill = "─" * (width - len(title) - len(count) - 8)
        return [("╭─ ", FRAME), (title, STRONG), (f" {fill} ", FRAME), (count, STRONG), (" ─╮", FRAME)]

    def _bottom(self, width: int, moment: Moment) -> Line:
        if not moment.phase:
            return [("╰" + "─" * (width - 2) + "╯", FRAME)]
        phase = _cut(moment.phase, width - 30)
        hint = "Ctrl-C saves and stops"
        fill = "─" * (width - len(phase) - len(hint) - 10)
        return [
            ("╰─ ", FRAME),
            (f"{moment.spinner} ", CURVE),
            (phase, ""),
            (f" {fill} ", FRAME),
            (hint, QUIET),
            (" ─╯", FRAME),
        ]

    def _progress(self, width: int, moment: Moment) -> Line:
        share = self._step / self.max_steps
        left = "" if moment.left is None or not moment.phase else f"{format_duration(moment.left)} left"
        times = f"{100 * share:3.0f} %  {format_duration(moment.elapsed):>7}  {left:>12}"
        room = width - len(times) - 2
        full = round(share * room)
        return [("━" * full, CURVE), ("─" * (room - full), QUIET), (f"  {times}", "")]

    def _body(self, width: int, height: int) -> list[Line]:
        inner = width - 4
        rows = [row for row in self._history.board.rows if self._history.of(row)][: max(height - OVERHEAD - 1, 0)]
        lines = self._with_chart(rows, inner) if width >= CHART_FROM and len(rows) > 4 else self._rows(rows, inner)
        blank: Line = [("", "")]
        phases = self._phase_lines(inner)
        body = [blank, *lines, *([blank] if lines and phases else []), *phases]
        return [_framed(line, width) for line in body]

    def _rows(self, rows: list[Row], width: int) -> list[Line]:
        """Label, value, change since the beginning, curve."""
        if not rows:
            return []
        last = self._history.last
        label_width = max(len(row.label) for row in rows)
        value_width = max(8, *(len(row.text(last)) for row in rows))
        room = max(width - label_width - value_width - 12, 0)
        return [self._row(row, label_width, value_width, room) for row in rows]

    def _row(self, row: Row, label_width: int, value_width: int, room: int) -> Line:
        values = self._history.of(row)
        leading = row is self._history.board.rows[0]
        change, style = self._change(row, values)
        return [
            (f"{row.label:<{label_width}}  ", "" if leading else QUIET),
            (f"{row.text(self._history.last):>{value_width}}", STRONG if leading else ""),
            (f"{change:>8}  ", style),
            (sparkline(values, room), QUIET if min(values) == max(values) else GOOD if leading else CURVE),
        ]

    def _change(self, row: Row, values: list[float]) -> Piece:
        """Since the first value, for rows where a direction is hoped for and the scale does not move."""
        if row.better is None or row.kind not in ("percent", "number") or len(values) < 2:
            return "", ""
        change = values[-1] - values[0]
        text = format_change(change, row.kind)
        if float(text[1:]) == 0:
            return "", ""
        return text, GOOD if (change > 0) == (row.better == "high") else BAD

    def _with_chart(self, rows: list[Row], width: int) -> list[Line]:
        """Rows on the left; on the right the first two of the board as curves over steps, on one scale."""
        chart_width = width - self._rows_width(rows) - 4
        chart = self._chart(chart_width, len(rows))
        left = self._rows(rows, width - chart_width - 4)
        return [
            [*row, (" " * (width - chart_width - _length(row)), ""), *line]
            for row, line in zip(left, chart, strict=True)
        ]

    def _rows_width(self, rows: list[Row]) -> int:
        texts = max(len(row.text(self._history.last)) for row in rows)
        return max(len(row.label) for row in rows) + max(8, texts) + 12 + SPARK_BESIDE_CHART

    def _chart(self, width: int, height: int) -> list[Line]:
        """``height`` lines: a braille chart with its scale, and a legend below."""
        main, second = self._history.board.rows[:2]
        curves = [self._points(second), self._points(main)]
        styles = {-1: QUIET, 0: "blue", 1: GOOD}
        lines: list[Line] = []
        for number, row in enumerate(braille_chart(curves, width - 6, height - 1)):
            scale = {0: "100 %", (height - 1) // 2: " 50 %", height - 2: "  0 %"}.get(number, "")
            lines.append([(f"{scale:>5} ", QUIET), *((character, styles[owner]) for character, owner in row)])
        legend: Line = [(" " * 6, ""), ("━ ", GOOD), (main.label, QUIET), ("   ━ ", "blue"), (second.label, QUIET)]
        steps = f"step {self.max_steps}"
        return [*lines, [*legend, (f"{steps:>{max(width - _length(legend), 0)}}", QUIET)]]

    def _points(self, row: Row) -> list[tuple[float, float]]:
        steps = self._steps.get(row.label, [])
        return [(step / self.max_steps, value) for step, value in zip(steps, self._history.of(row), strict=False)]

    def _phase_lines(self, width: int) -> list[Line]:
        """Seconds per phase of the last step: a bar in colours, and what the colours mean."""
        total = sum(self._phases.values())
        if total <= 0:
            return []
        label = f"{format_value(total, 'seconds')} a step"
        cells = shares_to_cells(list(self._phases.values()), width - len(label) - 2)
        bar: Line = [("━" * n, self._colours.get(name, QUIET)) for name, n in zip(self._phases, cells, strict=True)]
        return [[*bar, (f"  {label}", "")], self._legend(width, total)]

    def _legend(self, width: int, total: float) -> Line:
        """The longest phases that fit into the line, in the order of the bar."""
        named = {name: f"{name} {seconds:.2f}" for name, seconds in self._phases.items()}
        shown, room = set(), width + 3
        for name in sorted(named, key=lambda name: -self._phases[name]):
            room -= len(named[name]) + 5
            if room < 0 or self._phases[name] < SMALLEST_SHARE * total:
                break
            shown.add(name)
        return [
            piece
            for name in named
            if name in shown
            for piece in (("▪ ", self._colours[name]), (named[name] + "   ", QUIET))
        ]


def _length(line: Line) -> int:
    return sum(len(text) for text, _ in line)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def _framed(line: Line, width: int) -> Line:
    """A line between the borders, cut or filled up to ``width``."""
    room, kept = width - 4, []
    for text, style in line:
        kept.append((text[:room], style))
        room -= len(kept[-1][0])
    return [("│ ", FRAME), *kept, (" " * room, ""), (" │", FRAME)]


def _segments(console: Console, line: Line) -> list[Segment]:
    """Neighbours of one style become one segment."""
    from rich.segment import Segment

    pieces = [Segment(text, console.get_style(style) if style else None) for text, style in line if text]
    return list(Segment.simplify(pieces))
