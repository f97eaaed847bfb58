"""A warm start tries its save before it trains, and keeps models whose generation settings transformers refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from memory import Memory

from asyppo_cli.builders.warmstart import warm_start
from asyppo_cli.config.load import load_warmstart
from asyppo_cli.engines.hf.tokenizer import load_tokenizer

SHORT = ["recipe=pretrained", "steps=1", "batch_size=2", "evaluation.problems=2", "learner.threads=1"]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def model(tmp_path: Path, make_model: Callable[..., Any]) -> Path:
    folder = tmp_path / "model"
    make_model("llama", vocab_size=320, max_position_embeddings=512).save_pretrained(folder)
    load_tokenizer("embedded:policy", None, "policy.model").save(folder)
    (folder / "generation_config.json").write_text(json.dumps({"do_sample": False, "temperature": 0.6}))
    return folder


def test_odd_generation_settings_are_kept(tmp_path: Path, model: Path) -> None:
    output = tmp_path / "out"
    warm_start(load_warmstart([*SHORT, f"model={model}"]).config, output, Memory())
    assert json.loads((output / "generation_config.json").read_text())["temperature"] == 0.6
    assert (output / "model.safetensors").stat().st_size > 0 and not list(output.glob(".rehearsal-*"))


def test_a_save_that_fails_is_noticed_before_the_first_step(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import PreTrainedModel

    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("cannot be saved")

    def never(*_: Any) -> None:
        raise AssertionError("it trained first")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", fail)
    monkeypatch.setattr("asyppo_cli.builders.warmstart.train_sft", never)
    with pytest.raises(ValueError, match="cannot be saved"):
        warm_start(load_warmstart([*SHORT, f"model={model}"]).config, tmp_path / "out", Memory())
