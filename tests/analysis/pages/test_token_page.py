"""What the token page is made of: choice of responses, its numbers, and what can reach it from strangers' text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.pages.html import json_block, number, page, policy, text
from analysis.pages.selection import choose, response_stats
from analysis.pages.token_page import token_data, token_page
from analysis.pages.token_source import probe_readings, training_readings
from analysis.tokens.text import read_spelling, spelling
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.records import RecordTexts, read_table, texts_of, write_records, write_samples

HOSTILE = ["</script><script>alert(1)</script>", "<!--", "]]>", "\u2028", "\x1b[31m", "\x00", "' onload='x", "\udce9"]
TEXTS = RecordTexts(
    {"p0": {"problem": "1 + 1 =", "answer": "2"}, "p1": {"problem": "2 + 2 =", "answer": "4"}},
    [{"verdict": "right", "extracted": "2", "truncated": False}] * 4,
)


def record(path: Path, step: int, words: Sequence[Sequence[str]], rewards: Sequence[float], **given: Any) -> None:
    """Two responses a prompt; each token's numbers are its row's; ``given`` replaces columns."""
    rows = [(r, t, word) for r, response in enumerate(words) for t, word in enumerate(response)]
    n = len(rows)
    columns: dict[str, Any] = {
        "step": np.full(n, step),
        "prompt_id": [f"p{r // 2}" for r, *_ in rows],
        "response_id": np.array([r for r, *_ in rows]),
        "position": np.array([t for _, t, _ in rows]),
        "token_id": np.arange(n),
        "token": [word for *_, word in rows],
        "advantage_kept": np.arange(n) % 3 > 0,
        "entropy_kept": np.arange(n) % 4 > 0,
        "reward": np.array([rewards[r] for r, *_ in rows]),
    }
    names = ("value_0", "value_1", "value_mean", "value_std", "advantage", "entropy", "logprob", "gradient_norm")
    columns |= {name: np.arange(n) / 10 for name in names} | given
    said = [{**TEXTS.responses[0], "verdict": "right" if reward > 0 else "wrong"} for reward in rewards]
    write_records(path, columns, replace(TEXTS, responses=said))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    found = RunDirectory(tmp_path / "run")
    words = [["a", " b"], ["c"], ["d", "e", "f"], ["g"]]
    given = {"advantage": np.array([0.2, 0.2, -0.4, 0.8, 0.8, 0.8, -0.9])}
    given |= {"value_std": np.array([0.1, 0.1, 0.5, 0.2, 0.3, 0.4, 0.0])}
    record(found.records(10), 10, words, [1, 0, 1, 0], **given)
    return found


def test_statistics_are_means_over_a_responses_tokens(run: RunDirectory) -> None:
    stats = response_stats(read_table(run.records(10)))
    assert list(stats.ids) == [0, 1, 2, 3] and stats.prompts == ["p0", "p0", "p1", "p1"]
    np.testing.assert_allclose(stats.disagreement, [0.1, 0.5, 0.3, 0.0], atol=1e-6)
    np.testing.assert_allclose(stats.advantage, [0.2, -0.4, 0.8, -0.9], atol=1e-6)
    assert list(stats.starts) == [0, 2, 3, 6] and list(stats.stops) == [2, 3, 6, 7]


@pytest.mark.parametrize(
    ("order", "only", "prompt", "limit", "chosen"),
    [
        ("first", "all", None, 9, [0, 1, 2, 3]),
        ("best", "all", None, 2, [2, 0]),
        ("worst", "all", None, 2, [3, 1]),
        ("disputed", "all", None, 3, [1, 2, 0]),
        ("disputed", "right", None, 9, [2, 0]),
        ("worst", "wrong", "p1", 9, [3]),
    ],
)
def test_responses_are_chosen(
    run: RunDirectory, order: Any, only: Any, prompt: str | None, limit: int, chosen: list[int]
) -> None:
    assert choose(response_stats(read_table(run.records(10))), order, only, prompt, limit) == chosen


def test_the_page_has_every_number_of_the_records(run: RunDirectory) -> None:
    readings = training_readings(run, None, None, "disputed", "all", 2)
    data = token_data("name", readings, 10, "what")
    first, second = data["responses"]
    assert [first["number"], second["number"]] == [1, 2]
    assert [data["texts"][i] for i in second["token"]] == ["d", "e", "f"]
    assert second["id"] == [3, 4, 5] and second["value_std"] == [0.2, 0.3, 0.4]
    assert second["masked"] == [1, 0, 0] and second["filtered"] == [0, 1, 0]
    assert second["value_1"] == [0.3, 0.4, 0.5] and second["verdict"] == "right" and second["extracted"] == "2"
    assert data["prompts"]["p1"] == {"problem": "2 + 2 =", "answer": "4"}
    scales = {scale["key"]: (scale["low"], scale["high"]) for scale in data["scales"]}
    assert scales["value_mean"] == (0.0, 1.0)
    assert scales["advantage"][0] == -scales["advantage"][1]


def test_a_prompt_is_followed_through_the_steps_that_drew_it(run: RunDirectory) -> None:
    record(run.records(20), 20, [["x"], ["y"]], [0, 0])
    assert [part.step for part in training_readings(run, None, "p0", "first", "all", 8)] == [10, 20]
    assert [part.step for part in training_readings(run, None, "p1", "first", "all", 8)] == [10]
    with pytest.raises(ValueError, match="is in no recorded step"):
        training_readings(run, None, "p7", "first", "all", 8)
    with pytest.raises(ValueError, match=r"step 14 of run run was not recorded; the nearest is 10"):
        training_readings(run, 14, None, "first", "all", 8)
    with pytest.raises(ValueError, match=r"has no probes: train with records\.probes"):
        probe_readings(run, None, "all", 8)


def test_records_without_texts_still_open(run: RunDirectory) -> None:
    table = read_table(run.records(10))
    assert texts_of(table).prompts["p0"]["answer"] == "2"
    bare = table.replace_schema_metadata({})
    assert texts_of(bare) == RecordTexts()
    assert texts_of(table.replace_schema_metadata({"asyppo.texts": "[1"})) == RecordTexts()
    import pyarrow.parquet as parquet

    parquet.write_table(bare, run.records(10))
    write_samples(run.samples(3), [{"prompt_id": "p0", "problem": "from a sample", "answer": "9"}])
    data = token_data("name", training_readings(run, None, None, "first", "all", 4), 10, "what")
    assert data["prompts"] == {
        "p0": {"problem": "from a sample", "answer": "9"},
        "p1": {"problem": None, "answer": None},
    }
    assert [r["verdict"] for r in data["responses"]] == ["right", "not right", "right", "not right"]


@pytest.mark.parametrize("word", HOSTILE)
def test_no_text_leaves_its_block(tmp_path: Path, word: str) -> None:
    block = json_block({"x": [word], word: 1})
    assert not set("<>&'") & set(block) and block.isascii() and "\x00" not in block
    assert json.loads(block) == {"x": [word], word: 1}
    run = RunDirectory(tmp_path)
    record(run.records(1), 1, [[word, "a"]], [1])
    content = token_page(token_data(word, training_readings(run, 1, None, "first", "all", 1), 1, word))
    content.encode("utf-8")
    assert content.count("<script") == 2 and content.count("</script") == 2 and "<!--" not in content
    title = re.search("<title>(.*?)</title>", content, re.DOTALL)
    assert title is not None and "<" not in title[1]


def test_text_is_escaped_and_cannot_steer() -> None:
    assert text('<b a="1">&\u202e\x1b') == "&lt;b a=&#34;1&#34;&gt;&amp;\\u202e\\x1b"


def test_the_policy_admits_one_script_by_its_hash() -> None:
    import base64
    import hashlib

    digest = base64.b64encode(hashlib.sha256(b"run()").digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy("p {}", "run()")
    assert "script-src" not in policy("p {}", "") and "default-src 'none'" in policy("p {}", "")
    assert "unsafe" not in page("t", "", "p {}", "run()")


def test_numbers_that_are_none_are_null() -> None:
    assert [number(x) for x in (float("nan"), float("inf"), 0.123456)] == [None, None, 0.1235]
    with pytest.raises(ValueError, match="JSON"):
        json_block(float("nan"))


def test_spellings_of_vocabularies_are_read() -> None:
    assert spelling(["Ġthe", "Ċ", "<|im_end|>"]) == "byte_level"
    assert read_spelling(["Ġthe", "ĊĊ", "Ã©", "Ã", "<|im_end|>"]) == [" the", "\n\n", "é", "�", "<|im_end|>"]
    assert read_spelling(["▁the", "<0x0A>", "<0xC3>"]) == [" the", "\n", "�"]
    # A Maltese letter in decoded text is a letter.
    assert read_spelling(["Ġan", " a", "b"]) == ["Ġan", " a", "b"]


def test_a_page_stays_small_enough_for_a_browser(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.pages.token_source.MAX_TOKENS", 4)
    (part,) = training_readings(run, None, None, "disputed", "all", 9)
    # One token, then three, then no room for two more.
    assert [int(part.stats.ids[row]) for row in part.rows] == [1, 2] and part.left_out == 2
    monkeypatch.setattr("analysis.pages.token_source.MAX_TOKENS", 2)
    (part,) = training_readings(run, None, None, "best", "all", 9)
    assert [int(part.stats.ids[row]) for row in part.rows] == [2]


def test_probes_are_thinned_to_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDirectory(tmp_path)
    for step in range(9):
        record(run.probes(step), step, [["a", "b"]], [1])
    assert len(probe_readings(run, None, "all", 8)) == 9
    monkeypatch.setattr("analysis.pages.token_source.MAX_TOKENS", 8)
    assert [part.step for part in probe_readings(run, None, "all", 8)] == [0, 3, 5, 8]
    monkeypatch.setattr("analysis.pages.token_source.MAX_TOKENS", 7)
    assert [part.step for part in probe_readings(run, None, "all", 8, step=1)] == [0, 1, 8]
