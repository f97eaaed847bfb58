"""Disagreement against gradient, state by state, split at both medians into four cells.

The appendix of the AsyPPO paper (arXiv 2510.01656) draws the states of one mini-batch in the middle of training and
says that most lie in large/large and small/small. The gradient is the column ``gradient_norm``: the norm of the
policy loss's gradient with respect to the token's logits, before the mask I^A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.figures.csv_export import csv_text
from analysis.stats.intervals import Interval
from analysis.stats.wording import strength
from analysis.tokens.resampling import Resamples, by_response_and_group
from analysis.tokens.table import TokenTable, choose_steps, load, require_disagreement, steps_words
from asyppo_cli.runs.directory import RunDirectory

Array = NDArray[Any]
COLUMNS = ("value_std", "gradient_norm")
# Bins of the density to each side: as many as its states can fill.
MIN_BINS, MAX_BINS = 24, 90
# The axis begins where this share of the states that are not zero lies below; those are counted in its first bin.
TAIL = 0.005


@dataclass(frozen=True)
class LogAxis:
    """Bins of equal width in log10 from ``low`` to ``high``; states at exactly zero have a bin of their own."""

    bins: int
    low: float
    high: float
    zero_share: float
    below_share: float

    @property
    def edges(self) -> Array:
        """The bins' edges in log10, zeros left out, ``[bins + 1]``."""
        return np.linspace(self.low, self.high, self.bins + 1)


@dataclass(frozen=True)
class Quadrant:
    """States by two quantities, x std and y gradient.

    ``shares[i, j]``: of the states, those with std small (0) or large (1) and gradient likewise; large is above the
    median of the state's step. ``concordant`` is the share in small/small and large/large, ``independent`` what it
    would be if both were independent with these margins, ``excess`` their difference, ``phi`` the correlation of the
    two splits, ``odds_ratio`` of the four cells. ``counts`` ``[bins + 1, bins + 1]``, bin 0 for zeros. Over several
    steps (``relative``) both quantities are divided by their step's median.
    """

    run: str
    steps: tuple[int, ...]
    states: int
    responses: int
    relative: bool
    medians: tuple[float, float]
    shares: Array
    concordant: Interval
    independent: float
    excess: Interval
    phi: Interval
    odds_ratio: Interval
    x: LogAxis
    y: LogAxis
    counts: Array


def quadrant(run: RunDirectory, steps: str = "middle") -> Quadrant:
    """The states of a recorded step, or of several.

    Raises:
        ValueError: fewer than two critics, no records, damaged ones, or nothing that varies.
    """
    chosen = choose_steps(run, steps)
    require_disagreement(run)
    return split_at_medians(load(run, chosen, COLUMNS))


def split_at_medians(table: TokenTable) -> Quadrant:
    """Cells, association and density of the table's states."""
    relative = len(table.steps) > 1
    std, gradient = (table[name].copy() if relative else table[name] for name in COLUMNS)
    cell = np.empty(len(table), np.int8)
    medians = (math.nan, math.nan)
    for step, rows in table.slices():
        medians = float(np.median(std[rows])), float(np.median(gradient[rows]))
        cell[rows] = 2 * (std[rows] > medians[0]) + (gradient[rows] > medians[1])
        if relative:
            _require_positive(table.run, step, medians)
            std[rows] /= medians[0]
            gradient[rows] /= medians[1]
    cells = by_response_and_group(table, cell, 4)
    shares = cells.sum(0).reshape(2, 2) / len(table)
    resamples = Resamples(table.responses)
    estimates = resamples.estimates(np.repeat(cells[:, None], 4, axis=1), _association)
    x_axis, x = _binned(std)
    y_axis, y = _binned(gradient)
    width = x_axis.bins + 1
    counts = np.bincount(x * np.int32(width) + y, minlength=width**2)
    return Quadrant(
        run=table.run,
        steps=table.steps,
        states=len(table),
        responses=table.responses,
        relative=relative,
        medians=(1.0, 1.0) if relative else medians,
        shares=shares,
        concordant=estimates[0],
        independent=float(_independent(shares.ravel())),
        excess=estimates[1],
        phi=estimates[2],
        odds_ratio=estimates[3],
        x=x_axis,
        y=y_axis,
        counts=counts.reshape(width, width),
    )


def _require_positive(run: str, step: int, medians: tuple[float, float]) -> None:
    for name, median in zip(("value_std", "gradient_norm"), medians, strict=True):
        if median == 0.0:
            raise ValueError(f"the median {name} of step {step} of run {run} is 0: choose one step with --steps")


def _association(cells: Array) -> Array:
    """Concordant share, its excess over independence, phi and odds ratio; ``cells`` ``[..., 4, 4]``, 4 times alike."""
    small, low_std, high_std, large = np.moveaxis(cells[..., 0, :], -1, 0)
    total = small + low_std + high_std + large
    concordant = (small + large) / total
    margins = (small + low_std) * (high_std + large) * (small + high_std) * (low_std + large)
    products = small * large, low_std * high_std
    phi = (products[0] - products[1]) / np.sqrt(margins)
    excess = concordant - _independent(cells[..., 0, :])
    return np.stack([concordant, excess, phi, products[0] / products[1]], axis=-1)


def _independent(cells: Array) -> Array:
    """The concordant share that independence gives with the margins of ``[..., 4]`` cells."""
    total = cells.sum(-1)
    large_x = (cells[..., 2] + cells[..., 3]) / total
    large_y = (cells[..., 1] + cells[..., 3]) / total
    return np.asarray(large_x * large_y + (1 - large_x) * (1 - large_y))


def _binned(values: Array) -> tuple[LogAxis, Array]:
    """The axis of a quantity, and each state's bin on it: 0 for zeros, then 1 to ``bins``."""
    count = int(np.clip(math.sqrt(len(values)) / 2, MIN_BINS, MAX_BINS))
    positive = values[values > 0]
    if not len(positive):
        return LogAxis(count, -1.0, 0.0, 1.0, 0.0), np.zeros(len(values), np.int32)
    low, high = np.log10([np.quantile(positive, TAIL), positive.max()])
    low = min(low, high - 0.1)
    axis = LogAxis(
        bins=count,
        low=float(low),
        high=float(high),
        zero_share=1 - len(positive) / len(values),
        below_share=float(np.count_nonzero(positive < 10**low) / len(values)),
    )
    with np.errstate(divide="ignore"):
        place = np.log10(values)
    place -= np.float32(low)
    place *= np.float32(count / (high - low))
    bins = np.clip(place, 0, count - 1).astype(np.int32) + 1
    bins[values == 0] = 0
    return axis, bins


def cells_csv(data: Quadrant) -> str:
    """The four cells and the association."""
    words = ("small", "large")
    rows: list[list[Any]] = [
        [f"{words[i]} std, {words[j]} gradient", data.shares[i, j], None, None] for i in (0, 1) for j in (0, 1)
    ]
    named = {"concordant": data.concordant, "excess": data.excess, "phi": data.phi, "odds_ratio": data.odds_ratio}
    rows += [[name, at.value, at.low, at.high] for name, at in named.items()]
    rows += [["concordant_if_independent", data.independent, None, None]]
    rows += [["median_std", data.medians[0], None, None], ["median_gradient", data.medians[1], None, None]]
    rows += [["zero_std", data.x.zero_share, None, None], ["zero_gradient", data.y.zero_share, None, None]]
    rows += [["states", data.states, None, None], ["responses", data.responses, None, None]]
    return csv_text(["what", "number", "low", "high"], rows)


def quadrant_density_csv(data: Quadrant) -> str:
    """Counts of states by bin, filled bins only; a bin from 0 to 0 holds the zeros."""
    x, y = (np.concatenate([[0.0], 10**axis.edges]) for axis in (data.x, data.y))

    def ends(edges: Array, number: int) -> list[float]:
        return [0.0, 0.0] if number == 0 else [float(edges[number]), float(edges[number + 1])]

    filled = zip(*np.nonzero(data.counts), strict=True)
    rows = ([*ends(x, i), *ends(y, j), int(data.counts[i, j])] for i, j in filled)
    return csv_text(["std_from", "std_to", "gradient_from", "gradient_to", "states"], rows)


def quadrant_finding(data: Quadrant) -> list[str]:
    """The four cells, the association and the zeros, in words."""
    (ss, sl), (ls, ll) = 100 * data.shares
    lines = [
        f"{data.states:,} states of {data.responses:,} responses, {steps_words(data.steps)}, split at the medians: "
        f"σ and gradient both large {ll:.1f} %, both small {ss:.1f} %, only σ large {ls:.1f} %, "
        f"only the gradient large {sl:.1f} %.",
        f"{_verdict(data)}: {data.concordant.words(100, 1, ' %')} of the states in the two like cells, independence "
        f"gives {100 * data.independent:.1f} %; φ {data.phi.words()}, odds ratio {data.odds_ratio.words()}.",
    ]
    zeros = {"gradient": data.y.zero_share, "σ": data.x.zero_share}
    parts = [f"{100 * share:.3g} % of the states have {name} exactly 0" for name, share in zeros.items() if share]
    return [*lines, *([f"{' and '.join(parts)}."] if parts else [])]


def _verdict(data: Quadrant) -> str:
    if not data.excess.known or data.excess.holds(0.0):
        return "No association of disagreement and gradient is resolved"
    direction = "rises" if data.excess.value > 0 else "falls"
    return f"The gradient {direction} with disagreement, {strength(data.phi.value)}"
