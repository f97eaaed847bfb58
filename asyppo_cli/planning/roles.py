"""Every role of a run and what one rank of it needs, phase by phase. Phases are named as in the training loop."""

from __future__ import annotations

from collections.abc import Mapping

from asyppo_cli.config.schema import Config
from asyppo_cli.keys import is_reference
from asyppo_cli.planning.activations import (
    BatchShape,
    cast_weights,
    inference_activations,
    training_activations,
    vocabulary,
)
from asyppo_cli.planning.architecture import Architecture
from asyppo_cli.planning.inputs import PlanInputs
from asyppo_cli.planning.memory import SAVE, Bytes, MemoryUse, RoleMemory
from asyppo_cli.planning.model_state import ModelState, model_state, reference_state
from asyppo_cli.planning.sampling import SamplingShape, transformers_memory, vllm_on_cpu, vllm_on_gpu

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}


def role_memory(inputs: PlanInputs) -> list[RoleMemory]:
    """All roles, in the order in which a step meets them."""
    critics = [critic_memory(inputs, m) for m in range(inputs.config.critics.count)]
    reference = [reference_memory(inputs)] if inputs.config.policy_loss.kl_coef else []
    return [sampler_memory(inputs), *critics, *reference, policy_memory(inputs)]


def policy_memory(inputs: PlanInputs) -> RoleMemory:
    """The policy in training."""
    arch, config = inputs.policy, inputs.config
    ranks = inputs.ranks("policy")
    rows = -(-inputs.responses // config.training.mini_batches // ranks)
    own = model_state(arch.parameters, arch.largest, inputs.sharding("policy"))
    phases = {"policy": learning(inputs, arch, rows, config.rollout.responses, own, head=True)}
    if asks_old_policy(inputs):
        everything = inputs.largest_batch(arch, -(-inputs.responses // ranks), config.rollout.responses)
        phases["old_logprobs"] = scoring_phase(inputs, arch, everything, head=True)
    return assembled(inputs, "policy", ranks, own, phases)


def critic_memory(inputs: PlanInputs, number: int) -> RoleMemory:
    """A critic in training: it scores everything, and learns from its share."""
    arch, config = inputs.critic, inputs.config
    assert arch is not None
    ranks = inputs.ranks("critics")
    own = model_state(arch.parameters, arch.largest, inputs.sharding("critics"))
    share = -(-inputs.critic_share // config.critics.mini_batches // ranks)
    everything = inputs.largest_batch(arch, -(-inputs.responses // ranks), config.rollout.responses)
    phases = {
        "values": scoring_phase(inputs, arch, everything, head=False),
        "critics": learning(inputs, arch, share, inputs.critic_group, own, head=False),
    }
    return assembled(inputs, f"critic_{number}", ranks, own, phases)


def reference_memory(inputs: PlanInputs) -> RoleMemory:
    """The initial policy, which is only asked."""
    arch, ranks = inputs.policy, inputs.ranks("policy")
    load = inputs.largest_batch(arch, -(-inputs.responses // ranks), inputs.config.rollout.responses)
    held = reference_state(arch.parameters, inputs.sharding("policy")).held
    return RoleMemory(
        "reference", ranks, MemoryUse(held, {"old_logprobs": scoring_phase(inputs, arch, load, head=True)})
    )


def learning(
    inputs: PlanInputs, arch: Architecture, rows: int, group: int, own: ModelState, head: bool
) -> dict[str, float]:
    """The worst moment of learning: the end of the first forward pass, the end of the next, which meets the gradient,
    or the optimizer's step, when all activations are gone.
    """
    first, second = (training_pass(inputs, arch, load, own, head) for load in inputs.batch_shapes(arch, rows, group))
    moments = (first, {**second, "gradients": own.learning.get("gradients", 0.0)}, dict(own.learning))
    return max(moments, key=lambda moment: sum(moment.values()))


def training_pass(
    inputs: PlanInputs, arch: Architecture, load: BatchShape, own: ModelState, head: bool
) -> dict[str, float]:
    """A micro-batch at the end of its forward pass; nothing of one without rows."""
    if not load.tokens:
        return {}
    checkpointing = inputs.config.learner.gradient_checkpointing
    return {
        "activations": training_activations(arch, load, inputs.precision, checkpointing, inputs.on_gpu),
        "vocabulary": vocabulary(arch, load, inputs.on_gpu) if head else 0.0,
        "buffers": own.learning.get("buffers", 0.0) + cast_weights(arch, inputs.precision),
    }


def scoring_phase(inputs: PlanInputs, arch: Architecture, load: BatchShape, head: bool) -> dict[str, float]:
    """A micro-batch without gradient."""
    return {
        "activations": inference_activations(arch, load, inputs.precision),
        "vocabulary": vocabulary(arch, load, inputs.on_gpu) if head else 0.0,
        "buffers": cast_weights(arch, inputs.precision),
    }


def assembled(inputs: PlanInputs, role: str, ranks: int, own: ModelState, phases: Mapping[str, Bytes]) -> RoleMemory:
    """A learner: on a GPU checkpoints and what is offloaded are the machine's affair, on cores all is."""
    if inputs.on_gpu:
        return RoleMemory(role, ranks, MemoryUse(own.device, phases), MemoryUse(own.host, {SAVE: own.saving}))
    kinds = own.device.keys() | own.host.keys()
    held = {kind: own.device.get(kind, 0.0) + own.host.get(kind, 0.0) for kind in kinds}
    return RoleMemory(role, ranks, MemoryUse(held, {**phases, SAVE: own.saving}))


def reads_old_policy(config: Config) -> bool:
    """Whether a signal or an estimator reads the policy's entropies, as functions of the user's may."""
    signals = (config.gates.mask_signal, config.gates.entropy_filter_signal)
    return "entropy" in signals or any(map(is_reference, (*signals, config.advantage.estimator)))


def asks_old_policy(inputs: PlanInputs) -> bool:
    """Whether some step takes a pass of its own for the old policy's log-probabilities."""
    config = inputs.config
    warming = config.critics.count > 0 and config.critics.warmup_steps > 0
    in_reward = config.policy_loss.kl_coef > 0 and config.policy_loss.kl_in == "reward"
    return config.training.mini_batches > 1 or reads_old_policy(config) or warming or in_reward


def sampler_memory(inputs: PlanInputs) -> RoleMemory:
    """Whoever writes the responses, of training and of evaluation."""
    config, arch = inputs.config, inputs.policy
    ranks = inputs.ranks("sampler")
    if inputs.sampler == "transformers":
        return RoleMemory("sampler", ranks, transformers_memory(arch, sampling_shapes(inputs)))
    settings = config.sampler.vllm
    if inputs.on_gpu:
        use = vllm_on_gpu(inputs.machine.gpu_memory, settings.memory_share, settings.sleep)
        # What sleeps waits in the machine's memory.
        return RoleMemory(
            "sampler", ranks, use, MemoryUse({"weights": 2.0 * arch.parameters} if settings.sleep else {})
        )
    dtype = config.learner.dtype if settings.dtype == "auto" else settings.dtype
    return RoleMemory("sampler", ranks, vllm_on_cpu(arch, settings.kv_cache_gib, BYTES[dtype], inputs.longest))


def sampling_shapes(inputs: PlanInputs) -> dict[str, SamplingShape]:
    """The largest draw of the transformers sampler in training, and in evaluation."""
    config = inputs.config
    evaluation, rollout = config.evaluation, config.rollout
    found = {}
    for phase, prompts, n in (
        ("sample", rollout.prompts, rollout.responses),
        ("evaluate", evaluation.problems, evaluation.samples),
    ):
        at_once = min(prompts, max(1, config.sampler.batch_size // n))
        found[phase] = SamplingShape(at_once * n, at_once, inputs.prompt, inputs.response)
    return found
