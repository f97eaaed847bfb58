"""Sizes of models from their configurations, against models that are really there."""

from __future__ import annotations

import pytest
from transformers import AutoConfig

from asyppo_cli.builders.architecture import measured, read_architecture
from asyppo_cli.builders.learners import build_critic_learner
from asyppo_cli.builders.plan import Planned, build_plan_inputs
from asyppo_cli.config.load import load
from asyppo_cli.engines.hf.models import load_policy, parameter_count
from asyppo_cli.planning.architecture import QWEN3, QWEN3_HEAD_SIZE, QWEN3_VOCABULARY, published

BILLIONS = {"0.6B": 0.596, "1.7B": 1.721, "4B": 4.022, "8B": 8.191, "14B": 14.768}


@pytest.mark.parametrize("size", ["0.6B", "14B"], ids=["tied", "untied"])
def test_published_sizes_are_those_of_the_real_architecture(size: str) -> None:
    hidden, layers, heads, kv_heads, intermediate, tied = QWEN3[size]
    config = AutoConfig.for_model(
        "qwen3",
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=intermediate,
        tie_word_embeddings=tied,
        vocab_size=QWEN3_VOCABULARY,
        head_dim=QWEN3_HEAD_SIZE,
    )
    expected, found = measured(config), published(f"Qwen/Qwen3-{size}-Base")
    assert found is not None
    assert {**vars(found), "source": ""} == {**vars(expected), "source": ""}


@pytest.mark.parametrize("size", list(QWEN3))
def test_published_sizes_add_up_to_what_was_published(size: str) -> None:
    found = published(f"Qwen/Qwen3-{size}")
    assert found is not None and found.parameters / 1e9 == pytest.approx(BILLIONS[size], abs=5e-4)


def test_no_other_model_is_taken_for_a_published_one() -> None:
    assert published("Qwen/Qwen3-5B") is None and published("someone/Qwen3-4B") is None


def test_the_embedded_models_are_counted_to_the_weight() -> None:
    config = load(["critics.depth=0.5"]).config
    inputs = build_plan_inputs(config, Planned(None, None, None, None))
    assert inputs.policy.parameters == parameter_count(load_policy(config.policy.model, None))
    critic = build_critic_learner(config)
    assert inputs.critic is not None
    assert inputs.critic.parameters == parameter_count(critic._module)  # type: ignore[attr-defined]


def test_a_model_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="policy.model=/no/such: no such folder"):
        read_architecture("/no/such", None, "policy.model")
    with pytest.raises(ValueError, match="nobody/nothing: no such folder, nor in the hub's cache, and HF_HUB_OFFLINE"):
        read_architecture("nobody/nothing", None, "policy.model")
