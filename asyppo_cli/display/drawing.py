"""Numbers as short text and as small pictures made of characters. Pure, and free of rich."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = "_.-:=+*#"
BRAILLE_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))

Kind = Literal["percent", "number", "length", "count", "bytes", "seconds"]


def format_value(value: float | None, kind: Kind) -> str:
    """A metric's value in at most eight characters; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    match kind:
        case "percent":
            return f"{100 * value:.1f} %"
        case "number":
            return f"{value:.3f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.1e}"
        case "length":
            return f"{value:.1f}" if value < 1000 else f"{value:,.0f}"
        case "count":
            return f"{value:,.0f}" if abs(value) < 1e6 else f"{value / 1e6:,.1f} M"
        case "bytes":
            return _format_bytes(value)
        case "seconds":
            return f"{value:.2f} s" if value < 10 else f"{value:.1f} s" if value < 60 else format_duration(value)


def _format_bytes(value: float) -> str:
    if value < 2**20:
        return f"{value / 2**10:.0f} KiB"
    return f"{value / 2**20:.0f} MiB" if value < 2**30 else f"{value / 2**30:.1f} GiB"


def format_change(change: float, kind: Kind) -> str:
    """A signed difference; percentages differ by points."""
    if not math.isfinite(change):
        return "-"
    text = f"{100 * abs(change):.1f}" if kind == "percent" else format_value(abs(change), kind)
    return ("-" if change < 0 else "+") + text


def format_duration(seconds: float) -> str:
    """``45 s``, ``3:07`` (minutes and seconds), or ``2:03:07``."""
    if not math.isfinite(seconds):
        return "-"
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{left:02d}"
    return f"{minutes}:{left:02d}" if minutes else f"{left} s"


def sparkline(values: Sequence[float], width: int, blocks: str = BLOCKS) -> str:
    """A curve of at most ``width`` characters, scaled from its lowest to its highest value.

    Longer series are averaged in equal parts; a value that is not finite leaves a gap; an even series lies low.
    """
    points = resample(values, width)
    finite = [point for point in points if math.isfinite(point)]
    if not finite:
        return " " * len(points)
    low, span = min(finite), max(finite) - min(finite)
    if span <= 1e-9 * max(abs(low), 1.0):
        span = math.inf
    top = len(blocks) - 1
    return "".join(blocks[round((p - low) / span * top)] if math.isfinite(p) else " " for p in points)


def resample(values: Sequence[float], width: int) -> list[float]:
    """At most ``width`` values: means of equal parts, of the finite values in each."""
    if len(values) <= width or width < 1:
        return list(values)[: max(width, 0)]
    edges = [i * len(values) // width for i in range(width + 1)]
    return [_mean(values[a:b]) for a, b in pairwise(edges)]


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def shares_to_cells(parts: Sequence[float], width: int) -> list[int]:
    """Whole cells for each part of a bar of ``width`` cells: they sum to ``width``, largest remainders first."""
    total = sum(parts)
    if total <= 0 or width < 1:
        return [0] * len(parts)
    exact = [part / total * width for part in parts]
    cells = [int(e) for e in exact]
    order = sorted(range(len(parts)), key=lambda i: cells[i] - exact[i])
    for i in order[: width - sum(cells)]:
        cells[i] += 1
    return cells


def braille_chart(
    curves: Sequence[Sequence[tuple[float, float]]], width: int, height: int
) -> list[list[tuple[str, int]]]:
    """Curves of points ``(x, y)`` in the unit square as ``height`` lines of ``width`` braille characters.

    Each character comes with the index of the last curve through it, -1 for none; neighbouring points are joined.
    """
    dots = [[0] * width for _ in range(height)]
    owner = [[-1] * width for _ in range(height)]
    for index, curve in enumerate(curves):
        cells = [_dot(x, y, 2 * width, 4 * height) for x, y in curve]
        for start, stop in zip(cells, cells[1:] or cells, strict=False):
            for column, row in _segment(start, stop):
                dots[row // 4][column // 2] |= BRAILLE_BITS[row % 4][column % 2]
                owner[row // 4][column // 2] = index
    return [
        [(chr(0x2800 + d) if d else " ", o) for d, o in zip(*pair, strict=True)]
        for pair in zip(dots, owner, strict=True)
    ]


def _dot(x: float, y: float, columns: int, rows: int) -> tuple[int, int]:
    """Column from the left and row from the top of a point of the unit square."""
    column, row = round(x * (columns - 1)), round((1 - y) * (rows - 1))
    return min(max(column, 0), columns - 1), min(max(row, 0), rows - 1)


def _segment(start: tuple[int, int], stop: tuple[int, int]) -> list[tuple[int, int]]:
    """All dots on the straight line between two dots, both included."""
    steps = max(abs(stop[0] - start[0]), abs(stop[1] - start[1]), 1)
    ends = list(zip(start, stop, strict=True))
    return [tuple(round(a + (b - a) * i / steps) for a, b in ends) for i in range(steps + 1)]  # type: ignore[misc]
