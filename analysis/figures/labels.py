"""Names as figures show them: shortened, printable."""

from __future__ import annotations

from analysis.figures.style import legible

# Rows that can be read in one figure.
MAX_ROWS = 30


def shortened(text: object, limit: int) -> str:
    """A name as a figure's font can show it, cut in the middle: what tells settings apart stands at both ends."""
    full = legible(str(text))
    if len(full) <= limit:
        return full
    front = (limit - 1) // 2
    return f"{full[:front]}…{full[len(full) - (limit - 1 - front) :]}"
