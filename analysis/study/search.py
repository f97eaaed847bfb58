"""The result of a search: the best settings, how many beat the default, and the Pareto front of several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.stats.effects import direction_sign
from analysis.stats.wording import bare, level, listed
from analysis.study.settings import StudySetting
from asyppo_cli.runs.studies import Objective

MAX_BEST = 5


@dataclass(frozen=True)
class SearchResult:
    """Of one objective: the best settings first, and how many of ``known`` beat the default; None without a default."""

    best: tuple[StudySetting, ...]
    known: int
    beating: int | None
    default: str | None


def search_result(
    settings: Sequence[StudySetting], baseline: str | None, objective: Objective, limit: int = MAX_BEST
) -> SearchResult:
    """At most ``limit`` settings by their means, ties in the order met."""
    sign = direction_sign(objective.direction)
    scores = {s.name: sign * s.mean.mean for s in settings if s.mean is not None}
    ranked = sorted((s for s in settings if s.name in scores), key=lambda s: -scores[s.name])
    own = scores.get(baseline) if baseline is not None else None
    beating = None if own is None else sum(score > own for score in scores.values())
    return SearchResult(tuple(ranked[:limit]), len(scores), beating, baseline)


def search_sentence(result: SearchResult, metric: str) -> str | None:
    """The best setting in words, with the bias of its choice among many; None where there is none."""
    if not result.best or result.best[0].mean is None:
        return None
    best, mean = result.best[0], result.best[0].mean
    text = f"The best of {result.known} settings is {best.name} with {level(mean.mean, metric)}"
    if result.beating is not None:
        text += f"; {result.beating} of the {result.known - 1} others beat {result.default}"
    if mean.seeds == 1 and result.known > 1:
        text += "; chosen as the best of many by one seed each, its number is too good: repeat it with other seeds"
    return text + "."


@dataclass(frozen=True)
class FrontPoint:
    """A setting with its mean of every objective, in their order."""

    name: str
    means: tuple[float, ...]


def front_points(by_objective: Sequence[Sequence[StudySetting]]) -> list[FrontPoint]:
    """The settings that have a mean of every objective, in their order; each part holds all settings of one."""
    rows = ([s.mean.mean for s in row if s.mean is not None] for row in zip(*by_objective, strict=True))
    names = (setting.name for setting in by_objective[0])
    return [
        FrontPoint(name, tuple(row)) for name, row in zip(names, rows, strict=True) if len(row) == len(by_objective)
    ]


def front(points: Sequence[FrontPoint], objectives: Sequence[Objective]) -> list[FrontPoint]:
    """Points that no other one beats: as good in every objective and better in one. Sorted by the first objective.

    In that order a point of two objectives is on the front if it is better in the second than all before it; of more
    objectives each is compared with the front so far.
    """
    signs = [-direction_sign(objective.direction) for objective in objectives]
    costs = sorted(
        ((tuple(sign * mean for sign, mean in zip(signs, point.means, strict=True)), point) for point in points),
        key=lambda pair: (pair[0], pair[1].name),
    )
    kept: list[tuple[tuple[float, ...], FrontPoint]] = []
    for cost, point in costs:
        # Of two objectives only the last point of the front can beat the next one.
        rivals = kept[-1:] if len(signs) == 2 else kept
        if not any(_beats(rival, cost) for rival, _ in rivals):
            kept.append((cost, point))
    return [point for _, point in kept]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def front_sentence(kept: Sequence[FrontPoint], objectives: Sequence[Objective]) -> str:
    """The front in words."""
    metrics = " and ".join(objective.metric for objective in objectives)
    if not kept:
        return f"No setting has a number of all of {metrics}."
    amounts = [", ".join(bare(m, o.metric) for m, o in zip(p.means, objectives, strict=True)) for p in kept]
    named = [f"{point.name} ({amount})" for point, amount in zip(kept, amounts, strict=True)]
    verb = "setting is" if len(kept) == 1 else "settings are"
    return f"{len(kept)} {verb} not beaten in {metrics} together: {listed(named)}."
