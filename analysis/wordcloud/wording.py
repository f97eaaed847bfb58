"""The findings of the word cloud in words and as CSV."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.figures.csv_export import csv_text
from analysis.figures.style import printable
from analysis.wordcloud.counts import WordCounts, highest_rates, intervals, most_masked
from analysis.wordcloud.parts_of_speech import ClassShare

# What the paper reports of the tokens masked most often, early in training (appendix E).
CLAIM = {"adjective": "more", "adverb": "more", "symbol": "more", "connective": "less"}
# A share of fewer tokens is not informative.
MIN = 30
PLURAL = {"adjective": "adjectives", "adverb": "adverbs", "symbol": "isolated symbols", "connective": "connectives"}
VERB = {"advantage": "masked", "entropy": "filtered"}
TAKEN = {"advantage": "advantage", "entropy": "entropy bonus"}


def word_findings(counts: WordCounts, where: str) -> list[str]:
    """How much is masked, and which words most, by count and by rate."""
    verb, total = VERB[counts.gate], int(counts.seen.sum())
    low, _ = intervals(counts)
    by_count = [
        f"{quoted(counts.words[w])} ({counts.masked[w]:,} times, {counts.masked[w] / counts.seen[w]:.0%} of its uses)"
        for w in most_masked(counts, 5)
    ]
    surest = [w for w in highest_rates(counts, 5) if low[w] > counts.share]
    by_rate = [f"{quoted(counts.words[w])} ({counts.rates()[w]:.0%}, at least {low[w]:.0%})" for w in surest]
    lines = [
        f"{where}: {counts.share:.1%} of {total:,} tokens have their {TAKEN[counts.gate]} {verb}.",
        f"{verb.capitalize()} most often: {', '.join(by_count)}.",
    ]
    if by_rate:
        lines.append(f"{verb.capitalize()} most for how often they occur: {', '.join(by_rate)}.")
    else:
        lines.append(f"No word is {verb} more often than tokens are on the whole, beyond what luck may do.")
    return lines


def class_findings(counts: WordCounts, shares: Sequence[ClassShare]) -> list[str]:
    """The paper's claim, class by class, and "therefore" on its own."""
    named = {share.name: share for share in shares}
    missing = [PLURAL[name] for name in CLAIM if named[name].tokens < MIN]
    lines = [_class_line(named[name], counts) for name in CLAIM if named[name].tokens >= MIN]
    if missing:
        lines.append(f"Next to no {listed_with_or(missing)} in what was tagged: nothing to say about them.")
    if named["connective"].tokens >= MIN:
        lines.append(_therefore(counts))
    return lines


def _class_line(share: ClassShare, counts: WordCounts) -> str:
    verb, (low, high) = VERB[counts.gate], (share.difference.low, share.difference.high)
    inside, outside = share.masked.words(100, 1, " %"), share.others.words(100, 1, " %")
    if not share.difference.known:
        verdict = "too few responses to tell them apart"
    elif low <= 0 <= high:
        verdict = "no difference is resolved"
    else:
        way = "more" if low > 0 else "less"
        agreed = "as" if CLAIM[share.name] == way else "unlike what"
        paper = f", {agreed} the paper reports" if counts.gate == "advantage" else ""
        verdict = f"{verb} {way} often than other tokens{paper}"
    return f"{PLURAL[share.name].capitalize()}: {inside} of {verb} tokens, {outside} of the others: {verdict}."


def _therefore(counts: WordCounts) -> str:
    rows = [w for w, word in enumerate(counts.words) if word.lower() == "therefore"]
    seen, masked = int(counts.seen[rows].sum()), int(counts.masked[rows].sum())
    if not seen:
        return '"therefore" does not occur as a token of its own.'
    return f'"therefore" is {VERB[counts.gate]} {masked} of {seen} times ({masked / seen:.0%}).'


def quoted(word: str) -> str:
    """A word as it can be printed, in quotation marks."""
    return f"“{printable(word)}”"


def listed_with_or(words: Sequence[str]) -> str:
    """``a, b or c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def words_csv(counts: WordCounts, classes: Sequence[str]) -> str:
    """Every masked word: class, counts, rate with its interval, and its place in both rankings (from 1)."""
    low, high = intervals(counts)
    by_count = {w: place for place, w in enumerate(most_masked(counts, len(counts.words)), 1)}
    by_rate = {w: place for place, w in enumerate(highest_rates(counts, len(counts.words)), 1)}
    header = ["word", "class", "seen", "masked", "rate", "low", "high", "place_by_count", "place_by_rate"]
    rows = [
        [
            printable(counts.words[w], 80),
            classes[w],
            int(counts.seen[w]),
            int(counts.masked[w]),
            counts.rates()[w],
            low[w],
            high[w],
            place,
            by_rate[w],
        ]
        for w, place in by_count.items()
    ]
    return csv_text(header, rows)


def classes_csv(shares: Sequence[ClassShare]) -> str:
    """Every class: tokens that were tagged, shares among masked and among others with intervals, difference."""
    ends = ("", "_low", "_high")
    header = ["class", "tokens", *(f"{name}{end}" for name in ("masked", "others", "difference") for end in ends)]
    rows = []
    for share in shares:
        numbers = [(e.value, e.low, e.high) for e in (share.masked, share.others, share.difference)]
        rows.append([share.name, share.tokens, *(x for three in numbers for x in three)])
    return csv_text(header, rows)
