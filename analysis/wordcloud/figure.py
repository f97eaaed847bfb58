"""The word cloud with its ranked bars, and the shares of classes, drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.figures.style import (
    AMBER,
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PINK,
    SKY,
    caption,
    fonts,
    new_figure,
    printable,
    styled,
)
from analysis.wordcloud.counts import WordCounts, highest_rates, intervals, most_masked
from analysis.wordcloud.parts_of_speech import ClassShare
from analysis.wordcloud.wording import MIN, TAKEN, VERB

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Classes that a reader asks for have a colour of their own; all others share one.
COLOUR_OF = {
    "adjective": ORANGE,
    "adverb": AMBER,
    "noun": BLUE,
    "verb": SKY,
    "connective": PINK,
    "symbol": GREEN,
    "digit": INK,
}
REST = MUTED
WIDTH, MIN_WIDTH = 11.5, 8.0
# Inches for title, axis and legend, and for each bar.
FRAME, BAR = 1.5, 0.145
# Of the largest word's size; below that nobody can read.
SMALLEST, MARGIN = 0.16, 0.12
SEEDS, RING = 40_000, 1000


def draw_words(counts: WordCounts, classes: Sequence[str], note: str, width: float | None = None) -> Figure:
    """The cloud (size by count) beside bars by count and by rate; above them where ``width`` inches are too few.

    Raises:
        ValueError: matplotlib is not installed.
    """
    chosen, surest = most_masked(counts), highest_rates(counts)
    with styled():
        height = FRAME + BAR * max(20, len(chosen))
        if width is None or width >= MIN_WIDTH:
            figure = new_figure(WIDTH if width is None else width, height)
            cloud, by_count, by_rate = figure.subplots(1, 3, width_ratios=(5.2, 2.6, 2.6))
        else:
            figure = new_figure(width, 1.6 * height)
            parts: dict[str, Axes] = figure.subplot_mosaic(
                [["cloud", "cloud"], ["count", "rate"]], height_ratios=(0.6, 1)
            )
            cloud, by_count, by_rate = parts["cloud"], parts["count"], parts["rate"]
        words = [(counts.words[w], int(counts.masked[w]), classes[w]) for w in chosen]
        _draw_cloud(cloud, words, (0.5 * WIDTH if width is None else width) / height)
        cloud.set_title(f"{len(chosen)} tokens whose {TAKEN[counts.gate]} is {VERB[counts.gate]} most often")
        _bars(by_count, counts, chosen, classes, counts.masked[chosen], None)
        by_count.set_title("by count")
        by_count.set_xlabel(f"times {VERB[counts.gate]}")
        _bars(by_rate, counts, surest, classes, 100 * counts.rates()[surest], intervals(counts))
        by_rate.axvline(100 * counts.share, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), label="all tokens")
        by_rate.legend(loc="lower right")
        by_rate.set_title("by rate, sure ones first")
        by_rate.set_xlabel(f"{VERB[counts.gate]} share of its uses (%)")
        _legend(figure, {classes[w] for w in (*chosen, *surest)})
        caption(figure, note)
    return figure


def _draw_cloud(ax: Axes, words: Sequence[tuple[str, int, str]], aspect: float) -> None:
    """Words as outlines, sharp at any size; a word's area grows with its count."""
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    most = max(count for _, count, _ in words)
    sizes = [max(SMALLEST, math.sqrt(count / most)) for _, count, _ in words]
    paths = [
        TextPath((0, 0), printable(word, 18), size=size, prop=_font())
        for (word, *_), size in zip(words, sizes, strict=True)
    ]
    boxes = np.array([path.get_extents().extents for path in paths])
    middles = np.stack([boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]], axis=1) / 2
    extents = np.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]], axis=1) + MARGIN
    places = place_words(extents, aspect)
    for path, (*_, kind), middle, place in zip(paths, words, middles, places, strict=True):
        shown = path.transformed(Affine2D().translate(*(place - middle)))
        ax.add_patch(PathPatch(shown, color=COLOUR_OF.get(kind, REST), linewidth=0))
    for set_limits, side in ((ax.set_xlim, 0), (ax.set_ylim, 1)):
        half = extents[:, side] / 2
        set_limits((places[:, side] - half).min(), (places[:, side] + half).max())
    ax.set_aspect("equal", anchor="N")
    ax.axis("off")


def place_words(extents: Any, aspect: float) -> Any:
    """Middles ``[W, 2]`` of W words of size ``extents`` ``[W, 2]``: the first in the centre, none on another.

    Each takes the free place nearest to the centre among the points of a sunflower spiral, stretched by ``aspect``
    (width over height); nothing is random. The package wordcloud is no replacement: it measures words with a single
    font, without a fallback for Chinese or emoji, and leaves out words for which it finds no place.
    """
    reach = math.sqrt(float((extents[:, 0] * extents[:, 1]).sum())) * 3
    seeds = np.arange(SEEDS)
    radius, angle = reach * np.sqrt(seeds / SEEDS), seeds * math.pi * (3 - math.sqrt(5))
    points = np.stack([radius * np.cos(angle) * aspect, radius * np.sin(angle)], axis=1)
    placed = np.zeros((0, 2))
    for w, extent in enumerate(extents):
        placed = np.vstack([placed, _first_free(points, placed, (extent + extents[:w]) / 2)])
    return placed


def _first_free(points: Any, placed: Any, least: Any) -> Any:
    """The first of the points that is ``least`` away from all that is placed, in one direction or the other."""
    for start in range(0, len(points), RING):
        ring = points[start : start + RING]
        free = (np.abs(ring[:, None] - placed[None]) >= least).any(-1).all(-1)
        if free.any():
            return ring[free.argmax()]
    raise AssertionError("the outermost points lie beyond all words")


def _font() -> Any:
    from matplotlib.font_manager import FontProperties

    return FontProperties(family=fonts())


def _bars(ax: Axes, counts: WordCounts, chosen: Sequence[int], classes: Sequence[str], lengths: Any, ends: Any) -> None:
    places = np.arange(len(chosen))
    colours = [COLOUR_OF.get(classes[w], REST) for w in chosen]
    # An estimate is the point with its interval; the bar only leads the eye to it.
    ax.barh(places, lengths, color=colours, height=0.72, alpha=1.0 if ends is None else 0.3, linewidth=0)
    if ends is not None:
        low, high = (100 * end[list(chosen)] for end in ends)
        ax.hlines(places, low, high, colors=colours, linewidth=1.4)
        ax.scatter(lengths, places, c=colours, s=12, zorder=3)
    ax.set_yticks(places, [printable(counts.words[w], 16) for w in chosen], fontsize=7)
    ax.set_ylim(max(20, len(chosen)) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.margins(x=0.02)


def _legend(figure: Figure, classes: set[str]) -> None:
    from matplotlib.patches import Patch

    named = [Patch(color=colour, label=name) for name, colour in COLOUR_OF.items() if name in classes]
    rest = [Patch(color=REST, label="other classes")] if classes - COLOUR_OF.keys() else []
    figure.legend(handles=[*named, *rest], loc="outside upper left", ncols=8)


def draw_classes(shares: Sequence[ClassShare], gate: str, note: str) -> Figure:
    """Each class that occurs: its share among masked and among other tokens, with intervals over responses."""
    found = [share for share in shares if share.tokens >= MIN]
    places = np.arange(len(found))
    with styled():
        figure = new_figure(6.4, 1.1 + 0.36 * len(found))
        ax = figure.subplots()
        sides = ((-0.12, "masked", ORANGE, "o", VERB[gate]), (0.12, "others", BLUE, "s", "other tokens"))
        for shift, field, colour, marker, label in sides:
            estimates = [getattr(share, field) for share in found]
            centre = [100 * estimate.value for estimate in estimates]
            reach = [
                [100 * abs(e.value - end) if e.known else 0.0 for e, end in zip(estimates, ends, strict=True)]
                for ends in ([e.low for e in estimates], [e.high for e in estimates])
            ]
            ax.errorbar(centre, places + shift, xerr=reach, fmt=marker, color=colour, markersize=5, label=label)
        ax.set_yticks(places, [share.name for share in found])
        ax.invert_yaxis()
        ax.grid(axis="x")
        ax.set_xlim(left=0)
        ax.set_xlabel("share of tokens (%), 95 % interval over responses")
        ax.legend(loc="lower right")
        caption(figure, note)
    return figure
