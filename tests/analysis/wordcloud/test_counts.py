"""Masked words: hand-worked counts, intervals against their definition, classes in context, and where words are put."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from analysis.tokens.table import load
from analysis.wordcloud.counts import (
    COLUMNS,
    count_masked,
    highest_rates,
    initial_steps,
    intervals,
    most_masked,
    readable,
    wilson,
)
from analysis.wordcloud.figure import place_words
from analysis.wordcloud.parts_of_speech import (
    CLASSES,
    class_by_signs,
    class_shares,
    classes_of,
    classify,
    tagger,
    usual_class,
)
from analysis.wordcloud.write import cloud_findings, word_cloud, write_cloud
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.records import write_records

NUMBERS = ("value_0", "value_1", "value_mean", "value_std", "advantage", "entropy", "logprob", "gradient_norm")


def record(run: RunDirectory, step: int, responses: Sequence[Sequence[tuple[str, int]]]) -> None:
    """Responses of (token, masked) pairs; what is masked keeps its entropy bonus, all else loses it."""
    rows = [(r, t, *pair) for r, response in enumerate(responses) for t, pair in enumerate(response)]
    masked = np.array([bool(m) for *_, m in rows])
    columns: dict[str, Any] = {name: np.zeros(len(rows)) for name in NUMBERS}
    columns |= {
        "step": np.full(len(rows), step),
        "prompt_id": [f"p{r}" for r, *_ in rows],
        "response_id": np.array([r for r, *_ in rows]),
        "position": np.array([t for _, t, *_ in rows]),
        "token_id": np.arange(len(rows)),
        "token": [word for _, _, word, _ in rows],
        "advantage_kept": ~masked,
        "entropy_kept": masked,
        "reward": np.ones(len(rows)),
    }
    write_records(run.records(step), columns)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    found = RunDirectory(tmp_path / "run")
    found.path.mkdir()
    found.config.write_text("critics: {count: 2}\n")
    record(found, 10, [[(" so", 1), (" so ", 0), ("x", 0)], [(" x", 1), ("\n", 1), ("so", 1), ("rare", 1)]])
    record(found, 20, [[("x", 0), ("x", 0), (" so ", 0)]])
    return found


def counted(run: RunDirectory, steps: Sequence[int], gate: Any = "advantage") -> dict[str, tuple[int, int]]:
    counts = count_masked(load(run, steps, COLUMNS), gate)
    pairs = zip(counts.seen.tolist(), counts.masked.tolist(), strict=True)
    return dict(zip(counts.words, pairs, strict=True))


def test_words_are_counted(run: RunDirectory) -> None:
    assert counted(run, [10]) == {"so": (3, 2), "x": (2, 1), "\n": (1, 1), "rare": (1, 1)}
    assert counted(run, [10, 20]) == {"so": (4, 2), "x": (4, 1), "\n": (1, 1), "rare": (1, 1)}
    assert counted(run, [10], "entropy") == {"so": (3, 1), "x": (2, 1), "\n": (1, 0), "rare": (1, 0)}


def test_counts_agree_with_a_plain_count_of_many_tokens(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(30)]
    responses = [[(words[int(w)], int(m)) for w, m in rng.integers(0, (30, 2), (50, 2))] for _ in range(40)]
    run = RunDirectory(tmp_path)
    record(run, 1, responses)
    flat = [pair for response in responses for pair in response]
    expected = {word: (sum(w == word for w, _ in flat), sum(m for w, m in flat if w == word)) for word in words}
    assert counted(run, [1]) == expected


def test_words_read_as_people_read_them() -> None:
    assert [readable(text) for text in (" so", "   ", "", "\n-", "�")] == [
        "so",
        "   ",
        "(empty)",
        "\n-",
        "(part of a character)",
    ]


def test_wilsons_interval_solves_its_equation() -> None:
    hits, total, z = np.array([0, 3, 17, 50]), np.array([5, 3, 60, 100]), 2.3
    for end in wilson(hits, total, z):
        # The ends are where the observed share lies z standard errors away.
        np.testing.assert_allclose((hits / total - end) ** 2, z * z * end * (1 - end) / total, atol=1e-12)


def test_rare_words_do_not_win_by_luck(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    common = [("often", int(i % 5 < 3)) for i in range(500)]
    rare = [(f"rare{i}", int(i % 4 == 0)) for i in range(200)]
    record(run, 1, [common, rare, [("plain", int(i % 10 == 0)) for i in range(500)]])
    counts = count_masked(load(run, [1], COLUMNS))
    assert counts.words[highest_rates(counts)[0]] == "often"
    assert counts.words[most_masked(counts)[0]] == "often"
    low, high = intervals(counts)
    assert (low <= counts.rates() + 1e-12).all() and (counts.rates() <= high + 1e-12).all()
    # As wide as 202 intervals must be to hold together.
    z = NormalDist().inv_cdf(1 - 0.025 / 202)
    assert math.isclose(low[0], wilson(np.array([300]), np.array([500]), z)[0][0])


def test_the_initial_stage_is_the_first_fifth() -> None:
    assert initial_steps([5]) == [5]
    assert initial_steps(range(5, 85, 5)) == [5, 10, 15, 20]
    assert initial_steps(range(10)) == [0, 1]


def tag(words: Sequence[str]) -> list[str]:
    known = {"quickly": "ADV", "small": "ADJ", "therefore": "ADV", "sum": "NOUN", "is": "AUX", "the": "DET"}
    return [known.get(word.lower(), "X") for word in words]


def test_tokens_get_the_class_of_the_word_they_lie_in() -> None:
    texts = ["The", " rmall"[:2], "um", " qu", "ickly", ":", " \\", "frac", "{", "1", "2", "}", "\n", "Therefore", " x"]
    texts[1] = " s"
    found = classes_of([*texts, " = -", "�", "<|im_end|>", ""], tag)
    assert found == [
        *["function word", "noun", "noun", "adverb", "adverb", "symbol", "command", "command", "symbol"],
        *["digit", "digit", "symbol", "space", "connective", "symbol", "symbol", "other", "end mark", "other"],
    ]


def test_words_of_one_sentence_are_tagged_together() -> None:
    sentences = []

    def listen(words: Sequence[str]) -> list[str]:
        sentences.append(list(words))
        return ["X"] * len(words)

    classes_of(["A sum is", " small. The", " end\nSo<|im_end|>", " it's"], listen)
    assert sentences == [["A", "sum", "is", "small"], ["The", "end"], ["So", "it's"]]


def test_the_tagger_knows_english_without_a_network() -> None:
    words = ["Therefore", "the", "small", "number", "quickly", "becomes", "larger"]
    assert list(tagger()(words)) == ["ADV", "DET", "ADJ", "NOUN", "ADV", "VERB", "ADJ"]


def test_shares_of_classes_are_those_counted(run: RunDirectory) -> None:
    table = load(run, [10], COLUMNS)
    rows, classes = classify(table, tag, np.array([0, 1]))
    named = [CLASSES[c] for c in classes]
    # What two tokens spell together is one word: "so" and "rare" are no connective and no adjective here.
    assert named == ["connective", "connective", "symbol", "symbol", "space", "other", "other"]
    shares = {share.name: share for share in class_shares(table, rows, classes, "advantage")}
    assert shares["connective"].masked.value == pytest.approx(1 / 5)
    assert shares["connective"].others.value == 1 / 2
    assert shares["symbol"].difference.value == pytest.approx(1 / 5 - 1 / 2)
    assert not shares["symbol"].masked.known
    counts = count_masked(table)
    usual = usual_class(table, rows, classes, counts.word_of, counts.words)
    assert dict(zip(counts.words, usual, strict=True))["x"] == "symbol"


def test_intervals_are_over_responses(tmp_path: Path) -> None:
    # Responses of one class each: many tokens, and yet few independent things.
    run = RunDirectory(tmp_path)
    record(run, 1, [[("1" if r % 2 else "+", 1)] * 50 for r in range(20)])
    table = load(run, [1], COLUMNS)
    rows, classes = classify(table, tag, np.arange(20))
    digit = next(share for share in class_shares(table, rows, classes, "advantage") if share.name == "digit")
    assert digit.masked.value == 0.5
    # The standard error of a share of 20 responses is 0.11, of 1,000 tokens 0.016.
    assert 0.35 < digit.masked.high - digit.masked.low < 0.5


def test_a_word_without_context_has_the_class_of_its_signs() -> None:
    words = ["so", "word", "\\boxed{", "12", "+", "\n", "<|im_end|>"]
    classes = ["connective", "other", "command", "digit", "symbol", "space", "end mark"]
    assert [class_by_signs(word) for word in words] == classes


def test_no_word_lies_on_another() -> None:
    extents = np.random.default_rng(1).uniform(0.2, (3.0, 1.0), (40, 2))
    places = place_words(extents, 0.8)
    assert (places[0] == 0).all()
    for i in range(40):
        for j in range(i):
            assert (np.abs(places[i] - places[j]) >= (extents[i] + extents[j]) / 2 - 1e-12).any()
    np.testing.assert_array_equal(places, place_words(extents, 0.8))


def test_findings_and_figures(run: RunDirectory, tmp_path: Path) -> None:
    record(run, 30, [[(" small", r % 3 > 0), (" so", r % 4 == 0), ("+", r % 5 > 0)] for r in range(240)])
    data = word_cloud(run, "30")
    lines = cloud_findings(data)
    assert lines[0] == "Step 30: 57.2% of 720 tokens have their advantage masked."
    assert "“+” (192 times, 80% of its uses), “small” (160 times, 67% of its uses)" in lines[1]
    assert "“+” (80%, at least 73%)" in lines[2]
    assert "Adjectives: 38.8 % (95 % interval" in lines[3] and "as the paper reports" in lines[3]
    assert "Next to no adverbs in what was tagged: nothing to say about them." in lines
    assert lines[-1] == '"therefore" does not occur as a token of its own.'
    paths = write_cloud(data, tmp_path, ["svg"])
    assert [path.name for path in paths] == [
        "wordcloud-advantage.svg",
        "wordcloud-advantage.csv",
        "wordcloud-advantage-classes.svg",
        "wordcloud-advantage-classes.csv",
    ]
    rows = paths[1].read_text().splitlines()
    assert rows[0] == "word,class,seen,masked,rate,low,high,place_by_count,place_by_rate"
    assert rows[1].startswith("+,symbol,240,192,0.8,")
    again = write_cloud(word_cloud(run, "30"), tmp_path / "again", ["svg"])
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


def test_hostile_tokens_are_drawn(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    hostile = ["$x$", "\x00", "\u202e", "שלום", "漢字", "\udce9", "<svg/onload=1>", "&", "a" * 500, "😀", "", "   "]
    record(run, 1, [[(word, 1) for word in hostile]])
    paths = write_cloud(word_cloud(run, "1", tagging=False), tmp_path, ["svg", "png"])
    assert "<svg/onload" not in paths[0].read_text(encoding="utf-8")


def test_too_little_for_classes_is_said(run: RunDirectory, tmp_path: Path) -> None:
    data = word_cloud(run, "10")
    assert cloud_findings(data)[-1].startswith(
        "Next to no adjectives, adverbs, isolated symbols or connectives in what was"
    )
    assert [path.name for path in write_cloud(data, tmp_path, ["svg"])] == [
        "wordcloud-advantage.svg",
        "wordcloud-advantage.csv",
    ]


def test_nothing_masked_is_said(run: RunDirectory) -> None:
    record(run, 30, [[("a", 0)]])
    with pytest.raises(ValueError, match=r"no token of run run is masked at step 30 .*mask_pct.*other --steps"):
        word_cloud(run, "30")


def test_the_initial_stage_begins_where_something_is_masked(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "late")
    for step in range(1, 11):
        record(run, step, [[("a", int(step >= 3)), ("b", 0)]])
    assert word_cloud(run, tagging=False).steps == (3, 4)
    with pytest.raises(ValueError, match="masked at step 1 "):
        word_cloud(run, "1", tagging=False)
