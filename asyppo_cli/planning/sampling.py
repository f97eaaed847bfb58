"""What sampling needs: a copy of the policy, keys and values of what is being written, and one distribution a row."""

from __future__ import annotations

from dataclasses import dataclass

from asyppo_cli.planning.activations import FULL, kv_cache, sampling_logits
from asyppo_cli.planning.architecture import Architecture
from asyppo_cli.planning.memory import MemoryUse

GIB = 2**30
# Tokens of the pass that vLLM profiles on a CPU.
CPU_BATCH = 4096


@dataclass(frozen=True)
class SamplingShape:
    """Responses written at the same time: ``rows`` to ``prompts`` prompts of ``prompt`` tokens, ``response`` each."""

    rows: int
    prompts: int
    prompt: int
    response: int


def capacity(prompt: int, response: int) -> int:
    """Tokens a row of the growing cache has room for at the end: it grows by half whenever it is full."""
    room = prompt
    while room < prompt + response - 1:
        room = max(room + 33, room * 3 // 2)
    return room


def drawing(arch: Architecture, draw: SamplingShape) -> dict[str, float]:
    """What one draw of the transformers sampler adds, in float32."""
    length = draw.prompt + draw.response
    # Padding on the left needs a mask, and with one attention repeats keys and values for every query head, in a layer.
    repeated = 2 * draw.rows * length * arch.q * FULL
    return {
        "cache": kv_cache(arch, draw.rows * capacity(draw.prompt, draw.response), FULL),
        "activations": float(repeated),
        "vocabulary": sampling_logits(arch, draw.rows),
    }


def transformers_memory(arch: Architecture, sampling_shapes: dict[str, SamplingShape]) -> MemoryUse:
    """A float32 copy of the policy, and a draw in each of the phases."""
    weights = {"weights": float(FULL * arch.parameters)}
    return MemoryUse(weights, {phase: drawing(arch, draw) for phase, draw in sampling_shapes.items()})


def vllm_on_gpu(memory: float, share: float, sleeps: bool) -> MemoryUse:
    """A GPU with vLLM, which takes its share of the GPU as a whole, and gives it back between draws if it may sleep."""
    taken = {"cache": memory * share}
    return MemoryUse({}, {"sample": taken}) if sleeps else MemoryUse(taken)


def vllm_on_cpu(arch: Architecture, kv_cache_gib: float, bytes_each: int, longest: int) -> MemoryUse:
    """On cores: vLLM's copy of the weights, its cache, and its largest pass."""
    tokens = max(CPU_BATCH, longest)
    width = 3 * arch.intermediate + 2 * arch.hidden + arch.q + 2 * arch.kv
    held = {"weights": float(bytes_each * arch.parameters), "cache": kv_cache_gib * GIB}
    return MemoryUse(held, {"sample": {"activations": float(tokens * width * bytes_each)}})
