"""Tokens and floating-point operations of a step, role by role.

A token costs two operations a weight that it is multiplied with, and attention to what is before it; a backward pass
costs two forward passes, checkpointing one more. Responses are taken at the length that is expected of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from asyppo_cli.planning.architecture import Architecture
from asyppo_cli.planning.inputs import PlanInputs
from asyppo_cli.planning.roles import asks_old_policy, reads_old_policy

TERA = 1e12


@dataclass(frozen=True)
class StepWork:
    """What a role does in a step: tokens that pass through a model, and operations."""

    role: str
    tokens: float
    operations: float


@dataclass(frozen=True)
class Rates:
    """Measured speeds: operations a second of all that learns, and responses' tokens a second of all samplers."""

    operations: float | None
    sampled: float | None


def step_work(inputs: PlanInputs) -> list[StepWork]:
    """Work of every role; evaluation at the share that falls on one step."""
    critics = [critic_work(inputs, m) for m in range(inputs.config.critics.count)]
    reference = []
    if inputs.config.policy_loss.kl_coef:
        reference = [
            pass_work(inputs, "reference", inputs.policy, inputs.responses, 1.0, inputs.config.rollout.responses)
        ]
    return [sampling_work(inputs), *evaluation_work(inputs), *critics, *reference, policy_work(inputs)]


def sampling_work(inputs: PlanInputs) -> StepWork:
    """Each prompt once, then token by token."""
    rollout = inputs.config.rollout
    return drawn("sampler", inputs, rollout.prompts, rollout.responses)


def evaluation_work(inputs: PlanInputs) -> list[StepWork]:
    """The held-out problems, spread over the steps between two evaluations."""
    evaluation = inputs.config.evaluation
    if not evaluation.every:
        return []
    whole = drawn("evaluation", inputs, evaluation.problems, evaluation.samples)
    return [StepWork(whole.role, whole.tokens / evaluation.every, whole.operations / evaluation.every)]


def drawn(role: str, inputs: PlanInputs, prompts: int, n: int) -> StepWork:
    """``n`` responses to each prompt."""
    arch, read, written = inputs.policy, prompts * inputs.prompt, prompts * n * inputs.response
    attended = read * inputs.prompt / 2 + written * (inputs.prompt + inputs.response / 2)
    operations = 2.0 * arch.in_layers * (read + written) + attention(arch, attended)
    return StepWork(role, read + written, operations + 2.0 * arch.embedding * written)


def policy_work(inputs: PlanInputs) -> StepWork:
    """All passes of the policy, and that for old log-probabilities if it is taken at every step."""
    training = inputs.config.training
    passes = training.utd * passes_of_learning(inputs)
    warming_only = training.mini_batches == 1 and asks_old_policy(inputs)
    asked = asks_old_policy(inputs) and not (warming_only and not reads_old_policy(inputs.config))
    return pass_work(inputs, "policy", inputs.policy, inputs.responses, passes + asked, inputs.config.rollout.responses)


def critic_work(inputs: PlanInputs, number: int) -> StepWork:
    """A critic scores everything and learns from its share."""
    assert inputs.critic is not None
    critics = inputs.config.critics
    arch, all_of_a_prompt = inputs.critic, inputs.config.rollout.responses
    passes = critics.epochs * passes_of_learning(inputs)
    scoring = pass_work(inputs, "", arch, inputs.responses, 1.0, all_of_a_prompt, head=False)
    learning = pass_work(inputs, "", arch, inputs.critic_share, passes, inputs.critic_group, head=False)
    return StepWork(f"critic_{number}", scoring.tokens + learning.tokens, scoring.operations + learning.operations)


def passes_of_learning(inputs: PlanInputs) -> float:
    """Forward and backward in forward passes."""
    return 4.0 if inputs.config.learner.gradient_checkpointing else 3.0


def pass_work(
    inputs: PlanInputs, role: str, arch: Architecture, rows: int, passes: float, group: int, head: bool = True
) -> StepWork:
    """Forward passes over responses, ``group`` of them to each prompt, which they may share."""
    packed_responses = inputs.packed_responses(arch, group)
    row = inputs.prompt + packed_responses * inputs.response
    tokens = rows / packed_responses * row
    # With a mask all pairs of a row are computed, without one half of them.
    pairs = tokens * row if packed_responses > 1 else tokens * row / 2
    operations = 2.0 * arch.in_layers * tokens + attention(arch, pairs)
    if head:
        operations += 2.0 * arch.embedding * rows * inputs.response
    return StepWork(role, tokens * passes, operations * passes)


def attention(arch: Architecture, pairs: float) -> float:
    """Scores and sums over pairs of tokens, in all layers."""
    return 4.0 * arch.layers * arch.q * pairs


def seconds(inputs: PlanInputs, work: StepWork, rates: Rates) -> float | None:
    """How long a role takes at measured rates; None where none is known."""
    if work.role in ("sampler", "evaluation"):
        written = inputs.response / (inputs.response + inputs.prompt / inputs.config.rollout.responses)
        return None if rates.sampled is None else work.tokens * written / rates.sampled
    return None if rates.operations is None else work.operations / rates.operations
