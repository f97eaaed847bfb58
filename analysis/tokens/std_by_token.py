"""The tokens at whose states the critics disagree most and least.

A token's state is the prefix before it. Tokens are compared by the percentile of std within its step, since std
itself shrinks over training and a token of early steps would look disputed. Of thousands of tokens some are far from
the middle by chance: only those are shown that stand out in spite of their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.figures.csv_export import csv_text
from analysis.figures.style import BLUE, MUTED, ORANGE, caption, fonts, grid, new_figure, printable, styled
from analysis.stats.intervals import Interval
from analysis.tokens.resampling import Resamples, by_response_and_group, ratio
from analysis.tokens.std_correlates import Ranks
from analysis.tokens.table import TokenTable, steps_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]
COLUMNS = ("token", "value_std", "advantage_kept")
# Tokens at each end, and how often one has to occur to be ranked.
MAX_TOKENS = 12
MIN = 30
# Percentiles are spread evenly, from -0.5 to 0.5 as they are kept here.
SPREAD = 12**-0.5
ERROR = 0.05


@dataclass(frozen=True)
class TokenStd:
    """A token: how often it occurs, its mean percentile of std (0-100, 50 = as any), mean std, and masked share."""

    text: str
    count: int
    percentile: Interval
    std: float
    masked_share: float


@dataclass(frozen=True)
class Ranking:
    """Tokens that stand out, from the highest percentile down, and from the lowest up.

    ``ranked`` of ``kinds`` occur often enough to be looked at.
    """

    run: str
    steps: tuple[int, ...]
    highest: tuple[TokenStd, ...]
    lowest: tuple[TokenStd, ...]
    ranked: int
    kinds: int


def by_token(table: TokenTable, ranks: Ranks, resamples: Resamples) -> Ranking:
    """Rank the tokens that occur at least :data:`MIN` times by how surely they lie above or below the middle.

    Surely: with an error of 5 % over all of them (Bonferroni), and with an interval over responses that leaves out 50.
    """
    code, kinds = table["token"], len(table.texts["token"])
    count = np.bincount(code, minlength=kinds)
    mean = np.bincount(code, weights=ranks.std, minlength=kinds) / np.maximum(count, 1)
    often = np.flatnonzero(count >= MIN)
    doubt = NormalDist().inv_cdf(1 - ERROR / 2 / max(len(often), 1)) * SPREAD
    margin = doubt / np.sqrt(np.minimum(count, table.responses).clip(1))
    found = [
        [t for t in _describe(table, ranks, codes, resamples) if not t.percentile.holds(50.0)]
        for codes in (_surest(sign * mean - margin, often) for sign in (1, -1))
    ]
    highest, lowest = (sorted(part, key=lambda t: t.percentile.value) for part in found)
    return Ranking(table.run, table.steps, tuple(highest[::-1]), tuple(lowest), len(often), int((count > 0).sum()))


def _surest(bound: Array, among: Array) -> Array:
    """The codes with the highest bounds above 0."""
    order = among[np.argsort(-bound[among], kind="stable")][:MAX_TOKENS]
    return order[bound[order] > 0]


def _describe(table: TokenTable, ranks: Ranks, codes: Array, resamples: Resamples) -> list[TokenStd]:
    texts = table.texts["token"]
    number = np.full(len(texts), len(codes), np.int16)
    number[codes] = np.arange(len(codes))
    group, groups = number[table["token"]], len(codes) + 1
    counts = by_response_and_group(table, group, groups)[:, :-1]
    sums = by_response_and_group(table, group, groups, 100 * (ranks.std + 0.5))[:, :-1]
    percentiles = resamples.estimates(np.stack([sums, counts], axis=2), ratio)
    total = counts.sum(0)
    std = np.bincount(group, weights=table["value_std"], minlength=groups)[:-1] / total
    masked = np.bincount(group[~table["advantage_kept"]], minlength=groups)[:-1] / total
    return [
        TokenStd(texts[code], int(total[i]), percentiles[i], float(std[i]), float(masked[i]))
        for i, code in enumerate(codes)
    ]


def tokens_csv(data: Ranking) -> str:
    """The numbers of :func:`draw_tokens`, with each token's mean std and masked share."""
    rows = [
        [end, t.text, t.count, t.percentile.value, t.percentile.low, t.percentile.high, t.std, t.masked_share]
        for end, tokens in (("highest", data.highest), ("lowest", data.lowest))
        for t in tokens
    ]
    return csv_text(["end", "token", "count", "percentile", "low", "high", "std_mean", "masked_share"], rows)


def draw_tokens(data: Ranking) -> Figure:
    """A dot with its interval for each token, the disputed above the undisputed."""
    tokens = [*data.highest, *reversed(data.lowest)]
    with styled():
        figure = new_figure(5.8, 1.2 + 0.19 * max(len(tokens), 4))
        ax = figure.subplots()
        ax.axvline(50, color=MUTED, linewidth=0.8, linestyle=(0, (4, 2)))
        for row, token in enumerate(reversed(tokens)):
            disputed = row >= len(data.lowest)
            colour = ORANGE if disputed else BLUE
            ax.plot([token.percentile.value], [row], color=colour, marker="o" if disputed else "s", markersize=4.5)
            if token.percentile.known:
                ax.hlines(row, token.percentile.low, token.percentile.high, color=colour, linewidth=1.2)
        if not tokens:
            ax.text(50, 0, "no token stands out", ha="center", color=MUTED)
        ax.set_yticks(
            range(len(tokens)), [printable(t.text) for t in reversed(tokens)], family=["DejaVu Sans Mono", *fonts()]
        )
        right = ax.twinx()
        right.set_ylim(ax.get_ylim())
        right.set_yticks(range(len(tokens)), [f"{t.count:,}" for t in reversed(tokens)], color=MUTED)
        right.tick_params(length=0)
        right.set_ylabel("occurrences", color=MUTED)
        reach = max([15.0, *(abs(end - 50) for t in tokens for end in _ends(t.percentile))])
        ax.set_xlim(max(0.0, 48 - reach), min(100.0, 52 + reach))
        ax.set_xlabel("mean percentile of σ within its step (50 = as any)")
        ax.set_title("Tokens where the critics disagree most and least")
        grid(ax, "x")
        caption(figure, f"{data.run}, {steps_words(data.steps)}; bars: 95 % intervals over responses")
    return figure


def _ends(at: Interval) -> tuple[float, ...]:
    return (at.low, at.high) if at.known else (at.value,)


def tokens_finding(data: Ranking) -> str:
    """The ends of the ranking, in words."""
    if not data.highest and not data.lowest:
        return f"By token: none of the {data.ranked} (of {data.kinds}) that occur {MIN} times stands out."

    def some(tokens: tuple[TokenStd, ...]) -> str:
        return (
            ", ".join(f"{printable(t.text)!r} ({t.percentile.value:.0f}, {t.count:,} times)" for t in tokens[:4])
            or "none"
        )

    return (
        f"By token (mean percentile of σ, {data.ranked} of {data.kinds} kinds occur {MIN} times): "
        f"most disputed {some(data.highest)}; least {some(data.lowest)}."
    )
