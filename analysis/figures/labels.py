"""How names and scales of a study are put into figures."""

from __future__ import annotations

from analysis.figures.style import printable

# Rows of a figure that can be read.
MOST_ROWS = 30


def shown(text: object, most: int) -> str:
    """A name as a figure's font can show it, cut in the middle: what tells settings apart stands at both ends."""
    full = printable(str(text), most=10_000).replace("␣", " ")
    if len(full) <= most:
        return full
    front = (most - 1) // 2
    return f"{full[:front]}…{full[len(full) - (most - 1 - front) :]}"
