"""Counts of the tokens whose advantage is masked or whose entropy bonus is filtered, and the rates of each word.

Legend: ``N`` tokens, ``V`` distinct words. A word is what a token reads like: vocabularies hold ``therefore`` and
`` therefore`` as two tokens, which are one word here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.tokens.table import TokenTable
from analysis.tokens.text import FRAGMENT, read_spelling

Array = NDArray[Any]
Gate = Literal["advantage", "entropy"]
KEPT = {"advantage": "advantage_kept", "entropy": "entropy_kept"}
COLUMNS = ("prompt_id", "token", "advantage_kept", "entropy_kept")
LEVEL = 0.95
MAX_WORDS = 40


@dataclass(frozen=True)
class WordCounts:
    """``words`` V distinct words; ``seen`` and ``masked`` int64 ``[V]``; ``word_of``: the word of each token code."""

    gate: Gate
    words: tuple[str, ...]
    seen: Array
    masked: Array
    word_of: Array

    @property
    def share(self) -> float:
        """Masked share of all tokens."""
        return float(self.masked.sum() / self.seen.sum())

    def rates(self) -> Array:
        """Masked share of each word, ``[V]``."""
        return self.masked / self.seen


def count_masked(table: TokenTable, gate: Gate = "advantage") -> WordCounts:
    """Count every word, and how often the gate took it; words in the order of their first token code."""
    texts = [readable(text) for text in read_spelling(table.texts["token"])]
    numbers: dict[str, int] = {}
    word_of = np.array([numbers.setdefault(text, len(numbers)) for text in texts], np.int32)
    codes = len(texts)
    seen = np.bincount(table["token"], minlength=codes)
    masked = seen - np.bincount(table["token"][table[KEPT[gate]]], minlength=codes)

    def by_word(counts: Array) -> Array:
        return np.bincount(word_of, weights=counts, minlength=len(numbers)).astype(np.int64)

    return WordCounts(gate, tuple(numbers), by_word(seen), by_word(masked), word_of)


def readable(text: str) -> str:
    """A token without the spaces around it, as far as it has anything else; half a character says so."""
    if FRAGMENT in text:
        return "(part of a character)"
    return text.strip(" ") or text or "(empty)"


def intervals(counts: WordCounts) -> tuple[Array, Array]:
    """Wilson's interval of each word's rate, ``[V]`` both ends, wide enough to hold for all V words at once.

    Among thousands of rare words some are masked every time by luck: Bonferroni's correction of the 95 % keeps them
    from winning. Tokens of one response are not independent; the intervals do not know that. (E. B. Wilson, 1927.)
    """
    z = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / len(counts.words))
    return wilson(counts.masked, counts.seen, z)


def wilson(hits: Array, total: Array, z: float) -> tuple[Array, Array]:
    """Wilson's interval of ``hits / total`` at ``z`` standard deviations of the normal."""
    rate = hits / total
    centre = rate + z * z / (2 * total)
    half = z * np.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    width = 1 + z * z / total
    return (centre - half) / width, (centre + half) / width


def most_masked(counts: WordCounts, limit: int = MAX_WORDS) -> list[int]:
    """Numbers of the words masked most often, foremost first; of equals, the one with the higher rate, then by name."""
    order = sorted(
        np.flatnonzero(counts.masked), key=lambda w: (-counts.masked[w], counts.seen[w], counts.words[int(w)])
    )
    return [int(w) for w in order[:limit]]


def highest_rates(counts: WordCounts, limit: int = MAX_WORDS) -> list[int]:
    """Numbers of the words masked most often for how often they occur: by the lower end of their interval."""
    low, _ = intervals(counts)
    order = sorted(np.flatnonzero(counts.masked), key=lambda w: (-low[w], counts.words[int(w)]))
    return [int(w) for w in order[:limit]]


def initial_steps(recorded: Sequence[int]) -> list[int]:
    """The initial stage: the first fifth of the recorded steps, at least one."""
    return list(recorded[: max(1, math.ceil(len(recorded) / 5))])
