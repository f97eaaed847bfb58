"""The answer of a study in a few sentences: never more than its intervals allow."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.stats.power import MOST_SEEDS, seeds_needed
from analysis.study.settings import Effect, Setting
from analysis.study.wording import ALPHA, change, listed, mean_words, size, span

NONE_RESOLVED = "No difference is resolved at this number of seeds."


def verdict(settings: Sequence[Setting], found: Sequence[Effect], baseline: str | None, n: int, metric: str) -> str:
    """What may be said of the objective of number ``n``, in one to four sentences."""
    done = [setting for setting in settings if setting.means[n] is not None]
    if not done:
        return "No trial is finished with a number, so nothing can be said."
    if len(settings) == 1:
        return f"Nothing to compare: {settings[0].name} alone, {mean_words(done[0].means[n], metric)}."
    if not found:
        return _incomparable(done, baseline, n, metric)
    groups = {told: [effect for effect in found if effect.told == told] for told in ("better", "worse")}
    resolved = [effect for some in groups.values() for effect in some]
    unresolved = [effect for effect in found if effect.told == "no difference"]
    lone = [effect for effect in found if effect.told == "cannot tell"]
    sentences = [_resolved(some, len(found), metric) for some in groups.values() if some]
    if unresolved:
        sentences += [_unresolved(unresolved) if resolved else NONE_RESOLVED, _possible(unresolved, metric)]
    if lone:
        sentences.append(_lone(lone))
    return " ".join(sentences)


def _incomparable(done: Sequence[Setting], baseline: str | None, n: int, metric: str) -> str:
    """Why there is no difference at all."""
    if len(done) == 1:
        return f"Only {done[0].name} has a number, {mean_words(done[0].means[n], metric)}: nothing to compare yet."
    if baseline is None:
        return "No difference can be computed: no baseline is named."
    if baseline not in {setting.name for setting in done}:
        return f"No difference can be computed: the baseline {baseline} has no number."
    return f"No difference can be computed: no other setting has a seed in common with {baseline}."


def search_verdict(settings: Sequence[Setting], baseline: str | None, n: int) -> str:
    """Of a search whose settings have one seed each, or no default that they are held against."""
    done = [setting for setting in settings if setting.means[n] is not None]
    if not done:
        return "No trial is finished with a number, so nothing can be said."
    one = all(mean.seeds == 1 for setting in done if (mean := setting.means[n]) is not None)
    text = f"{len(done)} settings were tried{', one seed each' if one else ''}"
    text += "; none is named that they are held against." if baseline is None else f", {baseline} among them."
    return text + (" Which one is really best takes more seeds." if one and len(done) > 1 else "")


def _resolved(some: Sequence[Effect], comparisons: int, metric: str) -> str:
    """Differences of one sign whose interval leaves out zero, and those of them that many comparisons make doubtful."""
    verb, first = "is" if len(some) == 1 else "are", some[0]
    named = listed([f"{effect.setting} ({change(effect.difference.mean, metric)})" for effect in some])
    weak = [effect.setting for effect in some if not effect.holm <= ALPHA]
    note = f"; with {comparisons} comparisons chance is not ruled out for {listed(weak)} (Holm)" if weak else ""
    return f"{named} {verb} {first.told} than {first.baseline}{note}."


def _unresolved(some: Sequence[Effect]) -> str:
    named = listed([effect.setting for effect in some])
    return f"{named} cannot be told from {some[0].baseline} at this number of seeds."


def _possible(some: Sequence[Effect], metric: str) -> str:
    """What the largest of the unresolved differences may be, and what it takes to see it."""
    largest = max(some, key=lambda effect: (abs(effect.difference.mean), effect.setting))
    found = largest.difference
    which = f"The largest of these {len(some)} differences" if len(some) > 1 else "The difference"
    text = f"{which}, {change(found.mean, metric)} for {largest.setting}, has a 95 % interval of "
    text += span(found.interval, metric, signs=True)
    if not largest.detectable > 0:
        return text + ": the seeds do not differ at all."
    text += f"; one of {size(largest.detectable, metric)} would have been seen in four of five cases"
    needed = seeds_needed(found.spread, found.mean)
    if found.mean and (needed is None or needed > found.seeds):
        text += f", and one as small as it is needs {f'some {needed}' if needed else f'more than {MOST_SEEDS}'} seeds"
    return text + "."


def _lone(some: Sequence[Effect]) -> str:
    named = listed([effect.setting for effect in some])
    return f"{named} against {some[0].baseline} rests on one common seed, which allows no conclusion: add seeds."


def axes_sentence(some: Sequence[Effect], metric: str) -> str:
    """What single axes do, averaged over the others, as far as it is resolved after Holm's correction."""
    sure = [effect for effect in some if effect.told in ("better", "worse") and effect.holm <= ALPHA]
    if not sure:
        return f"Averaged over the other axes, none of {len(some)} effects is resolved after Holm's correction."
    named = [f"{e.setting} is {e.told} than {e.baseline} ({change(e.difference.mean, metric)})" for e in sure]
    return (
        f"Averaged over the other axes, {listed(named)}; so much of {len(some)} effects holds after Holm's correction."
    )
