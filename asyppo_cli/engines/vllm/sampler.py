"""Sampling with vLLM, which gets new weights after every step. Implements :class:`~asyppo_cli.ports.Sampler`.

Which process it runs in, how weights get there, and when its GPU memory is given back are decided here; starting and
calling vLLM itself is :mod:`asyppo_cli.engines.vllm.engine`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from asyppo_cli.config.engines import VllmConfig
from asyppo_cli.engines.hf.models import read_model_config
from asyppo_cli.engines.hf.resolve import resolve_model
from asyppo_cli.engines.torch.malloc import trim_large_heap
from asyppo_cli.engines.vllm.engine import VllmEngine, VllmSettings
from asyppo_cli.engines.vllm.install import ALTERNATIVE, explain, why_not_installed, why_not_synced, why_not_this_model
from asyppo_cli.engines.vllm.process import EngineProcess
from asyppo_cli.engines.vllm.weight_transfer import TransferSpec, TransferSync
from asyppo_cli.engines.weight_sync.shared_memory import SharedMemorySync, WeightSync
from asyppo_cli.types import Response, SamplingParams

Sync = Literal["shared_memory", "ipc", "nccl", "gloo"]


def discard(text: str) -> None:
    """Tell nobody."""


class VllmSampler:
    """vLLM around a Hugging Face model, from its files at first, then with whatever weights it is given.

    Args:
        model: folder or hub id; ``revision`` that of the hub.
        eos_token_ids: tokens that end a response, and no others do.
        max_model_len: the longest prompt and response together, in tokens.
        config: vLLM's settings.
        key: the setting that names the model, for error messages.
        log: file for vLLM's log lines, where it has a process of its own; None: they are dropped.
        note: gets once what the user should know.

    Raises:
        ValueError: vLLM is missing or of a wrong version, or cannot serve the model with these settings.
    """

    def __init__(
        self,
        model: str,
        *,
        eos_token_ids: Sequence[int],
        max_model_len: int,
        config: VllmConfig,
        revision: str | None = None,
        key: str = "policy.model",
        log: Path | None = None,
        note: Callable[[str], None] = discard,
    ) -> None:
        self._config = read_model_config(model, revision, key)
        check_vllm(model, key, self._config)
        check_sync(model, key, self._config)
        self._note = note
        self._plan = make_settings(
            resolve_model(model, key),
            revision,
            eos_token_ids,
            max_model_len,
            config,
            str(getattr(self._config, "dtype", None)),
        )
        self._sync_name = pick_sync(config, self._plan.device)
        self._engine = EngineProcess(self._plan, log) if config.own_process else start_here(self._plan)
        self._sync: WeightSync | None = None
        self._version = 0
        # A caller may sample in one thread and send weights from another.
        self._lock = threading.Lock()

    def sample(self, prompts: Sequence[Sequence[int]], n: int, params: SamplingParams) -> list[list[Response]]:
        """Draw ``n`` responses to each prompt; one list a prompt, in order.

        The seed of a response depends on ``params.seed``, the prompt's place and the response's own, so the draw is
        fixed however vLLM batches it, up to the rounding of another batch's arithmetic.

        Raises:
            ValueError: a prompt leaves no room for ``params.max_tokens``.
            WorkerLost: vLLM's process is gone.
        """
        self._check_lengths(prompts, params.max_tokens)
        with self._lock:
            drawn = self._engine.sample(prompts, n, params)
            if self._plan.sleep:
                self._engine.sleep()
        return drawn

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Send new weights, make sure they arrived, and drop what vLLM has cached of the old.

        Raises:
            ValueError: the weights are another model's.
            RuntimeError: vLLM does not hold them afterwards.
        """
        with self._lock:
            if self._sync is None:
                self._sync = self._open_sync()
            self._make_room()
            trim_large_heap()
            self._version += 1
            self._sync.send(weights, self._version, self._engine)
            self._engine.reset_cache()

    def transfer_spec(self) -> TransferSpec:
        """What a trainer in another process must know that sends weights by vLLM's transfer.

        It then drives the transfer by :meth:`call_workers`, and ends with :meth:`reset_cache`.
        """
        assert self._sync_name != "shared_memory"
        dtype: torch.dtype = getattr(torch, self._plan.dtype)
        return TransferSpec(self._sync_name, parameter_shapes(self._config), dtype, self._plan.tensor_parallel)

    def call_workers(self, method: str, **arguments: Any) -> list[Any]:
        """Call a method of every worker; one result each."""
        with self._lock:
            self._make_room()
            return self._engine.call_workers(method, **arguments)

    def reset_cache(self) -> None:
        """Drop what vLLM has cached of old weights."""
        with self._lock:
            self._engine.reset_cache()

    def close(self) -> None:
        """End vLLM and its processes. Any thread may call, also while another one samples."""
        if self._sync is not None:
            self._sync.close()
        self._engine.close()

    def _make_room(self) -> None:
        """Take the memory of weights again, where it was given back."""
        if self._plan.sleep:
            self._engine.wake("weights")

    def _open_sync(self) -> WeightSync:
        if self._sync_name == "shared_memory":
            return SharedMemorySync(parameter_shapes(self._config), getattr(torch, self._plan.dtype), self._note)
        # Imports vLLM into this process, which nothing else does.
        return TransferSync(self.transfer_spec(), self._engine)

    def _check_lengths(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> None:
        longest = max((len(prompt) for prompt in prompts), default=0)
        if longest + max_tokens > self._plan.max_model_len:
            raise ValueError(
                f"a prompt of {longest} tokens and a response of up to {max_tokens} exceed the "
                f"{self._plan.max_model_len} tokens that vLLM was started for: raise rollout.prompt_length or "
                "rollout.response_length, or shorten the prompt"
            )


def check_vllm(model: str, key: str, config: Any) -> None:
    """ValueError if vLLM cannot be used here, or is known not to serve this model; before it is started."""
    reason = why_not_installed()
    if reason is not None:
        raise ValueError(f"sampler.engine=vllm: {reason}")
    reason = why_not_this_model(config, torch.cuda.is_available())
    if reason is not None:
        raise ValueError(f"sampler.engine=vllm, {key}={model}: {reason}: choose another model, {ALTERNATIVE}")


def check_sync(model: str, key: str, config: Any) -> None:
    """ValueError if new weights of such a model are known not to reach vLLM in a form that can be verified."""
    reason = why_not_synced(config)
    if reason is not None:
        raise ValueError(f"sampler.engine=vllm, {key}={model}: {reason}: choose another model, {ALTERNATIVE}")


def make_settings(
    model: str, revision: str | None, ends: Sequence[int], longest: int, config: VllmConfig, model_dtype: str
) -> VllmSettings:
    """The engine's start, chosen for this machine."""
    cuda = torch.cuda.is_available()
    sync = pick_sync(config, "cuda" if cuda else "cpu")
    return VllmSettings(
        model=model,
        revision=revision,
        eos_token_ids=tuple(ends),
        max_model_len=longest,
        device="cuda" if cuda else "cpu",
        dtype=pick_dtype(config.dtype, cuda, model_dtype),
        kv_cache_gib=config.kv_cache_gib,
        memory_share=config.memory_share,
        tensor_parallel=config.tensor_parallel,
        enforce_eager=config.enforce_eager,
        sleep=config.sleep and cuda,
        threads=pick_threads(config.threads, config.tensor_parallel, cuda),
        transfer=None if sync == "shared_memory" else sync,
    )


def pick_dtype(dtype: str, cuda: bool, model_dtype: str) -> str:
    """What ``auto`` stands for: bfloat16 on a CPU, the model's own on a GPU unless that is float32."""
    own = model_dtype.removeprefix("torch.")
    if dtype != "auto":
        return dtype
    return own if cuda and own in ("bfloat16", "float16") else "bfloat16"


def pick_threads(asked: int, workers: int, cuda: bool) -> int:
    """Threads of each worker; several on one machine share its cores."""
    if asked or workers == 1 or cuda:
        return asked
    return max(1, torch.get_num_threads() // workers)


def pick_sync(config: VllmConfig, device: Literal["cpu", "cuda"]) -> Sync:
    """How weights reach the engine.

    auto: CUDA IPC to a process on the same GPU, shared memory on a CPU and within one process, where IPC has no say.

    Raises:
        ValueError: a way for GPUs is asked for without one.
    """
    if config.sync == "auto":
        return "ipc" if device == "cuda" and config.own_process else "shared_memory"
    if config.sync in ("ipc", "nccl") and device == "cpu":
        raise ValueError(f"sampler.vllm.sync={config.sync} needs a GPU, and torch sees none: set it to auto")
    if config.sync != "shared_memory" and not config.own_process:
        raise ValueError(
            f"sampler.vllm.sync={config.sync} goes from process to process: set sampler.vllm.own_process=true, or auto"
        )
    return config.sync


def start_here(plan: VllmSettings) -> VllmEngine:
    """Start vLLM in this process; ValueError, in one line, if it cannot start."""
    try:
        return VllmEngine(plan, "ERROR")
    except Exception as error:
        # Broad on purpose: vLLM, torch and a stranger's model decide what is raised.
        raise ValueError(explain(f"{type(error).__name__}: {error}", plan.model)) from error


def parameter_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's weights as a learner gives them, without loading any."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
