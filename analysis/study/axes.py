"""The axes of a grid: the effect of a value averaged over the other axes, and the interaction of two values.

A value's number is the mean over all settings that have it, seed by seed, for the seeds that all of them have.
Averaging over the other axes uses more runs than a comparison of two settings.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence

from analysis.stats.effects import Effect, Seed, effects_of, minus
from analysis.study.settings import StudySetting
from asyppo_cli.keys import short_names
from asyppo_cli.runs.studies import Direction

Samples = dict[tuple[str, str], list[float]]
# More pairs of values than this cannot be corrected for in any useful way.
MAX_PAIRS = 100


def grid_axes(settings: Sequence[StudySetting]) -> dict[str, list[str]]:
    """The axes of a full grid with their values in the order met; none where the settings are a mere list."""
    keys = dict.fromkeys(key for setting in settings for key in setting.point)
    values = {key: list(dict.fromkeys(s.point.get(key, "") for s in settings)) for key in keys}
    axes = {key: found for key, found in values.items() if len(found) > 1}
    labelled = any(trial.label for setting in settings for trial in setting.trials)
    return axes if math.prod(map(len, axes.values())) == len(settings) and not labelled else {}


def averaged(settings: Sequence[StudySetting], fixed: Mapping[str, str]) -> dict[Seed, float]:
    """The mean over the settings with these values, for each seed that all of them have."""
    cells = [s.values for s in settings if all(s.point.get(key, "") == value for key, value in fixed.items())]
    seeds = [seed for seed in cells[0] if all(seed in cell for cell in cells)] if cells else []
    return {seed: statistics.fmean(cell[seed] for cell in cells) for seed in seeds}


def axis_effects(settings: Sequence[StudySetting], baseline: str | None, direction: Direction) -> list[Effect]:
    """Every value of every axis against that of the baseline, averaged over the other axes; of two axes or more.

    Then, of each pair of values, the difference of differences, 0 without interaction. Holm's correction covers both.
    """
    axes = grid_axes(settings)
    home = next((setting.point for setting in settings if setting.name == baseline), None)
    if len(axes) < 2 or home is None:
        return []
    short = short_names(list(axes))
    samples: Samples = {}
    for key, values in axes.items():
        own = averaged(settings, {key: home[key]})
        for value in values:
            if value != home[key]:
                other = averaged(settings, {key: value})
                pair = (f"{short[key]}={value}", f"{short[key]}={home[key]}")
                samples[pair] = [minus(other[seed], own[seed]) for seed in own if seed in other]
    return effects_of(samples | _interactions(settings, axes, home), direction)


def _interactions(
    settings: Sequence[StudySetting], axes: Mapping[str, Sequence[str]], home: Mapping[str, str]
) -> Samples:
    """Differences of differences for each pair of values of two axes."""
    short = short_names(list(axes))
    found: Samples = {}
    for a, b in itertools.combinations(axes, 2):
        for x, y in itertools.product(axes[a], axes[b]):
            if x != home[a] and y != home[b] and len(found) < MAX_PAIRS:
                pairs = ((x, y), (x, home[b]), (home[a], y), (home[a], home[b]))
                corners = [averaged(settings, {a: v, b: w}) for v, w in pairs]
                seeds = [seed for seed in corners[0] if all(seed in corner for corner in corners)]
                names = (f"{short[a]}={x} with {short[b]}={y}", "the sum of both alone")
                found[names] = [minus(p[0] + p[3], p[1] + p[2]) for p in ([c[s] for c in corners] for s in seeds)]
    return found
