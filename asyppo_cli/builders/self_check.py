"""Whether a configuration can run here, asked in a process of its own: ``python -m asyppo_cli.builders.self_check``.

It is given {config, what} as JSON on stdin, and tells what it found. ``what``: ``check`` looks at all that a run checks
before it loads weights, ``vllm`` starts vLLM and samples a token, ``ray`` starts or joins a cluster and leaves it,
``deepspeed`` takes one step.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch

from asyppo_cli.builders.architecture import read_architecture
from asyppo_cli.builders.device import pick_device, set_threads
from asyppo_cli.builders.learners import learner_settings
from asyppo_cli.builders.loop import load_inputs
from asyppo_cli.builders.plan import Planned, check_gpus, machine_for
from asyppo_cli.builders.roles import check_placement, rehearse_placement
from asyppo_cli.builders.samplers import build_sampler, check_sampler, pick_engine, sampling_params
from asyppo_cli.config.schema import Config
from asyppo_cli.doctor.imports import what_is_there
from asyppo_cli.doctor.probe import given, tell
from asyppo_cli.engines.deepspeed.engine import load_deepspeed
from asyppo_cli.engines.hf.resolve import EMBEDDED
from asyppo_cli.engines.hf.tokenizer import load_tokenizer
from asyppo_cli.engines.weight_sync.shared_memory import CHUNK_BYTES
from asyppo_cli.planning.activations import FULL

# Of the embedded models the one whose attention vLLM's kernels for CPUs know.
SERVABLE = "embedded:critic"
ROUNDS = 7
FEWER = "change its ranks or first_gpu, or join a larger cluster (cluster.address)"


def check(config: Config) -> dict[str, Any]:
    """Every mistake that is found without weights, and what the other checks want to know."""
    # Two checks may say the same.
    found = list(dict.fromkeys(error for error in map(refusal, independent_checks(config)) if error))
    if not found:
        found = [error for error in [refusal(lambda: load_inputs(config))] if error]
    engine = None if found else pick_engine(config.sampler.engine, config.policy.model, config.policy.revision)
    sent = 0 if found else sent_at_a_time(config, engine)
    on_cores = not found and config.learner.dtype == "bfloat16" and pick_device(config.learner).type == "cpu"
    return {
        "faults": found,
        "sampler": engine,
        "sent": sent,
        "bfloat16_speed": bfloat16_speed() if on_cores else None,
        "libraries": what_is_there(),
    }


def sent_at_a_time(config: Config, engine: str | None) -> int:
    """Bytes of the policy's weights that are in shared memory at a time, on their way to the sampler."""
    arch = read_architecture(config.policy.model, config.policy.revision, "policy.model")
    if config.cluster.kind == "ray":
        return FULL * arch.parameters
    return min(FULL * arch.parameters, max(CHUNK_BYTES, FULL * arch.largest)) if engine == "vllm" else 0


def bfloat16_speed() -> float:
    """How many times as fast as in float32 these cores multiply matrices of a small model in bfloat16.

    Cores without matrix units may take twice the time, those with them half or a tenth. The fastest of some rounds,
    in turns, since others may compute too.
    """

    def seconds(pair: tuple[torch.Tensor, torch.Tensor]) -> float:
        start = perf_counter()
        torch.nn.functional.linear(*pair)
        return perf_counter() - start

    full = (torch.ones(512, 576), torch.ones(1536, 576))
    low = (full[0].bfloat16(), full[1].bfloat16())
    times = [(seconds(full), seconds(low)) for _ in range(ROUNDS)]
    return min(slow for slow, _ in times) / min(quick for _, quick in times)


def independent_checks(config: Config) -> list[Callable[[], Any]]:
    """Checks of which one may fail without the others."""
    local = config.cluster.kind == "local"
    return [
        lambda: check_placement(config),
        lambda: check_sampler(config),
        lambda: pick_device(config.learner) if local else None,
        lambda: set_threads(config.learner),
        # A cluster that is joined may have GPUs elsewhere.
        lambda: (
            check_gpus(config, machine_for(config, Planned(None, None, None, None)), FEWER)
            if config.cluster.address is None
            else None
        ),
    ]


def refusal(look: Callable[[], Any]) -> str | None:
    """What a check says is wrong; None if nothing."""
    try:
        look()
    except ValueError as error:
        return " ".join(str(error).split())
    return None


def start_vllm(config: Config) -> dict[str, Any]:
    """Start vLLM as the run would, sample one token, end it."""
    if config.policy.model.startswith(EMBEDDED):
        config = config.model_copy(update={"policy": config.policy.model_copy(update={"model": SERVABLE})})
    config = config.model_copy(update={"sampler": config.sampler.model_copy(update={"engine": "vllm"})})
    tokenizer = load_tokenizer(config.policy.model, config.policy.revision, "policy.model")
    sampler = build_sampler(config, tokenizer)
    try:
        drawn = sampler.sample([[tokenizer.eos_token_id]], 1, sampling_params(config.sampler, 1, 1.0, 0))
    finally:
        sampler.close()
    return {"model": config.policy.model, "tokens": len(drawn[0][0].tokens)}


def join_ray(config: Config) -> dict[str, Any]:
    """Start or join a cluster, see whether the roles fit, and leave."""
    from asyppo_cli.engines.ray.cluster import connected

    if config.cluster.kind == "ray":
        rehearse_placement(config)
        return {"address": config.cluster.address}
    with connected(config.cluster.address) as resources:
        return {"cores": resources.get("CPU", 0), "gpus": resources.get("GPU", 0)}


def step_deepspeed(config: Config) -> dict[str, Any]:
    """One optimizer step of a small layer under the configured stage and offload: whatever DeepSpeed needs for it."""
    from asyppo_cli.engines.deepspeed.engine import engine_settings, start_engine
    from asyppo_cli.engines.distributed import init_single_rank

    settings = learner_settings(config.learner)
    device = settings["device"]
    deepspeed = load_deepspeed(device)
    init_single_rank(device)
    layer = torch.nn.Linear(8, 8)
    zero = config.learner.deepspeed
    options = engine_settings(zero.stage, zero.offload, settings["dtype"], 1.0, 72)
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    engine = start_engine(deepspeed, layer, optimizer, options, device)
    dtype = next(layer.parameters()).dtype
    engine.backward(engine(torch.ones(2, 8, device=device, dtype=dtype)).sum())
    engine.step()
    return {"stage": zero.stage, "device": str(device)}


WHAT: dict[str, Callable[[Config], dict[str, Any]]] = {
    "check": check,
    "vllm": start_vllm,
    "ray": join_ray,
    "deepspeed": step_deepspeed,
}


def main() -> None:
    """Answer one question."""
    asked = given()
    config = Config.model_validate(asked["config"])
    try:
        answer = WHAT[asked["what"]](config)
    except (ValueError, RuntimeError, OSError) as error:
        answer = {"error": " ".join(str(error).split()) or type(error).__name__}
    tell(answer)


if __name__ == "__main__":
    main()
