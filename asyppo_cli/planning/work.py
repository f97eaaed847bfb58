"""Tokens and floating-point operations of a step, role by role.

A token costs two operations a weight that it is multiplied with, and attention to what is before it; a backward pass
costs two forward passes, checkpointing one more. Responses are taken at the length that is expected of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from asyppo_cli.planning.architecture import Architecture
from asyppo_cli.planning.inputs import Scene
from asyppo_cli.planning.roles import asks_old_policy

TERA = 1e12


@dataclass(frozen=True)
class Work:
    """What a role does in a step: tokens that pass through a model, and operations."""

    role: str
    tokens: float
    operations: float


@dataclass(frozen=True)
class Rates:
    """Measured speeds: operations a second of all that learns, and responses' tokens a second of all samplers."""

    operations: float | None
    sampled: float | None


def step_work(scene: Scene) -> list[Work]:
    """Work of every role; evaluation at the share that falls on one step."""
    critics = [critic_work(scene, m) for m in range(scene.config.critics.count)]
    reference = []
    if scene.config.policy_loss.kl_coef:
        reference = [pass_work(scene, "reference", scene.policy, scene.responses, 1.0, scene.config.rollout.responses)]
    return [sampling_work(scene), *evaluation_work(scene), *critics, *reference, policy_work(scene)]


def sampling_work(scene: Scene) -> Work:
    """Each prompt once, then token by token."""
    rollout = scene.config.rollout
    return drawn("sampler", scene, rollout.prompts, rollout.responses)


def evaluation_work(scene: Scene) -> list[Work]:
    """The held-out problems, spread over the steps between two evaluations."""
    evaluation = scene.config.evaluation
    if not evaluation.every:
        return []
    whole = drawn("evaluation", scene, evaluation.problems, evaluation.samples)
    return [Work(whole.role, whole.tokens / evaluation.every, whole.operations / evaluation.every)]


def drawn(role: str, scene: Scene, prompts: int, n: int) -> Work:
    """``n`` responses to each of so many prompts."""
    arch, read, written = scene.policy, prompts * scene.prompt, prompts * n * scene.response
    attended = read * scene.prompt / 2 + written * (scene.prompt + scene.response / 2)
    operations = 2.0 * arch.in_layers * (read + written) + attention(arch, attended)
    return Work(role, read + written, operations + 2.0 * arch.embedding * written)


def policy_work(scene: Scene) -> Work:
    """All passes of the policy, and that for old log-probabilities if it is taken at every step."""
    training = scene.config.training
    passes = training.utd * passes_of_learning(scene)
    warming_only = training.mini_batches == 1 and asks_old_policy(scene)
    signals = {scene.config.gates.mask_signal, scene.config.gates.entropy_filter_signal}
    asked = asks_old_policy(scene) and not (warming_only and "entropy" not in signals)
    return pass_work(scene, "policy", scene.policy, scene.responses, passes + asked, scene.config.rollout.responses)


def critic_work(scene: Scene, number: int) -> Work:
    """A critic scores everything and learns from its share."""
    assert scene.critic is not None
    critics = scene.config.critics
    arch, all_of_a_prompt = scene.critic, scene.config.rollout.responses
    passes = critics.epochs * passes_of_learning(scene)
    scoring = pass_work(scene, "", arch, scene.responses, 1.0, all_of_a_prompt, head=False)
    learning = pass_work(scene, "", arch, scene.critic_share, passes, scene.critic_group, head=False)
    return Work(f"critic_{number}", scoring.tokens + learning.tokens, scoring.operations + learning.operations)


def passes_of_learning(scene: Scene) -> float:
    """Forward and backward in forward passes."""
    return 4.0 if scene.config.learner.gradient_checkpointing else 3.0


def pass_work(
    scene: Scene, role: str, arch: Architecture, rows: int, passes: float, group: int, head: bool = True
) -> Work:
    """So many forward passes over so many responses, ``group`` of them to each prompt, which they may share."""
    together = scene.together(arch, group)
    row = scene.prompt + together * scene.response
    tokens = rows / together * row
    # With a mask all pairs of a row are computed, without one half of them.
    pairs = tokens * row if together > 1 else tokens * row / 2
    operations = 2.0 * arch.in_layers * tokens + attention(arch, pairs)
    if head:
        operations += 2.0 * arch.embedding * rows * scene.response
    return Work(role, tokens * passes, operations * passes)


def attention(arch: Architecture, pairs: float) -> float:
    """Scores and sums over so many pairs of tokens, in all layers."""
    return 4.0 * arch.layers * arch.q * pairs


def seconds(scene: Scene, work: Work, rates: Rates) -> float | None:
    """How long a role takes at measured rates; None where none is known."""
    if work.role in ("sampler", "evaluation"):
        written = scene.response / (scene.response + scene.prompt / scene.config.rollout.responses)
        return None if rates.sampled is None else work.tokens * written / rates.sampled
    return None if rates.operations is None else work.operations / rates.operations
