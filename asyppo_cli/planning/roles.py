"""Every role of a run and what one rank of it needs, phase by phase. Phases are named as in the training loop."""

from __future__ import annotations

from collections.abc import Mapping

from asyppo_cli.planning.activations import Load, cast_weights, scored, trained, vocabulary
from asyppo_cli.planning.architecture import Architecture
from asyppo_cli.planning.inputs import Scene
from asyppo_cli.planning.memory import SAVE, Bytes, Need, RoleNeed
from asyppo_cli.planning.model_state import States, frozen, states
from asyppo_cli.planning.sampling import Draw, transformers_need, vllm_on_cpu, vllm_on_gpu

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}


def role_needs(scene: Scene) -> list[RoleNeed]:
    """All roles, in the order in which a step meets them."""
    critics = [critic_need(scene, m) for m in range(scene.config.critics.count)]
    reference = [reference_need(scene)] if scene.config.policy_loss.kl_coef else []
    return [sampler_need(scene), *critics, *reference, policy_need(scene)]


def policy_need(scene: Scene) -> RoleNeed:
    """The policy in training."""
    arch, config = scene.policy, scene.config
    ranks = scene.ranks("policy")
    rows = -(-scene.responses // config.training.mini_batches // ranks)
    own = states(arch.parameters, arch.largest, scene.sharing("policy"))
    phases = {"policy": learning(scene, arch, rows, config.rollout.responses, own, head=True)}
    if asks_old_policy(scene):
        everything = scene.load(arch, -(-scene.responses // ranks), config.rollout.responses)
        phases["old_logprobs"] = scoring_phase(scene, arch, everything, head=True)
    return assembled(scene, "policy", ranks, own, phases)


def critic_need(scene: Scene, number: int) -> RoleNeed:
    """A critic in training: it scores everything, and learns from its share."""
    arch, config = scene.critic, scene.config
    assert arch is not None
    ranks = scene.ranks("critics")
    own = states(arch.parameters, arch.largest, scene.sharing("critics"))
    share = -(-scene.critic_share // config.critics.mini_batches // ranks)
    everything = scene.load(arch, -(-scene.responses // ranks), config.rollout.responses)
    phases = {
        "values": scoring_phase(scene, arch, everything, head=False),
        "critics": learning(scene, arch, share, scene.critic_group, own, head=False),
    }
    return assembled(scene, f"critic_{number}", ranks, own, phases)


def reference_need(scene: Scene) -> RoleNeed:
    """The initial policy, which is only asked."""
    arch, ranks = scene.policy, scene.ranks("policy")
    load = scene.load(arch, -(-scene.responses // ranks), scene.config.rollout.responses)
    held = frozen(arch.parameters, scene.sharing("policy")).held
    return RoleNeed("reference", ranks, Need(held, {"old_logprobs": scoring_phase(scene, arch, load, head=True)}))


def learning(scene: Scene, arch: Architecture, rows: int, group: int, own: States, head: bool) -> dict[str, float]:
    """The worst moment of learning: the end of the first forward pass, the end of the next, which meets the gradient,
    or the optimizer's step, when all activations are gone.
    """
    first, second = (training_pass(scene, arch, load, own, head) for load in scene.loads(arch, rows, group))
    moments = (first, {**second, "gradients": own.learning.get("gradients", 0.0)}, dict(own.learning))
    return max(moments, key=lambda moment: sum(moment.values()))


def training_pass(scene: Scene, arch: Architecture, load: Load, own: States, head: bool) -> dict[str, float]:
    """A micro-batch at the end of its forward pass; nothing of one without rows."""
    if not load.tokens:
        return {}
    checkpointing = scene.config.learner.gradient_checkpointing
    return {
        "activations": trained(arch, load, scene.precision, checkpointing, scene.on_gpu),
        "vocabulary": vocabulary(arch, load, scene.on_gpu) if head else 0.0,
        "buffers": own.learning.get("buffers", 0.0) + cast_weights(arch, scene.precision),
    }


def scoring_phase(scene: Scene, arch: Architecture, load: Load, head: bool) -> dict[str, float]:
    """A micro-batch without gradient."""
    return {
        "activations": scored(arch, load, scene.precision),
        "vocabulary": vocabulary(arch, load, scene.on_gpu) if head else 0.0,
        "buffers": cast_weights(arch, scene.precision),
    }


def assembled(scene: Scene, role: str, ranks: int, own: States, phases: Mapping[str, Bytes]) -> RoleNeed:
    """A learner: on a GPU checkpoints and what is offloaded are the machine's affair, on cores all is."""
    if scene.on_gpu:
        return RoleNeed(role, ranks, Need(own.device, phases), Need(own.host, {SAVE: own.saving}))
    kinds = own.device.keys() | own.host.keys()
    held = {kind: own.device.get(kind, 0.0) + own.host.get(kind, 0.0) for kind in kinds}
    return RoleNeed(role, ranks, Need(held, {**phases, SAVE: own.saving}))


def asks_old_policy(scene: Scene) -> bool:
    """Whether some step takes a pass of its own for the old policy's log-probabilities."""
    config = scene.config
    signals = {config.gates.mask_signal, config.gates.entropy_filter_signal}
    warming = config.critics.count > 0 and config.critics.warmup_steps > 0
    in_reward = config.policy_loss.kl_coef > 0 and config.policy_loss.kl_in == "reward"
    return config.training.mini_batches > 1 or "entropy" in signals or warming or in_reward


def sampler_need(scene: Scene) -> RoleNeed:
    """Whoever writes the responses, of training and of evaluation."""
    config, arch = scene.config, scene.policy
    ranks = scene.ranks("sampler")
    if scene.sampler == "transformers":
        return RoleNeed("sampler", ranks, transformers_need(arch, draws(scene)))
    settings = config.sampler.vllm
    if scene.on_gpu:
        need = vllm_on_gpu(scene.machine.gpu_memory, settings.memory_share, settings.sleep)
        # What sleeps waits in the machine's memory.
        return RoleNeed("sampler", ranks, need, Need({"weights": 2.0 * arch.parameters} if settings.sleep else {}))
    dtype = config.learner.dtype if settings.dtype == "auto" else settings.dtype
    return RoleNeed("sampler", ranks, vllm_on_cpu(arch, settings.kv_cache_gib, BYTES[dtype], scene.longest))


def draws(scene: Scene) -> dict[str, Draw]:
    """The largest draw of the transformers sampler in training, and in evaluation."""
    config = scene.config
    evaluation, rollout = config.evaluation, config.rollout
    found = {}
    for phase, prompts, n in (
        ("sample", rollout.prompts, rollout.responses),
        ("evaluate", evaluation.problems, evaluation.samples),
    ):
        at_once = min(prompts, max(1, config.sampler.batch_size // n))
        found[phase] = Draw(at_once * n, at_once, scene.prompt, scene.response)
    return found
