"""Correlates of disagreement: the error of the value, and entropy.

Legend: ``N`` tokens, ``J`` shares. All ranks are within a step, so that drifts of std, error and entropy over
training are not taken for an association.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.figures.csv_export import csv_text
from analysis.figures.style import AMBER, BLUE, MUTED, ORANGE, caption, grid, side_by_side, styled
from analysis.stats.intervals import Interval
from analysis.stats.wording import strength
from analysis.tokens.resampling import (
    Resamples,
    by_response_and_group,
    pearson,
    product_sums,
    ranks_by_step,
    ratio,
)
from analysis.tokens.table import TokenTable, steps_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]
COLUMNS = ("value_std", "value_mean", "reward", "entropy", "advantage_kept")
DECILES = 10
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
# Published (method.md, section 3): at 5 % the two sets share only about 38 %.
PAPER_SHARE, PAPER_OVERLAP = 0.05, 0.38
# As the gates count: far above the rounding of a product of two doubles, far below a token.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Meaning:
    """``spearman`` of std and |value - reward| within steps; the mean of that error by tenth of std.

    ``overlap`` for each of ``shares``: how much of the lowest-std set lies in the lowest-entropy set of the same
    size; chance gives the share itself. ``masked_overlap``: likewise for the states that the run masked, whose share
    is ``masked_share``; None where it masked none.
    """

    run: str
    steps: tuple[int, ...]
    responses: int
    spearman: Interval
    error_by_decile: tuple[Interval, ...]
    overlap: tuple[Interval, ...]
    masked_share: float
    masked_overlap: Interval | None
    shares: tuple[float, ...] = SHARES

    def overlap_at(self, share: float) -> Interval:
        """The overlap at one of the shares."""
        return self.overlap[self.shares.index(share)]


@dataclass(frozen=True)
class Ranks:
    """Of each state within its step, ``[N]``: centred rank of std; places of std and entropy, from the lowest."""

    std: Array
    std_place: Array
    entropy_place: Array


def rank_states(table: TokenTable) -> Ranks:
    """The ranks that several analyses share; sorting is what takes their time."""
    std, std_place = ranks_by_step(table, table["value_std"])
    return Ranks(std, std_place, ranks_by_step(table, table["entropy"])[1])


def meaning(table: TokenTable, ranks: Ranks, resamples: Resamples) -> Meaning:
    """Disagreement against value error and against entropy."""
    error = np.abs(table["value_mean"] - table["reward"])
    masked = ~table["advantage_kept"]
    return Meaning(
        run=table.run,
        steps=table.steps,
        responses=table.responses,
        spearman=resamples.estimate(product_sums(table, ranks.std, ranks_by_step(table, error)[0]), pearson),
        error_by_decile=_by_decile(table, ranks, error, resamples),
        overlap=_overlap(table, ranks, resamples),
        masked_share=float(masked.mean()),
        masked_overlap=_masked_overlap(table, ranks, masked, resamples) if masked.any() else None,
    )


def _by_decile(table: TokenTable, ranks: Ranks, error: Array, resamples: Resamples) -> tuple[Interval, ...]:
    decile = np.clip(((ranks.std + 0.5) * DECILES).astype(np.int8), 0, DECILES - 1)
    counts = by_response_and_group(table, decile, DECILES)
    sums = by_response_and_group(table, decile, DECILES, error)
    return tuple(resamples.estimates(np.stack([sums, counts], axis=2), ratio))


def _overlap(table: TokenTable, ranks: Ranks, resamples: Resamples) -> tuple[Interval, ...]:
    levels = len(SHARES) + 1
    lowest, both = np.empty(len(table), np.uint8), np.empty(len(table), np.uint8)
    for _, rows in table.slices():
        places = ranks.std_place[rows], ranks.entropy_place[rows]
        size = rows.stop - rows.start
        # Where all std are the same no state is the lowest, as in the gate itself.
        varies = bool(np.ptp(ranks.std[rows]) > 0)
        of_place = _level_of_place(size) if varies else np.full(size, len(SHARES), np.uint8)
        lowest[rows] = of_place[places[0]]
        both[rows] = np.maximum(lowest[rows], of_place[places[1]])
    within = [np.cumsum(by_response_and_group(table, level, levels), axis=1)[:, :-1] for level in (both, lowest)]
    return tuple(resamples.estimates(np.stack(within, axis=2), ratio))


def _level_of_place(size: int) -> Array:
    """For every place in the order: the number of the smallest share that takes it, J for none."""
    counts = [math.floor(share * size * (1 + _ROUNDING)) for share in SHARES]
    return np.searchsorted(counts, np.arange(size), side="right").astype(np.uint8)


def _masked_overlap(table: TokenTable, ranks: Ranks, masked: Array, resamples: Resamples) -> Interval:
    both = np.empty(len(table), np.bool_)
    for _, rows in table.slices():
        both[rows] = masked[rows] & (ranks.entropy_place[rows] < np.count_nonzero(masked[rows]))
    sums = np.stack([_count(table, both), _count(table, masked)], axis=1)
    return resamples.estimate(sums, ratio)


def _count(table: TokenTable, flags: Array) -> Array:
    return np.asarray(np.add.reduceat(flags, table.starts[:-1], dtype=np.int64))


def meaning_csv(data: Meaning) -> str:
    """The numbers of :func:`draw_meaning`."""
    rows: list[list[Any]] = [
        ["mean_error_by_std_tenth", n + 1, at.value, at.low, at.high] for n, at in enumerate(data.error_by_decile)
    ]
    pairs = zip(data.shares, data.overlap, strict=True)
    rows += [["overlap_with_lowest_entropy", share, at.value, at.low, at.high] for share, at in pairs]
    if data.masked_overlap is not None:
        at = data.masked_overlap
        rows.append(["overlap_of_masked_states", data.masked_share, at.value, at.low, at.high])
    rows.append(["spearman", None, data.spearman.value, data.spearman.low, data.spearman.high])
    return csv_text(["what", "tenth_or_share", "number", "low", "high"], rows)


def draw_meaning(data: Meaning, width: float | None = None) -> Figure:
    """Two panels: value error by disagreement, and overlap with the lowest-entropy set."""
    with styled():
        figure, (left, right) = side_by_side(2, (7.6, 3.5), width)
        _draw_error(left, data)
        _draw_overlap(right, data)
        caption(
            figure, f"{data.run}, {steps_words(data.steps)}; bars: 95 % intervals over {data.responses:,} responses"
        )
    return figure


def _draw_error(ax: Axes, data: Meaning) -> None:
    tenths = np.arange(1, DECILES + 1)
    _points(ax, tenths, data.error_by_decile, 1.0, BLUE)
    ax.set_xticks(tenths)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("tenth of the states, by disagreement σ (10 = highest)")
    ax.set_ylabel("value error |V − R| (reward, mean)")
    ax.set_title(f"Does disagreement predict error? ρ = {data.spearman.value:+.2f}")
    grid(ax)


def _draw_overlap(ax: Axes, data: Meaning) -> None:
    shares = 100 * np.array(data.shares)
    _points(ax, shares, data.overlap, 100.0, BLUE, label="this run")
    chance = np.geomspace(0.9, 55, 50)
    ax.plot(chance, chance, color=MUTED, linestyle=(0, (4, 2)), linewidth=1, label="chance")
    ax.plot([100 * PAPER_SHARE], [100 * PAPER_OVERLAP], color=ORANGE, marker="D", linestyle="", label="paper (≈ 38 %)")
    if data.masked_overlap is not None:
        at = [100 * data.masked_share], [100 * data.masked_overlap.value]
        ax.plot(*at, color=AMBER, marker="*", markersize=10, linestyle="", label="as masked by the run")
    ax.set_xscale("log")
    ax.set_xticks(shares, [f"{share:g}" for share in shares])
    ax.set_xticks([], minor=True)
    ax.set_ylim(0, 100)
    ax.set_xlabel("size of both sets (% of the states)")
    ax.set_ylabel("of lowest σ, also lowest entropy (%)")
    ax.set_title("Does entropy mark the same states?")
    ax.legend(loc="upper left")
    grid(ax)


def _points(ax: Axes, x: Array, estimates: tuple[Interval, ...], scale: float, colour: str, label: str = "") -> None:
    y = scale * np.array([[at.value, at.low, at.high] for at in estimates])
    known = np.isfinite(y[:, 1])
    ax.plot(x, y[:, 0], color=colour, marker="o", markersize=4, linewidth=1.2, label=label)
    ax.vlines(np.asarray(x)[known], y[known, 1], y[known, 2], color=colour, linewidth=1.2)


def verdict(data: Meaning) -> str:
    """In one line: whether disagreement predicts value error, and whether it marks other states than entropy."""
    rho, at = data.spearman, data.overlap_at(PAPER_SHARE)
    error = f"predicts value error {strength(rho.value)}" if rho.low > 0 else "is not shown to predict value error"
    error = f"{error} (ρ {rho.value:.2f})" if math.isfinite(rho.value) else error
    overlap = f"; of its lowest 5 % of states {100 * at.value:.0f} % have the lowest entropy too (chance 5 %)"
    return f"Disagreement {error}{overlap if math.isfinite(at.value) else ''}."


def error_finding(data: Meaning) -> str:
    """Whether disagreement predicts value error, in words."""
    rho, first, last = data.spearman, data.error_by_decile[0], data.error_by_decile[-1]
    if not math.isfinite(rho.value):
        return "Disagreement or error is the same at all states: there is no association."
    numbers = f"Spearman's ρ {rho.words()} over {data.responses:,} responses, within steps"
    means = f"mean error {first.value:.3f} at the lowest tenth of σ, {last.value:.3f} at the highest"
    if not rho.known or rho.holds(0.0):
        return f"Whether disagreement predicts value error is not resolved: {numbers}; {means}."
    if rho.value < 0:
        return f"Where the critics disagree more, their value is less wrong: {numbers}; {means}."
    return f"Disagreement predicts value error {strength(rho.value)}: {numbers}; {means}."


def overlap_finding(data: Meaning) -> str:
    """The overlap of the sets of lowest σ and lowest entropy, in words."""
    at = data.overlap_at(PAPER_SHARE)
    if not math.isfinite(at.value):
        return "No step has states of different σ: there is no lowest-σ set."
    against = "more than chance" if at.value > PAPER_SHARE else "less than chance"
    against = "not distinguishable from chance" if not at.known or at.holds(PAPER_SHARE) else against
    text = (
        f"Of the 5 % of states with the lowest σ, {at.words(100, 1, ' %')} have the lowest entropy too: {against} (5 %)"
    )
    text += f"; paper: about {100 * PAPER_OVERLAP:.0f} %."
    if data.masked_overlap is None:
        return text
    masked, share = data.masked_overlap, 100 * data.masked_share
    return f"{text} Of the {share:.1f} % that the run masked, {masked.words(100, 1, ' %')} (chance {share:.1f} %)."
