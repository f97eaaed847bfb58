"""What a save needs is tried before the first step, and a save that fails keeps weights and optimizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from memory import Memory

from asyppo_cli.builders.train import train
from asyppo_cli.config.load import load
from asyppo_cli.engines.hf.tokenizer import HuggingFaceTokenizer, load_tokenizer
from asyppo_cli.engines.torch.sampler import TransformersSampler
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.training.loop import DivergenceError

TINY = [
    "max_steps=2",
    "rollout.prompts=4",
    "rollout.responses=4",
    "rollout.response_length=40",
    "task.size=50",
    "evaluation.problems=4",
    "evaluation.every=0",
    "critics.warmup_steps=0",
    "critics.mini_batches=1",
    "learner.threads=1",
    "grading.workers=1",
    "records.every=0",
    "records.samples=0",
]


@pytest.fixture(autouse=True)
def _threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def odd_model(tmp_path: Path, make_model: Callable[..., Any]) -> Path:
    """A model with sampling numbers and sampling off, as published ones have: transformers will not save such."""
    folder = tmp_path / "odd"
    make_model("llama", vocab_size=320, max_position_embeddings=256).save_pretrained(folder)
    load_tokenizer("embedded:policy", None, "policy.model").save(folder)
    (folder / "generation_config.json").write_text(
        json.dumps({"do_sample": False, "temperature": 0.6, "eos_token_id": 1})
    )
    return folder


def run_in(folder: Path) -> RunDirectory:
    folder.mkdir(parents=True)
    return RunDirectory(folder)


def test_generation_settings_that_transformers_refuses_to_save_are_saved(tmp_path: Path, odd_model: Path) -> None:
    config, run = load([*TINY, f"policy.model={odd_model}", "critic_size=0.5"]).config, run_in(tmp_path / "run")
    assert train(config, run, Memory(), Event(), resume=False).finished
    saved = json.loads((run.checkpoints / "step-000002" / "policy" / "generation_config.json").read_text())
    assert (saved["temperature"], saved["eos_token_id"]) == (0.6, 1)


def test_a_save_that_fails_is_noticed_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("a template\nthat cannot be written")

    monkeypatch.setattr(HuggingFaceTokenizer, "save", fail)
    run, memory = run_in(tmp_path / "run"), Memory()
    with pytest.raises(RuntimeError, match="a template that cannot be written"):
        train(load(TINY).config, run, memory, Event(), resume=False)
    assert memory.rows == [] and not run.metrics.read_text().strip() and list(run.checkpoints.iterdir()) == []


def test_a_sync_that_fails_is_noticed_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("weights that cannot be read back")

    monkeypatch.setattr(TransformersSampler, "load_weights", fail)
    run, memory = run_in(tmp_path / "run"), Memory()
    with pytest.raises(RuntimeError, match="cannot be read back"):
        train(load(TINY).config, run, memory, Event(), resume=False)
    assert memory.rows == [] and not run.metrics.read_text().strip()


def test_a_save_that_fails_later_keeps_what_can_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = HuggingFaceTokenizer.save, []

    def fail_later(self: Any, folder: Path) -> None:
        calls.append(folder)
        if len(calls) > 1:
            raise ValueError("gone")
        original(self, folder)

    config, run = load([*TINY, "checkpoints.every=1"]).config, run_in(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(HuggingFaceTokenizer, "save", fail_later)
        with pytest.raises(RuntimeError, match="rescued-step-000001"):
            train(config, run, Memory(), Event(), resume=False)
    assert [path.name for path in run.checkpoints.iterdir()] == ["rescued-step-000001"]
    (run.checkpoints / "rescued-step-000001").rename(run.checkpoints / "step-000001")
    memory = Memory()
    assert train(config, run, memory, Event(), resume=True).finished
    assert any("after step 1" in note for note in memory.notes)
    whole = run_in(tmp_path / "whole")
    assert train(config, whole, Memory(), Event(), resume=False).finished
    for file in ("policy/model.safetensors", "policy/optimizer.safetensors", "critic_1/optimizer.safetensors"):
        step = Path("checkpoints") / "step-000002" / file
        assert (run.path / step).read_bytes() == (whole.path / step).read_bytes()


def test_weights_are_kept_where_the_configuration_cannot_be_written(
    tmp_path: Path, make_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from asyppo_cli.engines.hf.models import PolicyModel
    from asyppo_cli.engines.torch.checkpoint_files import open_weights

    policy = PolicyModel(make_model("qwen3"), 1.0)
    monkeypatch.setattr(policy.model, "generation_config", None)
    monkeypatch.setattr(policy.model.config, "save_pretrained", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        policy.save(tmp_path)
    read = open_weights(policy, tmp_path)
    assert all(torch.equal(read[name], weight) for name, weight in policy.named_parameters())


def test_the_checkpoint_of_a_run_that_explodes_is_not_resumed_from(tmp_path: Path) -> None:
    config, run = load([*TINY, "checkpoints.every=1", "learner.policy.lr=1e30"]).config, run_in(tmp_path / "run")
    memory = Memory()
    with pytest.raises(DivergenceError, match="no good checkpoint"):
        train(config, run, memory, Event(), resume=False)
    assert any("--resume will skip" in note for note in memory.notes)
    with pytest.raises(ValueError, match="no checkpoint .* can be used"):
        train(config, run, Memory(), Event(), resume=True)


def test_a_sampler_that_leaves_the_trainer_ends_the_run_and_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asyppo_cli.training.rollouts.rollout import Rollout

    original, calls = Rollout.sampler_logprobs, []

    def wrong_from_the_fifth_step(self: Rollout) -> torch.Tensor:
        calls.append(self.version)
        return original(self) - (0.5 if self.version >= 4 else 0.0)

    monkeypatch.setattr(Rollout, "sampler_logprobs", wrong_from_the_fifth_step)
    words = [*TINY, "max_steps=6", "checkpoints.every=1"]
    run = run_in(tmp_path / "run")
    with pytest.raises(DivergenceError, match=r"^step 5: .*0\.5.*sampler\.logprob_diff_limit=0\.1.*step 4: go on"):
        train(load(words).config, run, Memory(), Event(), resume=False)
    assert calls and sorted(path.name for path in run.checkpoints.glob("step-*"))[-1] == "step-000004"
    # The numbers of the step are kept, and the bound may be lifted.
    assert json.loads(run.metrics.read_text().splitlines()[-1])["step"] == 5
    assert train(load([*words, "sampler.logprob_diff_limit=null"]).config, run, Memory(), Event(), resume=True).finished
