"""vLLM in the process that calls it: started, fed token ids, given new weights. Imports vLLM when it is started.

Nothing here knows the trainer: :mod:`asyppo_cli.engines.vllm.sampler` does, and runs this in a process of its own if
asked to (:mod:`asyppo_cli.engines.vllm.process`).
"""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from asyppo_cli.engines.torch.malloc import trim_heap
from asyppo_cli.types import Response, SamplingParams

EXTENSION = "asyppo_cli.engines.vllm.worker.WorkerExtension"
# The module of this one also registers the backend.
GLOO_EXTENSION = "asyppo_cli.engines.vllm.worker_gloo.GlooWorkerExtension"
GIB = 2**30
# The unit of vLLM's prefix cache on a CPU. Its stock 128 is longer than many a prompt, which then is never shared.
CPU_BLOCK = 32
# Tokens of one pass of its engine on a CPU; vLLM's own choice there.
CPU_BATCH = 4096


@dataclass(frozen=True)
class VllmSettings:
    """Everything a vLLM engine is started with: plain values, so that it can travel to another process.

    ``threads`` of each worker; 0: as many as the process may use. ``transfer`` names vLLM's own way of receiving
    weights; None where they come through shared memory.
    """

    model: str
    revision: str | None
    eos_token_ids: tuple[int, ...]
    max_model_len: int
    device: Literal["cpu", "cuda"]
    dtype: str
    kv_cache_gib: float
    memory_share: float
    tensor_parallel: int
    enforce_eager: bool
    sleep: bool
    threads: int
    transfer: Literal["ipc", "nccl", "gloo"] | None


def environment(plan: VllmSettings, level: str) -> dict[str, str]:
    """Environment variables that vLLM reads when it is imported; ``level`` is that of its log."""
    variables = {
        # The engine runs in this process; a process of its own is our affair, one and not three.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_LOGGING_LEVEL": level,
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    }
    if plan.device == "cpu":
        variables["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
    return variables


class VllmEngine:
    """A started engine."""

    def __init__(self, plan: VllmSettings, level: str) -> None:
        self._eos = set(plan.eos_token_ids)
        # What of the engine's GPU memory is given back at present.
        self._sleeping: list[str] = []
        self._plan = plan
        self._llm = start(plan, level)
        self.call_workers("asyppo_install")
        self._check_logprobs()

    def sample(self, prompts: Sequence[Sequence[int]], n: int, params: SamplingParams) -> list[list[Response]]:
        """Draw ``n`` responses to each prompt; one list a prompt, in order."""
        from vllm import SamplingParams as VllmParams

        self.wake()
        requests = [{"prompt_token_ids": list(prompt)} for prompt in prompts for _ in range(n)]
        settings = [
            VllmParams(
                max_tokens=params.max_tokens,
                temperature=params.temperature,
                top_p=params.top_p,
                top_k=params.top_k,
                seed=request_seed(params.seed, params.offset + p, i),
                stop_token_ids=sorted(self._eos),
                # Ours are the end tokens, and no others.
                ignore_eos=True,
                detokenize=False,
                logprobs=0,
                flat_logprobs=True,
            )
            for p in range(len(prompts))
            for i in range(n)
        ]
        drawn = [self._response(output.outputs[0]) for output in self._llm.generate(requests, settings, use_tqdm=False)]
        return [drawn[p * n : (p + 1) * n] for p in range(len(prompts))]

    def _check_logprobs(self) -> None:
        """RuntimeError unless the sampler in place is ours: another version of vLLM may go round it.

        The likeliest token is less likely at temperature 2 than at 1, under the full softmax. Raw log-probabilities
        would be equal, processed ones with top-k 1 zero.
        """
        prompt = [[min(self._eos)]]
        cold, hot = (self.sample(prompt, 1, SamplingParams(1, t, 1.0, 1, 0))[0][0].logprobs[0] for t in (1.0, 2.0))
        uniform = -math.log(self._llm.llm_engine.model_config.get_vocab_size())
        telling = uniform + 1e-2 < cold < -1e-2
        if telling and not hot < cold:
            raise RuntimeError(
                "this vLLM does not report log-probabilities of the full softmax at the sampling temperature, without "
                "which nothing can be trained: install vLLM 0.32, or set sampler.engine=transformers"
            )

    def _response(self, output: Any) -> Response:
        tokens = output.token_ids
        # One log-probability a token: that of the token itself.
        assert list(tokens) == output.logprobs.token_ids
        return Response(tokens, output.logprobs.logprobs, tokens[-1] not in self._eos)

    def call_workers(self, method: str, **arguments: Any) -> list[Any]:
        """Call a method of every worker; one result each."""
        results: list[Any] = self._llm.collective_rpc(method, kwargs=arguments)
        return results

    def reset_cache(self) -> None:
        """Drop cached keys and values: they are the old weights'."""
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("vLLM could not drop its prefix cache after new weights: keys of old weights would stay")

    def sleep(self) -> None:
        """Give the GPU's memory back; weights wait in the host's. Nothing on a CPU, or where sleep is off.

        Level 1, not 2: after it an engine may be woken to sample again without new weights.
        """
        if self._plan.sleep and not self._sleeping:
            self._llm.sleep(level=1)
            self._sleeping = ["weights", "kv_cache"]

    def wake(self, *tags: str) -> None:
        """Take memory again: of the weights, of the cache (``weights``, ``kv_cache``), or of both."""
        for tag in tags or ("weights", "kv_cache"):
            if tag in self._sleeping:
                self._llm.wake_up(tags=[tag])
                self._sleeping.remove(tag)

    def close(self) -> None:
        """End vLLM's worker processes, if any."""
        self._llm.llm_engine.engine_core.shutdown()


def start(plan: VllmSettings, level: str) -> Any:
    """Import vLLM and start it; what else lives in this process finds torch's settings as they were."""
    os.environ.update(environment(plan, level))
    # The older way of setting the cache's size would win over kv_cache_gib.
    os.environ.pop("VLLM_CPU_KVCACHE_SPACE", None)
    set_threads, random_state = torch.set_num_threads, torch.get_rng_state()
    if plan.threads:
        set_threads(plan.threads)
    with warnings.catch_warnings():
        # Those of vLLM and torch about each other: nothing that a user could change.
        warnings.simplefilter("ignore")
        from vllm import LLM

        llm = LLM(**arguments(plan))
    if plan.device == "cpu":
        # What loading and the trial pass over the longest batch have left: a tenth of a gibibyte or two, unlike any
        # later pass.
        trim_heap()
    # It makes set_num_threads do nothing, and seeds torch.
    torch.set_num_threads = set_threads
    torch.set_rng_state(random_state)
    return llm


def arguments(plan: VllmSettings) -> dict[str, Any]:
    """Arguments of ``vllm.LLM``."""
    given: dict[str, Any] = {
        "model": plan.model,
        "revision": plan.revision,
        "dtype": plan.dtype,
        "max_model_len": plan.max_model_len,
        "skip_tokenizer_init": True,
        "generation_config": "vllm",
        "enable_prefix_caching": True,
        "tensor_parallel_size": plan.tensor_parallel,
        "worker_extension_cls": GLOO_EXTENSION if plan.transfer == "gloo" else EXTENSION,
        "disable_log_stats": True,
    }
    if plan.device == "cpu":
        # Compiled graphs hold on to weights, and compiling takes longer than a small model gains by it.
        given |= {"enforce_eager": True, "kv_cache_memory_bytes": int(plan.kv_cache_gib * GIB), "block_size": CPU_BLOCK}
        # A prompt computed in two parts makes vLLM turn back its seeded generator, which a CPU's cannot do.
        given |= {"enable_chunked_prefill": False, "max_num_batched_tokens": max(CPU_BATCH, plan.max_model_len)}
    else:
        given |= {
            "enforce_eager": plan.enforce_eager,
            "gpu_memory_utilization": plan.memory_share,
            "enable_sleep_mode": plan.sleep,
        }
    if plan.tensor_parallel > 1:
        given["distributed_executor_backend"] = "mp"
    if plan.transfer is not None:
        given["weight_transfer_config"] = {"backend": plan.transfer}
    return given


def request_seed(seed: int, prompt: int, response: int) -> int:
    """The seed of one response: it depends on nothing but these, so batches and their order do not matter."""
    digest = hashlib.blake2b(f"{seed}:{prompt}:{response}".encode(), digest_size=8).digest()
    # vLLM stores seeds as signed 64-bit numbers.
    return int.from_bytes(digest) >> 1
