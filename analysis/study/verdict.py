"""The answer of a study in a few sentences: never more than its intervals allow."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.stats.effects import Effect
from analysis.stats.power import MAX_SEEDS, seeds_needed
from analysis.stats.wording import ALPHA, change, listed, mean_words, size, span
from analysis.study.settings import MissingTrial, StudySetting

NONE_RESOLVED = "No difference is resolved at this number of seeds."
NO_NUMBER = "No trial is finished with a number, so nothing can be said."


def verdict(settings: Sequence[StudySetting], found: Sequence[Effect], baseline: str | None, metric: str) -> str:
    """The verdict on the objective, in one to four sentences."""
    done = [setting for setting in settings if setting.mean is not None]
    if not done:
        return NO_NUMBER
    if len(settings) == 1:
        return f"Nothing to compare: {settings[0].name} alone, {mean_words(done[0].mean, metric)}."
    if not found:
        return _incomparable(done, baseline, metric)
    groups = [[effect for effect in found if effect.verdict == word] for word in ("better", "worse")]
    unresolved = [effect for effect in found if effect.verdict == "no difference"]
    single = [effect for effect in found if effect.verdict == "cannot tell"]
    sentences = [_resolved(some, len(found), metric) for some in groups if some]
    if unresolved:
        sentences += [_unresolved(unresolved) if any(groups) else NONE_RESOLVED, _possible(unresolved, metric)]
    if single:
        named = listed([effect.setting for effect in single])
        sentences.append(
            f"{named} against {single[0].baseline} rests on one common seed, which allows no conclusion: add seeds."
        )
    return " ".join(sentences)


def _incomparable(done: Sequence[StudySetting], baseline: str | None, metric: str) -> str:
    """Why there is no difference at all."""
    if len(done) == 1:
        return f"Only {done[0].name} has a number, {mean_words(done[0].mean, metric)}: nothing to compare yet."
    if baseline is None:
        return "No difference can be computed: no baseline is named."
    if baseline not in {setting.name for setting in done}:
        return f"No difference can be computed: the baseline {baseline} has no number."
    return f"No difference can be computed: no other setting has a seed in common with {baseline}."


def search_verdict(settings: Sequence[StudySetting], baseline: str | None) -> str:
    """Of a search whose settings have one seed each, or no default to compare with."""
    done = [setting.mean for setting in settings if setting.mean is not None]
    if not done:
        return NO_NUMBER
    one = all(mean.seeds == 1 for mean in done)
    text = f"{len(done)} settings were tried{', one seed each' if one else ''}"
    text += "; no baseline is named to compare them with." if baseline is None else f", {baseline} among them."
    return text + (" Which one is really best takes more seeds." if one and len(done) > 1 else "")


def _resolved(some: Sequence[Effect], comparisons: int, metric: str) -> str:
    """Differences of one sign whose interval leaves out zero, and those of them that many comparisons make doubtful."""
    verb, first = "is" if len(some) == 1 else "are", some[0]
    named = listed([f"{effect.setting} ({change(effect.difference.mean, metric)})" for effect in some])
    weak = [effect.setting for effect in some if not effect.holm <= ALPHA]
    note = f"; with {comparisons} comparisons chance is not ruled out for {listed(weak)} (Holm)" if weak else ""
    return f"{named} {verb} {first.verdict} than {first.baseline}{note}."


def _unresolved(some: Sequence[Effect]) -> str:
    named = listed([effect.setting for effect in some])
    return f"{named} cannot be told from {some[0].baseline} at this number of seeds."


def _possible(some: Sequence[Effect], metric: str) -> str:
    """What the largest of the unresolved differences may be, and the seeds it takes to see it."""
    largest = max(some, key=lambda effect: (abs(effect.difference.mean), effect.setting))
    found = largest.difference
    which = f"The largest of these {len(some)} differences" if len(some) > 1 else "The difference"
    text = f"{which}, {change(found.mean, metric)} for {largest.setting}, has a 95 % interval of "
    text += span(found, metric, signs=True)
    if not largest.detectable > 0:
        return text + ": the seeds do not differ at all."
    text += f"; one of {size(largest.detectable, metric)} would have been seen in four of five cases"
    needed = seeds_needed(found.spread, found.mean)
    if found.mean and (needed is None or needed > found.seeds):
        text += f", and one as small as it is needs {f'some {needed}' if needed else f'more than {MAX_SEEDS}'} seeds"
    return text + "."


def axes_sentence(some: Sequence[Effect], metric: str) -> str:
    """The effects of single axes that are resolved after Holm's correction."""
    sure = [effect for effect in some if effect.verdict in ("better", "worse") and effect.holm <= ALPHA]
    if not sure:
        return f"Averaged over the other axes, none of {len(some)} effects is resolved after Holm's correction."
    named = [f"{e.setting} is {e.verdict} than {e.baseline} ({change(e.difference.mean, metric)})" for e in sure]
    return (
        f"Averaged over the other axes, {listed(named)}: {len(sure)} of {len(some)} effects, after Holm's correction."
    )


def missing_sentence(found: Sequence[MissingTrial], trials: int) -> str | None:
    """The trials without a number, counted by state and named; None where all have one."""
    if not found:
        return None
    parts = []
    for state in dict.fromkeys(missing.state for missing in found):
        some = [_named(missing) for missing in found if missing.state == state]
        parts.append(f"{len(some)} {state} ({listed(some)})")
    there = sum(missing.name is not None for missing in found)
    return f"{trials - there} of {trials} trials gave a number; {'; '.join(parts)}."


def _named(missing: MissingTrial) -> str:
    if missing.name is None:
        return f"{missing.setting} with seed {missing.seed}"
    return f"{missing.name}: {missing.reason}" if missing.reason else missing.name
