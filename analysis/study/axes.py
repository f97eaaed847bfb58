"""The axes of a grid by themselves: what a value does on average over the other axes, and what two do together.

A value's number is the mean over all settings that have it, seed by seed, of the seeds that all of them have. With the
other axes averaged over, a grid tells more of an axis than any two of its settings do.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence

from analysis.stats.power import holm
from analysis.stats.seed_bootstrap import seed_means
from analysis.study.settings import Effect, Seed, Setting, minus, told
from asyppo_cli.keys import short_names
from asyppo_cli.runs.studies import Direction

# Beyond it the pairs of values are too many to say anything of.
MOST_PAIRS = 100


def grid_axes(settings: Sequence[Setting]) -> dict[str, list[str]]:
    """The axes of a full grid with their values in the order met; none where the settings are a mere list."""
    keys = dict.fromkeys(key for setting in settings for key in setting.point)
    values = {key: list(dict.fromkeys(s.point.get(key, "") for s in settings)) for key in keys}
    axes = {key: found for key, found in values.items() if len(found) > 1}
    size = 1
    for found in axes.values():
        size *= len(found)
    labelled = any(trial.label for setting in settings for trial in setting.trials)
    return axes if size == len(settings) and not labelled else {}


def averaged(settings: Sequence[Setting], n: int, fixed: Mapping[str, str]) -> dict[Seed, float]:
    """Of the settings with these values the mean of objective ``n``, for each seed that all of them have."""
    cells = [s.values[n] for s in settings if all(s.point.get(key, "") == value for key, value in fixed.items())]
    seeds = [seed for seed in cells[0] if all(seed in cell for cell in cells)] if cells else []
    return {seed: statistics.fmean(cell[seed] for cell in cells) for seed in seeds}


def axis_effects(settings: Sequence[Setting], baseline: str | None, n: int, direction: Direction) -> list[Effect]:
    """Every value of every axis against that of the baseline, averaged over the other axes; of two axes or more.

    Then, of each pair of values, how much more the one changes where the other is changed too: 0 if they do not
    interact. Holm's correction is for all of them.
    """
    axes = grid_axes(settings)
    home = next((setting.point for setting in settings if setting.name == baseline), None)
    if len(axes) < 2 or home is None:
        return []
    short = short_names(list(axes))
    samples: dict[tuple[str, str], list[float]] = {}
    for key, values in axes.items():
        own = averaged(settings, n, {key: home[key]})
        for value in values:
            if value != home[key]:
                other = averaged(settings, n, {key: value})
                pair = (f"{short[key]}={value}", f"{short[key]}={home[key]}")
                samples[pair] = [minus(other[seed], own[seed]) for seed in own if seed in other]
    samples |= _together(settings, n, axes, home)
    return _effects({pair: gaps for pair, gaps in samples.items() if gaps}, direction)


def _together(
    settings: Sequence[Setting], n: int, axes: Mapping[str, Sequence[str]], home: Mapping[str, str]
) -> dict[tuple[str, str], list[float]]:
    """Differences of differences for each pair of values of two axes."""
    short = short_names(list(axes))
    found: dict[tuple[str, str], list[float]] = {}
    for a, b in itertools.combinations(axes, 2):
        for x, y in itertools.product(axes[a], axes[b]):
            if x != home[a] and y != home[b] and len(found) < MOST_PAIRS:
                corners = [averaged(settings, n, {a: v, b: w}) for v, w in ((x, y), (x, home[b]), (home[a], y))]
                corners.append(averaged(settings, n, {a: home[a], b: home[b]}))
                seeds = [seed for seed in corners[0] if all(seed in corner for corner in corners)]
                pair = (f"{short[a]}={x} with {short[b]}={y}", "the sum of both alone")
                found[pair] = [minus(p[0] + p[3], p[1] + p[2]) for p in ([c[s] for c in corners] for s in seeds)]
    return found


def _effects(samples: Mapping[tuple[str, str], Sequence[float]], direction: Direction) -> list[Effect]:
    found = seed_means(list(samples.values()), "differences")
    adjusted = holm([difference.p for difference in found])
    rows = zip(samples, found, adjusted, strict=True)
    return [Effect(one, other, difference, p, told(difference, direction)) for (one, other), difference, p in rows]
