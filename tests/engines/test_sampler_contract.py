"""What every sampler must do, run over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from asyppo_cli.config.engines import VllmConfig
from asyppo_cli.engines.hf.models import PolicyModel
from asyppo_cli.engines.torch.sampler import TransformersSampler, restrict
from asyppo_cli.engines.vllm.install import installed_version
from asyppo_cli.engines.vllm.sampler import VllmSampler
from asyppo_cli.ports import Sampler
from asyppo_cli.types import Response, SamplingParams, Sequences

PARAMS = SamplingParams(max_tokens=12, temperature=1.0, top_p=1.0, top_k=0, seed=5)
PROMPTS = [[3, 4, 5], [6, 7], [8, 9, 10, 11, 12], [13]]
END = 1
CPU = torch.device("cpu")
# One thread, and float32: what is compared is arithmetic, on a machine that may be busy.
VLLM = VllmConfig(
    dtype="float32",
    memory_share=0.5,
    kv_cache_gib=0.25,
    tensor_parallel=1,
    enforce_eager=True,
    sleep=False,
    own_process=True,
    threads=1,
    sync="auto",
)

MakeSampler = Callable[[Any], Sampler]

SAMPLERS: dict[str, MakeSampler] = {
    "transformers": lambda model: TransformersSampler(model, eos_token_ids=[END], batch_size=64, device=CPU),
    "transformers-small-batches": lambda model: TransformersSampler(
        model, eos_token_ids=[END], batch_size=5, device=CPU
    ),
}


@pytest.fixture(scope="module")
def vllm_sampler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSampler]:
    """vLLM around a tiny model: one engine for each architecture, which is given every further model's weights."""
    if installed_version() is None:
        pytest.skip("vLLM is not installed")
    started: dict[str, VllmSampler] = {}

    def make(model: Any) -> Sampler:
        family = model.config.model_type
        if family not in started:
            folder = tmp_path_factory.mktemp(family)
            model.save_pretrained(folder)
            started[family] = VllmSampler(str(folder), eos_token_ids=[END], max_model_len=64, config=VLLM)
        started[family].load_weights(model.named_parameters())
        return started[family]

    yield make
    for sampler in started.values():
        sampler.close()


RAY = "ray-two-ranks-small-batches"


@pytest.fixture(params=[*SAMPLERS, "vllm", RAY])
def make_sampler(request: pytest.FixtureRequest) -> MakeSampler:
    if request.param == "vllm":
        made: MakeSampler = request.getfixturevalue("vllm_sampler")
        return made
    if request.param == RAY:
        found: MakeSampler = request.getfixturevalue("ray_desk").samplers_of(
            __name__, SAMPLERS["transformers-small-batches"], lambda _prompts, n: max(1, 5 // n)
        )
        return found
    return SAMPLERS[request.param]


@pytest.fixture
def make_model(make_model: Callable[..., Any]) -> Callable[..., Any]:
    """Tiny models with heads of a size that vLLM's kernels know."""
    return partial(make_model, head_dim=32)


@pytest.mark.parametrize("family", ["qwen3", "gemma2"])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_log_probabilities_are_the_trainers(
    make_sampler: MakeSampler, make_model: Callable[..., Any], family: str, temperature: float
) -> None:
    params = replace(PARAMS, temperature=temperature)
    sampler = make_sampler(make_model(family))
    groups = sampler.sample(PROMPTS, 3, params)
    flat = [response for group in groups for response in group]
    batch = Sequences.join([p for p in PROMPTS for _ in range(3)], [response.tokens for response in flat])
    expected = PolicyModel(make_model(family), temperature)(batch).logprobs
    # The kernel that caps attention's logits softly, as Gemma 2 does, approximates the hyperbolic tangent.
    tolerance = 5e-3 if isinstance(sampler, VllmSampler) and family == "gemma2" else 1e-4
    for row, response in enumerate(flat):
        torch.testing.assert_close(
            torch.tensor(response.logprobs), expected[row, : len(response.tokens)], atol=tolerance, rtol=1e-3
        )


@pytest.mark.parametrize(("temperature", "top_p", "top_k"), [(0.99, 0.99, 100), (1.7, 0.8, 7), (1.0, 0.5, 0)])
def test_restricting_the_draw_leaves_log_probabilities_alone(
    make_sampler: MakeSampler, make_model: Callable[..., Any], temperature: float, top_p: float, top_k: int
) -> None:
    model = make_model("qwen3")
    params = SamplingParams(max_tokens=12, temperature=temperature, top_p=top_p, top_k=top_k, seed=5)
    flat = [response for group in make_sampler(model).sample(PROMPTS, 3, params) for response in group]
    batch = Sequences.join([p for p in PROMPTS for _ in range(3)], [response.tokens for response in flat])
    expected = PolicyModel(make_model("qwen3"), temperature)(batch).logprobs
    for row, response in enumerate(flat):
        torch.testing.assert_close(
            torch.tensor(response.logprobs), expected[row, : len(response.tokens)], atol=1e-4, rtol=1e-3
        )


def test_only_the_most_probable_tokens_are_drawn(make_sampler: MakeSampler, make_model: Callable[..., Any]) -> None:
    model = make_model("qwen3")
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1]
    for top_p, top_k in ((1.0, 3), (0.5, 0)):
        params = replace(PARAMS, max_tokens=1, top_p=top_p, top_k=top_k)
        drawn = {response.tokens[0] for response in make_sampler(model).sample([PROMPTS[0]], 300, params)[0]}
        kept = restrict(logits.log_softmax(-1)[None], top_p, top_k)[0].isfinite()
        assert drawn == set(kept.nonzero()[:, 0].tolist())


def test_groups_come_in_the_order_of_their_prompts(make_sampler: MakeSampler, make_model: Callable[..., Any]) -> None:
    sampler = make_sampler(make_model("qwen3"))
    likeliest = replace(PARAMS, max_tokens=6, top_k=1)
    alone = [sampler.sample([prompt], 1, likeliest)[0][0].tokens for prompt in PROMPTS]
    assert len(set(map(tuple, alone))) > 1
    groups = sampler.sample(PROMPTS, 3, likeliest)
    assert [[response.tokens for response in group] for group in groups] == [[tokens] * 3 for tokens in alone]


def test_responses_end_once_or_are_truncated(make_sampler: MakeSampler, make_model: Callable[..., Any]) -> None:
    groups = make_sampler(make_model("qwen3")).sample(PROMPTS * 8, 4, PARAMS)
    assert [len(group) for group in groups] == [4] * 32
    flat = [response for group in groups for response in group]
    for response in flat:
        assert END not in response.tokens[:-1]
        assert response.truncated == (response.tokens[-1] != END)
        assert not response.truncated or len(response.tokens) == 12
    assert {response.truncated for response in flat} == {True, False}


def test_a_seed_fixes_the_draw(make_sampler: MakeSampler, make_model: Callable[..., Any]) -> None:
    def tokens(seed: int) -> list[list[Response]]:
        return make_sampler(make_model("qwen3")).sample(PROMPTS, 2, replace(PARAMS, seed=seed))

    assert tokens(5) == tokens(5)
    assert tokens(5) != tokens(6)


def test_new_weights_take_effect(make_sampler: MakeSampler, make_model: Callable[..., Any]) -> None:
    sampler = make_sampler(make_model("qwen3", seed=0))
    new = make_model("qwen3", seed=1)
    before = sampler.sample(PROMPTS, 2, PARAMS)
    sampler.load_weights(new.named_parameters())
    after = sampler.sample(PROMPTS, 2, PARAMS)
    assert after != before
    assert after == make_sampler(make_model("qwen3", seed=1)).sample(PROMPTS, 2, PARAMS)


def test_foreign_weights_are_refused(make_sampler: MakeSampler, make_model: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="another model"):
        make_sampler(make_model("qwen3")).load_weights(make_model("llama").named_parameters())


def test_frequencies_follow_the_distribution(make_sampler: MakeSampler, make_model: Callable[..., Any]) -> None:
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
