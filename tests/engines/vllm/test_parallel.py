"""vLLM whose workers share out a model, and weights that reach them by each way there is on a CPU; the real engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asyppo_cli.config.engines import VllmConfig
from asyppo_cli.engines.hf.models import PolicyModel
from asyppo_cli.engines.vllm.install import installed_version
from asyppo_cli.engines.vllm.sampler import VllmSampler, parameter_shapes
from asyppo_cli.engines.weight_sync.checksums import Manifest, build_manifest, collect_shards
from asyppo_cli.engines.weight_sync.shared_memory import SharedMemorySync, check_reports
from asyppo_cli.types import SamplingParams, Sequences

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(installed_version() is None, reason="vLLM is not installed (extra: cpu-engines)"),
]
PROMPTS = [[3, 4, 5], [9, 9], [2, 7, 1, 8, 2, 8]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("qwen3")


@pytest.fixture
def new_model(make_model: Callable[..., Any]) -> Callable[[int], Any]:
    # 100 words on two workers, which vLLM fills up to 128: 64 and 36.
    return lambda seed: make_model("qwen3", seed=seed, head_dim=32, vocab_size=100)


@pytest.fixture(scope="module")
def started() -> Iterator[list[VllmSampler]]:
    held: list[VllmSampler] = []
    yield held
    for sampler in held:
        sampler.close()


@pytest.fixture
def sampler(started: list[VllmSampler], folder: Path, new_model: Callable[[int], Any]) -> VllmSampler:
    """Two workers, weights by gloo."""
    if not started:
        new_model(0).save_pretrained(folder)
        config = VllmConfig(
            dtype="float32",
            memory_share=0.5,
            kv_cache_gib=0.25,
            tensor_parallel=2,
            enforce_eager=True,
            sleep=True,
            own_process=True,
            threads=1,
            sync="gloo",
        )
        log = folder / "vllm.log"
        started.append(VllmSampler(str(folder), eos_token_ids=[1], max_model_len=112, config=config, log=log))
    return started[0]


def assert_samples_from(sampler: VllmSampler, model: Any) -> None:
    """Log-probabilities are the trainer's, at every token of the vocabulary that comes up."""
    groups = sampler.sample(PROMPTS, 4, SamplingParams(24, 1.0, 1.0, 0, seed=5))
    flat = [(prompt, r) for prompt, group in zip(PROMPTS, groups, strict=True) for r in group]
    batch = Sequences.join([prompt for prompt, _ in flat], [r.tokens for _, r in flat])
    with torch.no_grad():
        expected = PolicyModel(model, 1.0)(batch).logprobs
    for row, (_, response) in enumerate(flat):
        seen = torch.as_tensor(response.logprobs)
        torch.testing.assert_close(seen, expected[row, : len(seen)], atol=1e-4, rtol=1e-4)
    assert any(token >= 64 for _, r in flat for token in r.tokens)


def test_weights_reach_both_workers_by_gloo(sampler: VllmSampler, new_model: Callable[[int], Any]) -> None:
    for seed in (1, 2):
        sampler.load_weights(new_model(seed).named_parameters())
        assert_samples_from(sampler, new_model(seed))


def test_and_through_shared_memory(sampler: VllmSampler, new_model: Callable[[int], Any]) -> None:
    sync = SharedMemorySync(parameter_shapes(new_model(0).config), torch.float32, print)
    sync.send(new_model(3).named_parameters(), 7, sampler._engine)
    sampler.reset_cache()
    assert_samples_from(sampler, new_model(3))


def test_every_weight_is_read_back_from_its_parts(sampler: VllmSampler, new_model: Callable[[int], Any]) -> None:
    model = new_model(4)
    shapes = parameter_shapes(model.config)
    sampler.load_weights(model.named_parameters())
    claims = sampler.call_workers("asyppo_shards", shapes=shapes)
    assert len(claims) == 2 and claims[0].keys() == claims[1].keys()
    shards = collect_shards(claims, shapes)
    assert {name for name in shapes if "norm" not in name} == shards.keys()
    held = build_manifest(model.named_parameters(), 9, shards)
    check_reports(held, sampler.call_workers("asyppo_read", manifest=held))
    # Whatever single weight, or part of one, is another than was sent: it is noticed.
    other = build_manifest(new_model(5).named_parameters(), 9, shards)
    for name in shapes:
        if torch.equal(model.get_parameter(name), new_model(5).get_parameter(name)):
            continue
        for parts in [{shard: other.parts[name][shard]} for shard in shards.get(name, ())] or [None]:
            changed = changed_manifest(held, other, name, parts)
            with pytest.raises(RuntimeError, match=f"{name} has other values"):
                check_reports(changed, sampler.call_workers("asyppo_read", manifest=changed))


def changed_manifest(held: Manifest, other: Manifest, name: str, parts: Any) -> Manifest:
    """Of all weights of one model but one, or a part of one, of another."""
    if parts is None:
        return replace(held, entries={**held.entries, name: other.entries[name]})
    return replace(held, parts={**held.parts, name: {**held.parts[name], **parts}})
