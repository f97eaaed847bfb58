"""What every sampler must do, run over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from asyppo_cli.engines.models import PolicyModel
from asyppo_cli.engines.transformers_sampler import TransformersSampler, restrict
from asyppo_cli.ports import Sampler
from asyppo_cli.types import Response, SamplingParams, Sequences

PARAMS = SamplingParams(max_tokens=12, temperature=1.0, top_p=1.0, top_k=0, seed=5)
PROMPTS = [[3, 4, 5], [6, 7], [8, 9, 10, 11, 12], [13]]
END = 1
CPU = torch.device("cpu")

SAMPLERS: dict[str, Callable[[Any], Sampler]] = {
    "transformers": lambda model: TransformersSampler(model, eos_token_ids=[END], batch_size=64, device=CPU),
    "transformers-small-batches": lambda model: TransformersSampler(
        model, eos_token_ids=[END], batch_size=5, device=CPU
    ),
}


@pytest.fixture(params=SAMPLERS)
def make_sampler(request: pytest.FixtureRequest) -> Callable[[Any], Sampler]:
    return SAMPLERS[request.param]


@pytest.mark.parametrize("family", ["qwen3", "gemma2"])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_log_probabilities_are_the_trainers(
    make_sampler: Callable[[Any], Sampler], make_model: Callable[..., Any], family: str, temperature: float
) -> None:
    params = replace(PARAMS, temperature=temperature)
    groups = make_sampler(make_model(family)).sample(PROMPTS, 3, params)
    flat = [response for group in groups for response in group]
    batch = Sequences.join([p for p in PROMPTS for _ in range(3)], [response.tokens for response in flat])
    expected = PolicyModel(make_model(family), temperature)(batch).logprobs
    for row, response in enumerate(flat):
        torch.testing.assert_close(
            torch.tensor(response.logprobs), expected[row, : len(response.tokens)], atol=1e-4, rtol=1e-3
        )


def test_responses_end_once_or_are_truncated(
    make_sampler: Callable[[Any], Sampler], make_model: Callable[..., Any]
) -> None:
    groups = make_sampler(make_model("qwen3")).sample(PROMPTS * 8, 4, PARAMS)
    assert [len(group) for group in groups] == [4] * 32
    flat = [response for group in groups for response in group]
    for response in flat:
        assert END not in response.tokens[:-1]
        assert response.truncated == (response.tokens[-1] != END)
        assert not response.truncated or len(response.tokens) == 12
    assert {response.truncated for response in flat} == {True, False}


def test_a_seed_fixes_the_draw(make_sampler: Callable[[Any], Sampler], make_model: Callable[..., Any]) -> None:
    def tokens(seed: int) -> list[list[Response]]:
        return make_sampler(make_model("qwen3")).sample(PROMPTS, 2, replace(PARAMS, seed=seed))

    assert tokens(5) == tokens(5)
    assert tokens(5) != tokens(6)


def test_new_weights_take_effect(make_sampler: Callable[[Any], Sampler], make_model: Callable[..., Any]) -> None:
    sampler = make_sampler(make_model("qwen3", seed=0))
    new = make_model("qwen3", seed=1)
    before = sampler.sample(PROMPTS, 2, PARAMS)
    sampler.load_weights(new.named_parameters())
    after = sampler.sample(PROMPTS, 2, PARAMS)
    assert after != before
    assert after == make_sampler(make_model("qwen3", seed=1)).sample(PROMPTS, 2, PARAMS)


def test_foreign_weights_are_refused(make_sampler: Callable[[Any], Sampler], make_model: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="another model"):
        make_sampler(make_model("qwen3")).load_weights(make_model("llama").named_parameters())


def test_frequencies_follow_the_distribution(
    make_sampler: Callable[[Any], Sampler], make_model: Callable[..., Any]
) -> None:
    model = make_model("qwen3")
    groups = make_sampler(model).sample([PROMPTS[0]], 4000, replace(PARAMS, max_tokens=1))
    counts = torch.bincount(torch.tensor([response.tokens[0] for response in groups[0]]), minlength=40)
    with torch.no_grad():
        pi = model(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1].softmax(-1)
    # Pearson's statistic has mean 39 and standard deviation 9 if the draw is right.
    assert float(((counts - 4000 * pi) ** 2 / (4000 * pi)).sum()) < 39 + 5 * 9


def test_top_k_and_top_p_restrict_the_draw() -> None:
    log_pi = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert restrict(log_pi, 1.0, 2).isfinite().tolist() == [[True, True, False, False]]
    assert restrict(log_pi, 0.6, 0).isfinite().tolist() == [[True, True, False, False]]
    assert restrict(log_pi, 0.45, 0).isfinite().tolist() == [[True, False, False, False]]
    assert restrict(log_pi, 1.0, 0).isfinite().all()
    # The nucleus is taken of what top-k leaves: 0.5 / 0.8 already holds 0.6 of it.
    assert restrict(log_pi, 0.6, 2).isfinite().tolist() == [[True, False, False, False]]
