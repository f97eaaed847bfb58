"""How names and scales of a study are put into figures."""

from __future__ import annotations

from collections.abc import Sequence

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


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Each dotted key by as few of its last parts as tell it from the others."""
    short = {}
    for key in keys:
        parts = key.split(".")
        others = [other.split(".") for other in keys if other != key]
        apart = (n for n in range(1, len(parts)) if all(other[-n:] != parts[-n:] for other in others))
        short[key] = ".".join(parts[-next(apart, len(parts)) :])
    return short
