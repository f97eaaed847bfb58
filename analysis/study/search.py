"""What a search found: the best points, how many beat the default, and the Pareto front of several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.study.settings import Setting
from analysis.study.wording import bare, level, listed
from asyppo_cli.runs.studies import Objective

MOST_BEST = 5


@dataclass(frozen=True)
class Found:
    """Of one objective: the best settings first, and how many of ``known`` beat the default; None without one."""

    best: tuple[Setting, ...]
    known: int
    beating: int | None
    default: str | None


def found(
    settings: Sequence[Setting], baseline: str | None, n: int, objective: Objective, most: int = MOST_BEST
) -> Found:
    """The best settings by their means, at most so many, ties in the order met."""
    sign = 1 if objective.direction == "maximize" else -1
    scores = {s.name: sign * mean.mean for s in settings if (mean := s.means[n]) is not None}
    ranked = sorted((s for s in settings if s.name in scores), key=lambda s: -scores[s.name])
    own = scores.get(baseline) if baseline is not None else None
    beating = None if own is None else sum(score > own for score in scores.values())
    return Found(tuple(ranked[:most]), len(scores), beating, baseline)


def front(settings: Sequence[Setting], objectives: Sequence[Objective]) -> list[Setting]:
    """Settings that no other one beats: as good in every objective and better in one. Sorted by the first objective.

    Sorted by the first objective, a setting of two is on the front if it is better in the second than all before it;
    of more objectives each is held against the front so far.
    """
    signs = [-1 if objective.direction == "maximize" else 1 for objective in objectives]
    costs = []
    for setting in settings:
        means = [mean.mean for mean in setting.means if mean is not None]
        if len(means) == len(signs):
            costs.append((tuple(sign * mean for sign, mean in zip(signs, means, strict=True)), setting))
    costs.sort(key=lambda pair: (pair[0], pair[1].name))
    kept: list[tuple[tuple[float, ...], Setting]] = []
    for cost, setting in costs:
        # What is beaten by one on the front comes after it. Of two objectives the last of it is the one to ask.
        rivals = kept[-1:] if len(signs) == 2 else kept
        if not any(_beats(rival, cost) for rival, _ in rivals):
            kept.append((cost, setting))
    return [setting for _, setting in kept]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def found_sentence(said: Found, n: int, metric: str) -> str | None:
    """The best setting in words, with what its choice among many does to its number; None where there is none."""
    if not said.best:
        return None
    best = said.best[0]
    mean = best.means[n]
    assert mean is not None
    text = f"The best of {said.known} settings is {best.name} with {level(mean.mean, metric)}"
    if said.beating is not None:
        others = said.known - 1
        text += f"; {said.beating} of the {others} others beat {said.default}"
    if mean.seeds == 1 and said.known > 1:
        text += "; chosen as the best of many by one seed each, its number flatters it: repeat it with other seeds"
    return text + "."


def front_sentence(kept: Sequence[Setting], objectives: Sequence[Objective]) -> str:
    """The front in words."""
    metrics = " and ".join(objective.metric for objective in objectives)
    if not kept:
        return f"No setting has a number of all of {metrics}."
    named = [f"{s.name} ({', '.join(_amounts(s, objectives))})" for s in kept]
    verb = "setting is" if len(kept) == 1 else "settings are"
    return f"{len(kept)} {verb} not beaten in {metrics} together: {listed(named)}."


def _amounts(setting: Setting, objectives: Sequence[Objective]) -> list[str]:
    return [bare(m.mean, o.metric) for m, o in zip(setting.means, objectives, strict=True) if m is not None]
