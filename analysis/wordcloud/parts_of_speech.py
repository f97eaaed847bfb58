"""Classes of masked tokens: parts of speech in their context, symbols, digits, logical connectives.

Legend: ``N`` tokens, ``R`` responses, ``C`` classes. Words are tagged in the sentences of the decoded response, and a
token gets the class of the word it lies in. The tagger is an averaged perceptron trained on UD English-EWT (93 % of
universal tags right on its test split), whose model lies in its package: nothing is downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.stats.intervals import Interval
from analysis.tokens.resampling import Resamples, difference_of_means, ratio
from analysis.tokens.table import TokenTable
from analysis.tokens.text import FRAGMENT, SPECIAL, read_spelling
from analysis.wordcloud.counts import KEPT, Gate
from asyppo_cli.requirements import install_command

Array = NDArray[Any]
Tag = Callable[[Sequence[str]], Sequence[str]]
# Tagging is slow compared with counting: this many tokens, in whole responses, are more than any share needs.
MAX_TOKENS = 200_000
CONNECTIVES = frozenset(
    {"therefore", "thus", "hence", "so", "consequently", "accordingly", "because", "since", "as", "if", "then", "else"}
    | {"unless", "when", "whereas", "while", "although", "though", "however", "but", "yet", "and", "or", "nor"}
    | {"either", "neither", "moreover", "furthermore", "otherwise", "instead", "implies"}
)
CLASSES = (
    "adjective",
    "adverb",
    "noun",
    "verb",
    "function word",
    "connective",
    "digit",
    "symbol",
    "command",
    "space",
    "end mark",
    "other",
)
_OF_TAG = {
    "ADJ": "adjective",
    "ADV": "adverb",
    "NOUN": "noun",
    "PROPN": "noun",
    "VERB": "verb",
    "AUX": "function word",
    "DET": "function word",
    "ADP": "function word",
    "PRON": "function word",
    "PART": "function word",
    "CCONJ": "function word",
    "SCONJ": "function word",
    "NUM": "digit",
}
_WORD = re.compile(r"(?<![\\\w])[^\W\d_]+(?:['’][^\W\d_]+)*")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_STOP = re.compile(r"[.!?:;\n]")


@dataclass(frozen=True)
class ClassShare:
    """A class among masked and among other tokens, as shares of each, and the difference in percentage points / 100."""

    name: str
    tokens: int
    masked: Interval
    others: Interval
    difference: Interval


def tagger() -> Tag:
    """The part-of-speech tagger: words of a sentence to universal tags.

    Raises:
        ValueError: its package is not installed.
    """
    try:
        from denckring_en_pos import tagger as load
    except ModuleNotFoundError as error:
        raise ValueError(
            f"parts of speech need the package denckring-en-pos: {install_command('plots')}, or choose --no-classes"
        ) from error
    model = load()
    return lambda words: [label.partition("|")[0] for label in model.tag(words)]


def sample_responses(table: TokenTable, limit: int = MAX_TOKENS) -> Array:
    """Numbers of whole responses, evenly spread over the table, with about ``limit`` tokens together."""
    wanted = max(1, int(table.responses * min(1.0, limit / max(1, len(table)))))
    return np.unique(np.linspace(0, table.responses - 1, wanted).round().astype(int))


def classes_of(texts: Sequence[str], tag: Tag) -> list[str]:
    """The class of every token of one response."""
    ends = np.cumsum([len(text) for text in texts]).tolist()
    spans = _tagged_words("".join(texts), tag)
    found, place = [], 0
    for text, end in zip(texts, ends, strict=True):
        while place < len(spans) and spans[place][1] <= end - len(text):
            place += 1
        # Of several words in one token the longest piece counts.
        inside = [span for span in spans[place : place + 8] if span[0] < end]
        word = max(inside, key=lambda s: min(s[1], end) - max(s[0], end - len(text)), default=None)
        found.append(word[2] if word and not SPECIAL.fullmatch(text) else _without_word(text))
    return found


def _tagged_words(whole: str, tag: Tag) -> list[tuple[int, int, str]]:
    """Begin, end and class of every word and LaTeX command of a response, in order."""
    hidden = SPECIAL.sub(lambda mark: " " * len(mark[0]), whole)
    commands = [(m.start(), m.end(), "command") for m in _COMMAND.finditer(hidden)]
    words = list(_WORD.finditer(hidden))
    stops = [m.start() for m in _STOP.finditer(hidden)]
    numbers = np.searchsorted(stops, [m.start() for m in words]).tolist()
    tagged = []
    for _, sentence in groupby(zip(numbers, words, strict=True), key=lambda pair: pair[0]):
        matches = [match for _, match in sentence]
        tags = tag([match[0] for match in matches])
        tagged += [(m.start(), m.end(), _class_of_word(m[0], t)) for m, t in zip(matches, tags, strict=True)]
    return sorted(tagged + commands)


def _class_of_word(word: str, tag: str) -> str:
    # A single letter in mathematics is a name, whatever a tagger of news and mail takes it for.
    if len(word) == 1 and word not in "aAI":
        return "symbol"
    return "connective" if word.lower() in CONNECTIVES else _OF_TAG.get(tag, "other")


def _without_word(text: str) -> str:
    if SPECIAL.fullmatch(text):
        return "end mark"
    if not text.strip():
        return "space" if text else "other"
    if FRAGMENT in text:
        return "other"
    return "digit" if any(character.isdigit() for character in text) else "symbol"


def classify(table: TokenTable, tag: Tag, responses: Array) -> tuple[Array, Array]:
    """Rows of the table that belong to these responses, and the class of each, int8."""
    texts = read_spelling(table.texts["token"])
    spans = [range(int(table.starts[r]), int(table.starts[r + 1])) for r in responses]
    rows = np.concatenate([np.arange(span.start, span.stop) for span in spans])
    numbers = {name: number for number, name in enumerate(CLASSES)}
    named: list[int] = []
    for span in spans:
        words = [texts[code] for code in table["token"][span.start : span.stop]]
        named += [numbers[name] for name in classes_of(words, tag)]
    return rows, np.array(named, np.int8)


def class_shares(table: TokenTable, rows: Array, classes: Array, gate: Gate) -> list[ClassShare]:
    """Shares of each class among masked and among other tokens; intervals by resampling responses."""
    _, response = np.unique(table.response[rows], return_inverse=True)
    masked = ~table[KEPT[gate]][rows]
    count, groups = int(response.max()) + 1, len(CLASSES)

    def sums(chosen: Array) -> Array:
        key = response[chosen].astype(np.int64) * groups + classes[chosen]
        return np.bincount(key, minlength=count * groups).reshape(count, groups)

    inside, outside = sums(masked), sums(~masked)
    totals = [np.broadcast_to(part.sum(1, keepdims=True), part.shape) for part in (inside, outside)]
    quadruples = np.stack([inside, totals[0], outside, totals[1]], axis=-1)
    resamples = Resamples(count)
    in_masked = resamples.estimates(quadruples[..., :2], ratio)
    in_others = resamples.estimates(quadruples[..., 2:], ratio)
    change = resamples.estimates(quadruples, difference_of_means)
    tokens = (inside + outside).sum(0)
    return [ClassShare(name, int(tokens[c]), in_masked[c], in_others[c], change[c]) for c, name in enumerate(CLASSES)]


def usual_class(table: TokenTable, rows: Array, classes: Array, word_of: Array, words: Sequence[str]) -> list[str]:
    """The class that each word mostly has, by which it is coloured; of a word that was not tagged, by its signs."""
    key = word_of[table["token"][rows]].astype(np.int64) * len(CLASSES) + classes
    counts = np.bincount(key, minlength=len(words) * len(CLASSES)).reshape(len(words), len(CLASSES))
    return [
        CLASSES[int(counts[w].argmax())] if counts[w].any() else class_by_signs(word) for w, word in enumerate(words)
    ]


def class_by_signs(word: str) -> str:
    """The class of a word seen without its context."""
    if any(character.isalpha() for character in word) and not SPECIAL.fullmatch(word):
        return "command" if word.startswith("\\") else "connective" if word.lower() in CONNECTIVES else "other"
    return _without_word(word)
