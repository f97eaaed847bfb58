"""The critics compared with each other and with the outcomes: correlation, explained variance, calibration.

Legend: ``S`` steps, ``M`` critics; an estimator is a critic, or the aggregate that the advantage was computed from. The
outcome of a state is the reward of its response, which is its return at gamma = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.figures.csv_export import csv_text
from analysis.figures.style import (
    INK,
    MUTED,
    caption,
    density_colours,
    grid,
    log_ticks,
    series_style,
    side_by_side,
    step_axis,
    styled,
)
from analysis.stats.intervals import Interval
from analysis.tokens.resampling import Resamples, by_response, by_response_and_group, ratio
from analysis.tokens.table import TokenTable, steps_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]
COLUMNS = ("values", "value_mean", "reward")
VALUE_BINS = 10
DENSITY_BINS = 60
OUTSIDE = 0.002
# The share of the steps, from the end, that calibration is measured on: critics that have learned.
LATE = 0.25


@dataclass(frozen=True)
class Reliability:
    """One estimator's states in bins of equal count: mean value, mean outcome of each; and how well it predicts.

    ``error`` is the expected calibration error: the mean over states of the distance between the two of their bin.
    """

    name: str
    value: Array
    outcome: tuple[Interval, ...]
    error: float
    bias: Interval
    explained: Interval


@dataclass(frozen=True)
class Agreement:
    """``correlation`` ``[S]`` mean over pairs of critics, ``explained`` ``[S, M + 1]``, the aggregate last; NaN: none.

    ``density`` counts states of the ``late`` steps by the values of critics 0 and 1, between ``edges``.
    """

    run: str
    steps: tuple[int, ...]
    late: tuple[int, ...]
    names: tuple[str, ...]
    correlation: Array
    explained: Array
    reliability: tuple[Reliability, ...]
    density: Array
    edges: Array


def agreement(table: TokenTable) -> Agreement:
    """How the critics agree with each other and with the outcomes."""
    names = (*(f"critic {m}" for m in range(table.critics)), "together")
    columns = (*(f"value_{m}" for m in range(table.critics)), "value_mean")
    reward = table["reward"]
    slices = [rows for _, rows in table.slices()]
    late = table.part(table.steps[-max(1, round(LATE * len(table.steps))) :])
    resamples = Resamples(late.responses)
    density, edges = _density(late["value_0"], late["value_1"])
    return Agreement(
        run=table.run,
        steps=table.steps,
        late=late.steps,
        names=names,
        correlation=np.array([_mean_correlation([v[rows] for v in table.values()]) for rows in slices]),
        explained=np.array([[_explained(table[c][rows], reward[rows]) for c in columns] for rows in slices]),
        reliability=tuple(reliability(late, late[c], n, resamples) for c, n in zip(columns, names, strict=True)),
        density=density,
        edges=edges,
    )


def _mean_correlation(values: list[Array]) -> float:
    """Pearson's correlation of the critics' values, mean over pairs; NaN if a critic says the same everywhere."""
    if any(np.ptp(value) == 0 for value in values):
        return float("nan")
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in combinations(values, 2)]))


def _explained(value: Array, outcome: Array) -> float:
    """``1 - Var(R - V) / Var(R)``; NaN if all outcomes are the same."""
    spread = float(outcome.var(dtype=np.float64))
    return 1.0 - float((outcome - value).var(dtype=np.float64)) / spread if spread > 0 else float("nan")


def reliability(table: TokenTable, value: Array, name: str, resamples: Resamples) -> Reliability:
    """An estimator's values against the outcomes, in bins of equal count."""
    edges = np.unique(np.quantile(value, np.arange(1, VALUE_BINS) / VALUE_BINS))
    group = np.searchsorted(edges, value, side="right")
    bins, reward = len(edges) + 1, table["reward"]
    counts = by_response_and_group(table, group, bins)
    won = counts * table.of_response("reward")[:, None]
    filled = counts.sum(0) > 0
    predicted = np.bincount(group, weights=value, minlength=bins)[filled] / counts.sum(0)[filled]
    outcome = resamples.estimates(np.stack([won, counts], axis=2)[:, filled], ratio)
    gaps = np.abs(predicted - [estimate.value for estimate in outcome])
    above = value - reward
    sums = [table.lengths, *(by_response(table, x) for x in (reward, reward * reward, above, above * above))]
    return Reliability(
        name=name,
        value=predicted,
        outcome=tuple(outcome),
        error=float((gaps * counts.sum(0)[filled]).sum() / counts.sum()),
        bias=resamples.estimate(np.stack([sums[3], sums[0]], axis=1), ratio),
        explained=resamples.estimate(np.stack(sums, axis=1), _explained_by_sums),
    )


def _explained_by_sums(sums: Array) -> Array:
    """Explained variance from n and the sums of R, RR, V - R and its square."""
    n, r, rr, e, ee = np.moveaxis(sums, -1, 0)
    return np.asarray(1.0 - (ee / n - (e / n) ** 2) / (rr / n - (r / n) ** 2))


def _density(first: Array, second: Array) -> tuple[Array, Array]:
    # A few wild states would make a dot of all others: they are counted in the outermost bins.
    ends = [np.quantile(x, (OUTSIDE, 1 - OUTSIDE)) for x in (first, second)]
    low, high = float(min(ends[0][0], ends[1][0])), float(max(ends[0][1], ends[1][1]))
    # Critics that all say the same still need bins of some width.
    edges = np.linspace(low, max(high, low + 1e-6), DENSITY_BINS + 1)
    width = (edges[-1] - edges[0]) / DENSITY_BINS
    places = [np.clip(((x - edges[0]) / width).astype(np.int64), 0, DENSITY_BINS - 1) for x in (first, second)]
    counts = np.bincount(places[0] * DENSITY_BINS + places[1], minlength=DENSITY_BINS**2)
    return counts.reshape(DENSITY_BINS, DENSITY_BINS), edges


def agreement_csv(data: Agreement) -> str:
    """Twin of the two right panels of :func:`draw_agreement`: what, by step or bin."""
    rows: list[list[Any]] = []
    for step, correlation, explained in zip(data.steps, data.correlation, data.explained, strict=True):
        rows.append(["correlation", "critics", step, correlation, None, None])
        rows += [["explained variance", n, step, e, None, None] for n, e in zip(data.names, explained, strict=True)]
    for part in data.reliability:
        pairs = zip(part.value, part.outcome, strict=True)
        rows += [["outcome by value", part.name, value, at.value, at.low, at.high] for value, at in pairs]
    return csv_text(["what", "of", "step_or_value", "number", "low", "high"], rows)


def agreement_density_csv(data: Agreement) -> str:
    """Twin of the left panel: counts of states by the two critics' values, filled cells only."""
    middles = (data.edges[:-1] + data.edges[1:]) / 2
    rows = ([middles[i], middles[j], int(data.density[i, j])] for i, j in zip(*np.nonzero(data.density), strict=True))
    return csv_text(["value_0", "value_1", "states"], rows)


def draw_agreement(data: Agreement, width: float | None = None) -> Figure:
    """Three panels: one critic's value against another's, agreement by step, value against outcome."""
    with styled():
        figure, (left, middle, right) = side_by_side(3, (10.4, 3.9), width)
        _draw_density(left, data)
        _draw_steps(middle, data)
        _draw_reliability(right, data)
        figure.legend(*middle.get_legend_handles_labels(), loc="outside upper right", ncols=len(data.names) + 1)
        caption(figure, f"{data.run}, {steps_words(data.steps)}; left and right: {steps_words(data.late)}")
    return figure


def _draw_density(ax: Axes, data: Agreement) -> None:
    from matplotlib.colors import LogNorm

    counts = np.where(data.density.T > 0, data.density.T, np.nan)
    mesh = ax.pcolormesh(data.edges, data.edges, counts, norm=LogNorm(vmin=1), cmap=density_colours(), rasterized=True)
    ax.axline((data.edges[0], data.edges[0]), slope=1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 2)))
    ax.set_aspect("equal")
    ax.set_xlabel("value of critic 0 (reward)")
    ax.set_ylabel("value of critic 1 (reward)")
    ax.set_title("Do the critics say the same?")
    bar = ax.figure.colorbar(mesh, ax=ax, shrink=0.75, pad=0.02)
    bar.set_label("states", fontsize=8)
    log_ticks(bar.ax.yaxis)
    bar.outline.set_visible(False)


def _draw_steps(ax: Axes, data: Agreement) -> None:
    shared: dict[str, Any] = {"markersize": 3.5, "markeredgewidth": 0}
    many = len(data.steps) > 40
    for m, name in enumerate(data.names):
        colour, marker = series_style(m) if m < len(data.names) - 1 else (INK, "X")
        ax.plot(
            data.steps, data.explained[:, m], color=colour, marker="" if many else marker,
            label=name, **shared,
        )  # fmt: skip
    ax.plot(
        data.steps,
        data.correlation,
        color=MUTED,
        linestyle=(0, (4, 2)),
        marker="" if many else ".",
        label="correlation of the critics",
    )
    ax.axhline(0, color=MUTED, linewidth=0.8)
    # A critic before its first lessons can be wrong without bound; what matters lies between nothing and all.
    ax.set_ylim(max(-1.0, min(-0.05, float(np.nanmin(data.explained, initial=0.0)) - 0.05)), 1.02)
    step_axis(ax)
    ax.set_ylabel("explained variance, correlation")
    ax.set_title("What do they know of the outcome?")
    grid(ax)


def _draw_reliability(ax: Axes, data: Agreement) -> None:
    values = np.concatenate([part.value for part in data.reliability])
    ax.axline((0.5, 0.5), slope=1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 2)))
    for m, part in enumerate(data.reliability):
        colour, marker = series_style(m) if m < len(data.names) - 1 else (INK, "X")
        outcome = np.array([[at.value, at.low, at.high] for at in part.outcome])
        known = np.isfinite(outcome[:, 1])
        ax.vlines(part.value[known], outcome[known, 1], outcome[known, 2], color=colour, linewidth=0.8, alpha=0.7)
        ax.plot(part.value, outcome[:, 0], color=colour, marker=marker, markersize=4, linewidth=1.2)
    ax.set_xlabel("predicted value (reward)")
    ax.set_ylabel("reward realised (mean)")
    ax.set_title("Does a value mean what it says?")
    ax.set_xlim(values.min() - 0.04, values.max() + 0.04)
    ax.set_ylim(0, 1.02)
    grid(ax, "both")


def agreement_finding(data: Agreement) -> str:
    """Correlation, explained variance and calibration in words."""
    known = data.correlation[np.isfinite(data.correlation)]
    text = "The critics' values do not vary: no correlation."
    if len(known):
        text = (
            f"The critics' values correlate at {known[-1]:.2f} at the last step (mean over steps {known.mean():.2f})."
        )
    parts = [f"{part.name} {part.explained.words()}" for part in data.reliability]
    if not np.isfinite(data.reliability[-1].explained.value):
        return f"{text} All outcomes of {steps_words(data.late)} are the same: nothing to explain."
    text += f" Explained variance of the outcome, {steps_words(data.late)}: {', '.join(parts)}."
    together = data.reliability[-1]
    bias = together.bias
    high = "high" if bias.value > 0 else "low"
    side = f"too {high} on average" if bias.known and not bias.holds(0.0) else "no bias is resolved"
    return (
        f"{text} Together they are off by {together.error:.3f} on average over tenths, {side}: {bias.words(digits=3)}."
    )
