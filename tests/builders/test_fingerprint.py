"""What a run began with is what it goes on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyppo_cli.builders import fingerprint as module
from asyppo_cli.builders.fingerprint import check_unchanged, file_digest, fingerprint
from asyppo_cli.config.load import load
from asyppo_cli.config.schema import Config
from asyppo_cli.engines.hf.tokenizer import load_tokenizer


@pytest.fixture
def config(tmp_path: Path, make_model: Callable[..., Any]) -> Config:
    model = tmp_path / "model"
    make_model("llama", vocab_size=320).save_pretrained(model)
    load_tokenizer("embedded:policy", None, "policy.model").save(model)
    (tmp_path / "train.jsonl").write_text('{"id": "a", "problem": "1 + 1", "answer": "2"}\n')
    (tmp_path / "held.jsonl").write_text('{"id": "b", "problem": "1 + 2", "answer": "3"}\n')
    data = [f"task.path={tmp_path / 'train.jsonl'}", f"task.heldout_path={tmp_path / 'held.jsonl'}"]
    return load(["task=jsonl", f"policy.model={model}", "critics.model=embedded:critic", *data]).config


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("train.jsonl", "task.path"),
        ("held.jsonl", "task.heldout_path"),
        ("model/tokenizer.json", "policy.model: tokenizer.json"),
        ("model/model.safetensors", "policy.model: model.safetensors"),
    ],
)
def test_a_file_that_has_changed_is_named(tmp_path: Path, config: Config, file: str, key: str) -> None:
    kept = tmp_path / "inputs.json"
    check_unchanged(kept, fingerprint(config))
    assert any(name.startswith("critics.model: ") for name in json.loads(kept.read_text()))
    check_unchanged(kept, fingerprint(config))
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content[:-2] + b"9" + content[-1:])
    with pytest.raises(ValueError, match="--resume") as caught:
        check_unchanged(kept, fingerprint(config))
    assert key in str(caught.value) and "more" not in str(caught.value)


def test_a_file_that_is_gone_or_new_is_a_change_too(tmp_path: Path) -> None:
    check_unchanged(tmp_path / "inputs.json", {"a": "1", "b": "2"})
    for found in ({"a": "1"}, {"a": "1", "b": "2", "c": "3"}):
        with pytest.raises(ValueError, match="--resume: [bc] "):
            check_unchanged(tmp_path / "inputs.json", found)


def test_of_a_large_file_size_and_ends_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE_BYTES", 10)
    monkeypatch.setattr(module, "END_BYTES", 4)
    digests = []
    for content in (b"abcd------efgh", b"abcd-----efgh", b"xbcd------efgh", b"abcd------efgx", b"abcd--+---efgh"):
        (tmp_path / "file").write_bytes(content)
        digests.append(file_digest(tmp_path / "file"))
    assert len(set(digests[:4])) == 4 and digests[4] == digests[0]
