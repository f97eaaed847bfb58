"""The disagreement of the critics over training, along a response, and in right and wrong responses.

Legend: ``S`` steps, ``P`` probabilities, ``std`` the critics' standard deviation at a state (column ``value_std``),
in units of the reward. A response is right if its reward is at least 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.figures.csv_export import csv_text
from analysis.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    caption,
    grid,
    log_ticks,
    new_figure,
    side_by_side,
    step_axis,
    styled,
)
from analysis.stats.intervals import Interval
from analysis.tokens.resampling import Resamples, by_response, difference_of_means, grouped_quantiles
from analysis.tokens.table import TokenTable, steps_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]
COLUMNS = ("value_std", "advantage_kept", "entropy_kept", "reward", "position")
PROBABILITIES = (0.05, 0.25, 0.5, 0.75, 0.95)
QUARTILES = (0.25, 0.5, 0.75)
RIGHT = 0.5
POSITION_BINS = 16
RELATIVE_BINS = 20
# A bin with fewer tokens than this says nothing about quartiles.
MIN_TOKENS = 20


@dataclass(frozen=True)
class Training:
    """Of each step: ``quantiles`` ``[S, P]`` of std, and what the gates did.

    ``mask_threshold`` is the highest std among states whose advantage was masked, ``filter_threshold`` the lowest
    among those that lost the entropy bonus; NaN where a gate was off or did not cut at one std.
    """

    run: str
    steps: tuple[int, ...]
    quantiles: Array
    mask_threshold: Array
    filter_threshold: Array
    masked_share: Array
    filtered_share: Array


def over_training(table: TokenTable) -> Training:
    """Distribution of std and the thresholds of both gates at every step."""
    std, kept, bonus = table["value_std"], table["advantage_kept"], table["entropy_kept"]
    slices = [rows for _, rows in table.slices()]
    return Training(
        run=table.run,
        steps=table.steps,
        quantiles=np.array([np.quantile(std[rows], PROBABILITIES) for rows in slices]),
        mask_threshold=np.array([cut(std[rows], ~kept[rows]) for rows in slices]),
        filter_threshold=np.array([-cut(-std[rows], ~bonus[rows]) for rows in slices]),
        masked_share=np.array([1 - kept[rows].mean() for rows in slices]),
        filtered_share=np.array([1 - bonus[rows].mean() for rows in slices]),
    )


def cut(signal: Array, taken: Array) -> float:
    """The highest signal taken, if everything taken lies at or below all that is left; else NaN."""
    if not taken.any() or taken.all():
        return float("nan")
    highest = float(signal[taken].max())
    return highest if highest <= float(signal[~taken].min()) else float("nan")


@dataclass(frozen=True)
class Along:
    """Quartiles of std by place: ``edges`` ``[B + 1]``, ``right`` and ``wrong`` ``[B, 3]`` (NaN: too few tokens)."""

    edges: Array
    right: Array
    wrong: Array


@dataclass(frozen=True)
class Places:
    """σ by position from the start (tokens), by share of the response (percent), and by outcome."""

    run: str
    steps: tuple[int, ...]
    position: Along
    relative: Along
    right_responses: int
    wrong_responses: int
    right_mean: float
    wrong_mean: float
    wrong_minus_right: Interval


def by_place(table: TokenTable, resamples: Resamples) -> Places:
    """Where in a response, and in which responses, the critics disagree."""
    position, std = table["position"], table["value_std"]
    right = table.of_response("reward") >= RIGHT
    is_right = np.repeat(right, table.lengths)
    # The middle of the token, in whole numbers: floats would put some of them into the bin before.
    part = (RELATIVE_BINS * (2 * position + 1) // np.repeat(2 * table.lengths.astype(np.int32), table.lengths)).astype(
        np.int16
    )
    edges = _position_edges(position)
    bins = np.repeat(np.arange(len(edges) - 1, dtype=np.int16), np.diff(edges).astype(np.int64))
    total, count = by_response(table, std), table.lengths
    sums = np.stack([total * ~right, count * ~right, total * right, count * right], axis=1)
    wrong_tokens, right_tokens = max(int(sums[:, 1].sum()), 1), max(int(sums[:, 3].sum()), 1)
    return Places(
        run=table.run,
        steps=table.steps,
        position=_along(bins[position], edges, std, is_right),
        relative=_along(part, np.linspace(0, 100, RELATIVE_BINS + 1), std, is_right),
        right_responses=int(right.sum()),
        wrong_responses=int((~right).sum()),
        right_mean=float(sums[:, 2].sum()) / right_tokens,
        wrong_mean=float(sums[:, 0].sum()) / wrong_tokens,
        wrong_minus_right=resamples.estimate(sums, difference_of_means),
    )


def _position_edges(position: Array) -> Array:
    """Whole tokens, with about the same number of tokens in each bin."""
    counts = np.cumsum(np.bincount(position))
    wanted = np.arange(1, POSITION_BINS) / POSITION_BINS * counts[-1]
    inner = np.searchsorted(counts, wanted) + 1
    return np.unique(np.concatenate([[0], inner, [len(counts)]])).astype(np.float64)


def _along(place: Array, edges: Array, std: Array, is_right: Array) -> Along:
    bins = len(edges) - 1
    group = np.minimum(place, bins - 1) + np.int16(bins) * is_right
    quartiles = grouped_quantiles(std, group, 2 * bins, QUARTILES)
    quartiles[np.bincount(group, minlength=2 * bins) < MIN_TOKENS] = np.nan
    return Along(edges, right=quartiles[bins:], wrong=quartiles[:bins])


def training_csv(data: Training) -> str:
    """The numbers of :func:`draw_training`."""
    header = ["step", *(f"std_p{100 * p:.0f}" for p in PROBABILITIES)]
    header += ["mask_threshold", "filter_threshold", "masked_share", "filtered_share"]
    gates = (data.mask_threshold, data.filter_threshold, data.masked_share, data.filtered_share)
    return csv_text(header, [[s, *q, *g] for s, q, *g in zip(data.steps, data.quantiles, *gates, strict=True)])


def places_csv(data: Places) -> str:
    """The numbers of :func:`draw_places`."""
    rows = [
        [axis, outcome, along.edges[b], along.edges[b + 1], *quartiles[b]]
        for axis, along in (("position_tokens", data.position), ("position_percent", data.relative))
        for outcome, quartiles in (("right", along.right), ("wrong", along.wrong))
        for b in range(len(quartiles))
    ]
    return csv_text(["axis", "outcome", "from", "to", "std_p25", "std_p50", "std_p75"], rows)


def draw_training(data: Training) -> Figure:
    """Bands of std over training with both thresholds."""
    with styled():
        figure = new_figure(7.4, 3.4)
        ax = figure.subplots()
        steps, (q, mask, filtered) = _spread_out(data)
        dots: dict[str, Any] = {"marker": "o", "markersize": 3} if 2 < len(steps) < 30 else {}
        ax.fill_between(steps, q[:, 0], q[:, 4], color=BLUE, alpha=0.15, linewidth=0, label="5 to 95 % of states")
        ax.fill_between(steps, q[:, 1], q[:, 3], color=BLUE, alpha=0.3, linewidth=0, label="25 to 75 %")
        ax.plot(steps, q[:, 2], color=BLUE, label="median", **dots)
        for threshold, colour, dashes, name in (
            (filtered, ORANGE, (0, (5, 2)), "above: no entropy bonus"),
            (mask, GREEN, (0, (2, 1.5)), "below: advantage masked"),
        ):
            if np.isfinite(threshold).any():
                ax.plot(steps, threshold, color=colour, linestyle=dashes, label=name)
        _std_axis(ax, q)
        step_axis(ax)
        if len(data.steps) == 1:
            ax.set_xticks(data.steps)
        ax.set_title("How far the critics disagree, over training")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=5)
        caption(figure, f"{data.run}, {steps_words(data.steps)}")
    return figure


def _spread_out(data: Training) -> tuple[Array, list[Array]]:
    """Steps, quantiles and both thresholds; a single step as one of some width, or nothing of it would be seen."""
    series = [data.quantiles, data.mask_threshold, data.filter_threshold]
    if len(data.steps) > 1:
        return np.array(data.steps), series
    return data.steps[0] + np.array([-0.4, 0.4]), [np.repeat(one, 2, axis=0) for one in series]


def _std_axis(ax: Axes, values: Array) -> None:
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    # A share of the states' range says more than its end where std spans decades.
    if len(positive) and finite.min() > 0 and positive.max() / positive.min() > 30:
        ax.set_yscale("log")
        log_ticks(ax.yaxis)
    else:
        ax.set_ylim(bottom=0)
    ax.set_ylabel("disagreement σ of the critics (reward)")
    grid(ax)


def draw_places(data: Places, width: float | None = None) -> Figure:
    """Quartiles of std along the response, right and wrong responses apart."""
    with styled():
        figure, (left, right) = side_by_side(2, (7.2, 3.4), width, sharey=True)
        for ax, along, label in (
            (left, data.position, "position in the response (tokens from its start)"),
            (right, data.relative, "position in the response (% of its length)"),
        ):
            _draw_along(ax, along, data)
            ax.set_xlabel(label)
            ax.set_xlim(along.edges[0], along.edges[-1])
            grid(ax)
        _std_axis(left, np.concatenate([data.position.right, data.position.wrong, data.relative.right]))
        left.set_title("Where in a response the critics disagree")
        if left.lines:
            left.legend(loc="best")
        caption(figure, f"{data.run}, {steps_words(data.steps)}; line: median, band: 25 to 75 % of states")
    return figure


def _draw_along(ax: Axes, along: Along, data: Places) -> None:
    middles = (along.edges[:-1] + along.edges[1:]) / 2
    series = (
        (along.right, GREEN, "o", f"right ({data.right_responses:,} responses)"),
        (along.wrong, ORANGE, "s", f"wrong ({data.wrong_responses:,} responses)"),
    )
    for quartiles, colour, marker, label in series:
        if np.isfinite(quartiles).any():
            ax.fill_between(middles, quartiles[:, 0], quartiles[:, 2], color=colour, alpha=0.15, linewidth=0)
            ax.plot(middles, quartiles[:, 1], color=colour, marker=marker, markersize=3.5, label=label)


def training_finding(data: Training) -> str:
    """The change of σ over training, and the gates, in words."""
    first, last = data.quantiles[0, 2], data.quantiles[-1, 2]
    text = f"Median disagreement σ {first:.3g} at step {data.steps[0]}"
    text += f", {last:.3g} at step {data.steps[-1]}" if len(data.steps) > 1 else ""
    return f"{text}. {_gate_words('Advantage mask', data.masked_share, data.mask_threshold, 'below')} " + _gate_words(
        "Entropy filter", data.filtered_share, data.filter_threshold, "above"
    )


def _gate_words(name: str, shares: Array, threshold: Array, side: str) -> str:
    if not shares.any():
        return f"{name}: off."
    share = f"{name}: {100 * shares.mean():.1f} % of recorded states"
    known = threshold[np.isfinite(threshold)]
    if not len(known):
        return f"{share}, not cut at one σ (another signal or scope)."
    span = f"{known[0]:.2g}" if len(known) == 1 else f"{known.min():.2g} to {known.max():.2g}"
    return f"{share}, {side} σ = {span}."


def places_finding(data: Places) -> str:
    """Whether the critics disagree more in wrong responses, in words."""
    if not data.right_responses or not data.wrong_responses:
        return f"All recorded responses are {'right' if data.right_responses else 'wrong'}: no comparison by outcome."
    interval = data.wrong_minus_right
    means = f"mean σ {data.wrong_mean:.3g} in wrong and {data.right_mean:.3g} in right responses"
    difference = f"difference {interval.words(digits=3)}"
    if not interval.known:
        return f"By outcome: {means}, {difference}: cannot tell."
    if interval.holds(0.0):
        return f"By outcome: no difference is resolved ({means}, {difference})."
    return f"The critics disagree {'more' if interval.value > 0 else 'less'} in wrong responses: {means}, {difference}."
