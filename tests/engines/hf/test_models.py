from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from asyppo_cli.engines.hf.models import PolicyModel, ValueModel, has_plain_head, load_backbone
from asyppo_cli.types import Sequences


@pytest.mark.parametrize("family", ["qwen3", "llama", "gemma2"])
def test_policy_outputs_are_those_of_the_whole_softmax(
    make_model: Callable[..., Any], batch: Sequences, family: str
) -> None:
    model = make_model(family)
    outputs = PolicyModel(model, temperature=0.7)(batch)
    for row, (prompt, length) in enumerate(
        zip(batch.prompt_lengths.tolist(), batch.response_lengths.tolist(), strict=True)
    ):
        tokens = batch.tokens[row : row + 1, : prompt + length]
        log_pi = (model(input_ids=tokens).logits[0] / 0.7).log_softmax(-1)[prompt - 1 : -1]
        pi = log_pi.exp()
        expected = log_pi.gather(-1, tokens[0, prompt:, None])[:, 0]
        torch.testing.assert_close(outputs.logprobs[row, :length], expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(outputs.entropy[row, :length], -(pi * log_pi).sum(-1), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            outputs.others_squared[row, :length], (pi * pi).sum(-1) - expected.exp() ** 2, atol=1e-4, rtol=1e-4
        )
        assert not outputs.logprobs[row, length:].any()


def test_a_head_that_caps_its_logits_is_found_out(make_model: Callable[..., Any]) -> None:
    capped = make_model("gemma2")
    capped.config.final_logit_softcapping = 1.0
    assert not has_plain_head(capped)
    assert has_plain_head(make_model("qwen3"))


def test_padding_does_not_change_values(make_model: Callable[..., Any], batch: Sequences) -> None:
    critic = ValueModel(make_model("qwen3").base_model)
    torch.nn.init.normal_(critic.head.weight)
    alone = critic(batch.rows(torch.tensor([4])))
    together = critic(batch)
    length = int(batch.response_lengths[4])
    torch.testing.assert_close(together.values[4, :length], alone.values[0], atol=1e-5, rtol=1e-5)


def test_a_value_reads_the_prefix_and_not_the_token_it_precedes(
    make_model: Callable[..., Any], batch: Sequences
) -> None:
    critic = ValueModel(make_model("qwen3").base_model)
    torch.nn.init.normal_(critic.head.weight)
    changed = Sequences(batch.tokens.clone(), batch.prompt_lengths, batch.response_lengths)
    t, place = 5, int(batch.prompt_lengths[1]) + 5
    changed.tokens[1, place] = (changed.tokens[1, place] + 1) % 40
    before, after = critic(batch).values[1], critic(changed).values[1]
    torch.testing.assert_close(before[: t + 1], after[: t + 1])
    assert (before[t + 1 : 9] != after[t + 1 : 9]).all()


def test_new_critics_value_everything_at_zero(make_model: Callable[..., Any], batch: Sequences) -> None:
    assert not ValueModel(make_model("qwen3").base_model)(batch).values.any()


def test_a_critic_of_the_first_layers_is_the_policy_cut_short(model_dir: Path, make_model: Callable[..., Any]) -> None:
    half = load_backbone(str(model_dir), None, 0.5)
    whole = make_model("qwen3").base_model
    assert len(half.layers) == half.config.num_hidden_layers == len(half.config.layer_types) == 2
    for name, weight in half.named_parameters():
        assert torch.equal(weight, whole.get_parameter(name)), name
    assert len(load_backbone(str(model_dir), None, 0.01).layers) == 1


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("/nowhere/at/all", "no such folder"),
        ("embedded:giant", "the package carries no such model"),
    ],
)
def test_a_model_that_is_not_there_is_named(model: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        load_backbone(model, None, 1.0)
    assert str(caught.value).startswith(f"critics.model={model}") and "\n" not in str(caught.value)


@pytest.mark.parametrize("family", ["granite", "opt", "qwen3"])
def test_training_mode_has_no_dropout_that_layers_copied(make_model: Callable[..., Any], family: str) -> None:
    settings = {"granite": {"attention_dropout": 0.5}, "opt": {"dropout": 0.5, "attention_dropout": 0.5}}
    model = make_model(family, 0, **settings.get(family, {}))
    tokens = torch.arange(6)[None]
    expected = model.eval()(input_ids=tokens).logits
    policy = PolicyModel(model, 1.0)
    with torch.no_grad():
        torch.testing.assert_close(policy.train().model(input_ids=tokens).logits, expected)


def test_noise_in_training_mode_that_stays_is_refused(make_model: Callable[..., Any]) -> None:
    model = make_model("qwen3", 0)
    attention = model.model.layers[0].mlp
    attention.register_forward_hook(lambda m, _given, output: output + torch.randn_like(output) if m.training else None)
    with pytest.raises(ValueError, match="training mode differ"):
        PolicyModel(model, 1.0)


@pytest.mark.parametrize("named", [True, False])
def test_caps_on_logits_are_seen_while_logits_are_small(make_model: Callable[..., Any], named: bool) -> None:
    model = make_model("qwen3", 0)
    assert has_plain_head(model)
    if named:
        model.config.final_logit_softcapping = 30.0
    else:
        whole = model.forward

        def capped(**given: Any) -> Any:
            output = whole(**given)
            output.logits = 3000.0 * torch.tanh(output.logits / 3000.0) if named else output.logits.clamp(-50.0, 50.0)
            return output

        model.forward = capped
    assert not has_plain_head(model)
