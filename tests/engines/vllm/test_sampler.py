"""What is particular to vLLM behind the sampler protocol, on the real engine."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from asyppo_cli.config.engines import VllmConfig
from asyppo_cli.engines.hf.models import PolicyModel
from asyppo_cli.engines.vllm.install import installed_version
from asyppo_cli.engines.vllm.sampler import VllmSampler, pick_dtype, pick_sync
from asyppo_cli.engines.weight_sync.checksums import ReceivedWeight
from asyppo_cli.engines.weight_sync.shared_memory import SharedMemorySync, SyncTarget
from asyppo_cli.ports import WorkerLost
from asyppo_cli.types import Response, SamplingParams, Sequences

END = 1
PARAMS = SamplingParams(max_tokens=12, temperature=1.0, top_p=1.0, top_k=0, seed=5)
VLLM = VllmConfig(
    dtype="float32",
    memory_share=0.5,
    kv_cache_gib=0.25,
    tensor_parallel=1,
    enforce_eager=True,
    sleep=True,
    own_process=True,
    threads=1,
    sync="auto",
)
needs_vllm = pytest.mark.skipif(installed_version() is None, reason="vLLM is not installed")


@pytest.fixture
def make_model(make_model: Callable[..., Any]) -> Callable[..., Any]:
    """Tiny models with a tied output layer and heads of a size that vLLM's kernels know."""
    return lambda seed=0, **changes: make_model("qwen3", seed=seed, **{"head_dim": 32, **changes})


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """One engine for all tests, which is started at first need."""
    held: dict[str, Any] = {"folder": tmp_path_factory.mktemp("qwen3")}
    yield held
    if "sampler" in held:
        held["sampler"].close()


@pytest.fixture
def sampler(started: dict[str, Any], make_model: Callable[..., Any]) -> VllmSampler:
    if "sampler" not in started:
        make_model().save_pretrained(started["folder"])
        log = started["folder"] / "vllm.log"
        started["sampler"] = VllmSampler(
            str(started["folder"]), eos_token_ids=[END], max_model_len=112, config=VLLM, log=log
        )
    made: VllmSampler = started["sampler"]
    made.load_weights(make_model().named_parameters())
    return made


def furthest(model: Any, prompts: list[list[int]], groups: list[list[Response]]) -> float:
    """Largest difference between the sampler's log-probabilities and the trainer's."""
    flat = [response for group in groups for response in group]
    batch = Sequences.join(
        [prompt for prompt, group in zip(prompts, groups, strict=True) for _ in group], [r.tokens for r in flat]
    )
    with torch.no_grad():
        expected = PolicyModel(model, 1.0)(batch).logprobs
    rows = [torch.tensor(r.logprobs) - expected[i, : len(r.tokens)] for i, r in enumerate(flat)]
    return float(torch.cat(rows).abs().max())


@needs_vllm
def test_a_response_does_not_depend_on_the_others_of_its_batch(sampler: VllmSampler) -> None:
    prompts = [[3, 4, 5], [6, 7], [8, 9, 10, 11, 12], [13]]
    whole = sampler.sample(prompts, 4, PARAMS)
    parts = [group[:2] for group in sampler.sample(prompts[:2], 2, PARAMS)]
    assert [[r.tokens for r in group] for group in parts] == [[r.tokens for r in group[:2]] for group in whole[:2]]


@needs_vllm
def test_keys_of_old_weights_are_not_used_again(sampler: VllmSampler, make_model: Callable[..., Any]) -> None:
    # Long enough for vLLM to keep what it computed of the prompt.
    prompts = [[2 + i % 37 for i in range(start, start + 96)] for start in (0, 11)]
    sampler.sample(prompts, 2, PARAMS)
    new = make_model(seed=1)
    sampler.load_weights(new.named_parameters())
    assert furthest(new, prompts, sampler.sample(prompts, 2, PARAMS)) < 1e-3


Call = Callable[[SyncTarget, str, Mapping[str, Any]], list[Any]]


class Between:
    """The engine, with somebody in between who changes its calls."""

    def __init__(self, target: SyncTarget, change: Call) -> None:
        self.target, self.change = target, change

    def call_workers(self, method: str, **arguments: Any) -> list[Any]:
        return self.change(self.target, method, arguments)


def nothing_loaded(target: SyncTarget, method: str, arguments: Mapping[str, Any]) -> list[Any]:
    if method == "asyppo_load":
        entries = arguments["manifest"].entries
        return [{name: ReceivedWeight(sent.shape, sent.checksum, sent.sample) for name, sent in entries.items()}]
    return target.call_workers("asyppo_read", manifest=arguments["manifest"]) if method == "asyppo_finish" else []


def two_layers_exchanged(target: SyncTarget, method: str, arguments: Mapping[str, Any]) -> list[Any]:
    first, second = (f"model.layers.{i}.mlp.down_proj.weight" for i in (0, 1))
    slots = {**arguments["slots"]}
    slots[first], slots[second] = slots[second], slots[first]
    return target.call_workers(method, **{**arguments, "slots": slots})


@needs_vllm
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (nothing_loaded, "in its model, model.embed_tokens.weight has other values; model.layers.0"),
        (two_layers_exchanged, "of what arrived, model.layers.0.mlp.down_proj.weight has other values; model.layers.1"),
    ],
)
def test_a_sync_that_fails_is_an_error(
    sampler: VllmSampler, make_model: Callable[..., Any], change: Any, words: str
) -> None:
    assert sampler._sync is not None
    with pytest.raises(RuntimeError, match=words):
        sampler._sync.send(make_model(seed=1).named_parameters(), 3, Between(sampler._engine, change))


@needs_vllm
def test_weights_that_come_one_by_one_are_those_that_are_sampled(
    sampler: VllmSampler, make_model: Callable[..., Any]
) -> None:
    """A part of the file is written again while vLLM still waits for others of the same layer."""
    new = make_model(seed=4)
    shapes = {name: tuple(weight.shape) for name, weight in new.named_parameters()}
    with closing(SharedMemorySync(shapes, torch.float32, print, part=1)) as sync:
        for version in (4, 5):
            sync.send(new.named_parameters(), version, sampler._engine)
    sampler._engine.reset_cache()
    # The workers have mapped another file since: the next sync makes one anew.
    assert sampler._sync is not None
    sampler._sync.close()
    prompts = [[2 + i % 37 for i in range(start, start + 40)] for start in (0, 11)]
    assert furthest(new, prompts, sampler.sample(prompts, 2, PARAMS)) < 1e-3


@needs_vllm
def test_a_tied_output_layer_that_vllms_own_reload_leaves_behind_is_noticed(
    sampler: VllmSampler, make_model: Callable[..., Any], tmp_path: Path
) -> None:
    """vLLM 0.32 packs the shared matrix twice on a CPU, and reloads one of the two."""
    make_model(seed=1).save_pretrained(tmp_path)

    def by_vllm(target: SyncTarget, method: str, arguments: Mapping[str, Any]) -> list[Any]:
        if method == "asyppo_finish":
            target.call_workers("reload_weights", weights_path=str(tmp_path))
        return nothing_loaded(target, method, arguments)

    assert sampler._sync is not None
    with pytest.raises(RuntimeError, match=r"in its model, model.embed_tokens.weight has other values; no batch"):
        sampler._sync.send(make_model(seed=1).named_parameters(), 3, Between(sampler._engine, by_vllm))


@needs_vllm
def test_what_does_not_fit_is_refused_before_vllm_sees_it(sampler: VllmSampler) -> None:
    with pytest.raises(ValueError, match="a prompt of 101 tokens and a response of up to 12 exceed the 112 tokens"):
        sampler.sample([[3] * 5, [3] * 101], 1, PARAMS)


@needs_vllm
def test_a_process_that_was_killed_is_named_with_its_log(sampler: VllmSampler, started: dict[str, Any]) -> None:
    """The last test on this engine."""
    assert "vLLM" in (started["folder"] / "vllm.log").read_text()
    os.kill(sampler._engine.pid, signal.SIGKILL)  # type: ignore[union-attr]
    with pytest.raises(WorkerLost, match="the process of vLLM was killed.*vllm.log"):
        sampler.sample([[3]], 1, PARAMS)


@needs_vllm
def test_heads_that_vllm_does_not_know_are_one_line(make_model: Callable[..., Any], tmp_path: Path) -> None:
    make_model(head_dim=24).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="its attention heads have size 24.*or set sampler.engine=transformers"):
        VllmSampler(str(tmp_path), eos_token_ids=[END], max_model_len=64, config=VLLM)


@pytest.mark.slow
@needs_vllm
def test_too_small_a_cache_is_one_line(make_model: Callable[..., Any], tmp_path: Path) -> None:
    make_model(max_position_embeddings=100_000).save_pretrained(tmp_path)
    config = VLLM.model_copy(update={"kv_cache_gib": 0.01})
    with pytest.raises(ValueError, match=r"one prompt and response of 90000 tokens need .*kv_cache_gib") as caught:
        VllmSampler(str(tmp_path), eos_token_ids=[END], max_model_len=90_000, config=config)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@needs_vllm
def test_vllm_in_this_process_samples_the_same(
    make_model: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_model().save_pretrained(tmp_path)
    drawn = []
    for own_process in (True, False):
        config = VLLM.model_copy(update={"own_process": own_process})
        sampler = VllmSampler(str(tmp_path), eos_token_ids=[END], max_model_len=64, config=config)
        new = make_model(seed=1)
        sampler.load_weights(new.named_parameters())
        drawn.append(sampler.sample([[3, 4], [5]], 3, PARAMS))
        sampler.close()
    assert [[r.tokens for r in group] for group in drawn[0]] == [[r.tokens for r in group] for group in drawn[1]]
    # vLLM has not taken this process's threads away.
    torch.set_num_threads(torch.get_num_threads())
    assert "WARNING" not in capfd.readouterr().err


def test_precision_and_transport_follow_the_machine() -> None:
    assert pick_dtype("auto", False, "torch.float16") == "bfloat16"
    assert pick_dtype("auto", True, "torch.float16") == "float16"
    assert pick_dtype("auto", True, "torch.float32") == "bfloat16"
    assert pick_dtype("float32", True, "torch.bfloat16") == "float32"
    assert pick_sync(VLLM, "cpu") == "shared_memory"
    assert pick_sync(VLLM, "cuda") == "ipc"
    assert pick_sync(VLLM.model_copy(update={"own_process": False}), "cuda") == "shared_memory"
    with pytest.raises(ValueError, match="sampler.vllm.sync=nccl needs a GPU"):
        pick_sync(VLLM.model_copy(update={"sync": "nccl"}), "cpu")
    with pytest.raises(ValueError, match="sampler.vllm.sync=ipc goes from process to process"):
        pick_sync(VLLM.model_copy(update={"sync": "ipc", "own_process": False}), "cuda")
