"""The typed, frozen, documented and validated form of a whole configuration, and what must agree in it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from asyppo_cli.config.engines import ClusterConfig, LearnerConfig, SamplerConfig
from asyppo_cli.config.method import (
    AdvantageConfig,
    CriticsConfig,
    GatesConfig,
    PolicyConfig,
    PolicyLossConfig,
    RewardsConfig,
    RolloutConfig,
    TaskConfig,
    TrainingConfig,
)
from asyppo_cli.config.section import Count, NonNegative, Positive, Scalar, Section, Seed, Share, Whole
from asyppo_cli.keys import is_reference


class GradingConfig(Section):
    """The process pool that judges answers."""

    workers: Count = Field(description="Worker processes.")
    deadline: Positive = Field(description="Seconds one answer may take.")


class EvaluationConfig(Section):
    """Held-out accuracy during training."""

    every: Whole = Field(description="Steps between evaluations; 0: only before the first and after the last step.")
    problems: Count = Field(description="Held-out problems.")
    samples: Count = Field(description="Responses per problem.")
    temperature: NonNegative = Field(description="Sampling temperature of the evaluation; 0: greedy.")


class CheckpointsConfig(Section):
    """What is kept, and when."""

    every: Whole = Field(description="Steps between checkpoints; 0: only at the end.")
    keep: Count = Field(description="Newest checkpoints that are kept.")
    best_metric: str | None = Field(description="The checkpoint with the highest value of this metric is kept too.")


class RecordsConfig(Section):
    """Token records and samples for later analysis."""

    every: Whole = Field(description="Steps between token records; 0: never.")
    responses: Count = Field(description="Most responses recorded of a step.")
    samples: Whole = Field(description="Responses written as readable text every step.")
    probes: Whole = Field(
        description="Most held-out prompts answered anew at every recorded step, to follow token by token; 0: none."
    )


class LoggingConfig(Section):
    """Where metrics go besides metrics.jsonl."""

    wandb: Literal["off", "offline", "online"] = Field(description="Weights & Biases.")
    wandb_project: str = Field(description="Project of wandb runs.")
    tensorboard: bool = Field(description="Write TensorBoard event files into the run directory.")


class Config(Section):
    """A whole training run."""

    seed: Seed = Field(description="Seed of problems, sampling, splits and initial heads.")
    max_steps: Count = Field(description="Steps: one batch sampled and learnt from.")
    task: TaskConfig
    policy: PolicyConfig
    critics: CriticsConfig
    rollout: RolloutConfig
    sampler: SamplerConfig
    advantage: AdvantageConfig
    gates: GatesConfig
    policy_loss: PolicyLossConfig
    rewards: RewardsConfig
    training: TrainingConfig
    learner: LearnerConfig
    cluster: ClusterConfig
    grading: GradingConfig
    evaluation: EvaluationConfig
    checkpoints: CheckpointsConfig
    records: RecordsConfig
    logging: LoggingConfig

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        for problem in _contradictions(self):
            raise ValueError(problem)
        return self


def _contradictions(config: Config) -> list[str]:
    """Settings that are valid one by one and make no sense together, each as one line that says what to do."""
    found = []
    critics, rollout = config.critics, config.rollout
    uses_values, own = config.advantage.estimator == "gae", is_reference(config.advantage.estimator)
    if uses_values and critics.count == 0:
        found.append("advantage.estimator=gae needs critics, but critics.count is 0: set critic_count to 1 or more")
    if not uses_values and not own and critics.count > 0:
        found.append(
            f"advantage.estimator={config.advantage.estimator} uses no critic, but critics.count is {critics.count}: "
            "leave critic_count out, or choose algorithm=asyppo or ppo"
        )
    if critics.split == "by_response" and critics.count > rollout.responses:
        found.append(
            f"critics.count={critics.count} is more than rollout.responses={rollout.responses}: under "
            "critics.split=by_response every critic needs a response of each prompt"
        )
    if critics.split == "by_prompt" and critics.count > rollout.prompts:
        found.append(
            f"critics.count={critics.count} is more than rollout.prompts={rollout.prompts}: under "
            "critics.split=by_prompt every critic needs a prompt of its own"
        )
    if config.training.mini_batches > rollout.prompts * rollout.responses:
        found.append(
            f"training.mini_batches={config.training.mini_batches} is more than the "
            f"{rollout.prompts * rollout.responses} responses of a step"
        )
    if critics.mini_batches > (share := _responses_of_a_critic(critics, rollout)):
        found.append(f"critics.mini_batches={critics.mini_batches} is more than the {share} responses of each critic")
    if config.advantage.estimator not in ("gae", "reinforce_pp") and not own and rollout.responses < 2:
        found.append(
            f"advantage.estimator={config.advantage.estimator} compares the responses of a prompt: "
            "rollout.responses must be at least 2"
        )
    if not uses_values and not own and config.policy_loss.kl_coef > 0 and config.policy_loss.kl_in == "reward":
        found.append(
            f"advantage.estimator={config.advantage.estimator} has one advantage per response, which a KL per token "
            "cannot enter: set policy_loss.kl_in=loss"
        )
    if config.task.source == "jsonl" and config.task.path is None:
        found.append("task.source=jsonl needs task.path=FILE")
    if config.rewards.function is not None and config.rewards.url is not None:
        found.append("rewards.function and rewards.url both score responses: set one of them to null")
    if config.rewards.overlong_cache >= rollout.response_length:
        found.append(
            f"rewards.overlong_cache={config.rewards.overlong_cache} must be shorter than "
            f"rollout.response_length={rollout.response_length}"
        )
    return found


def _responses_of_a_critic(critics: CriticsConfig, rollout: RolloutConfig) -> int:
    """The fewest responses of a step that any critic learns from."""
    match critics.split:
        case "by_response":
            return rollout.prompts * rollout.responses // max(critics.count, 1)
        case "by_prompt":
            return rollout.prompts // max(critics.count, 1) * rollout.responses
        case _:  # shared; of a function of the user's, it is known when it is called
            return rollout.prompts * rollout.responses


class WarmstartConfig(Section):
    """Supervised training of a model on worked traces (``asyppo warmstart``)."""

    seed: Seed = Field(description="Seed of initial weights, problems and order.")
    steps: Count = Field(description="Optimizer steps.")
    batch_size: Count = Field(description="Traces per optimizer step.")
    init: Literal["pretrained", "architecture"] = Field(
        description="Continue a model's weights, or draw new ones for an architecture."
    )
    model: str = Field(description="init=pretrained: folder, hub id or embedded:NAME. Also gives the tokenizer.")
    architecture: dict[str, Scalar] = Field(description="init=architecture: arguments of the Qwen3 configuration.")
    train_tokenizer: bool = Field(description="Train a byte-level BPE tokenizer on the task's text first.")
    vocab_size: Count = Field(description="Largest size of a tokenizer that is trained.")
    phrases: list[str] = Field(description="Texts that a trained tokenizer reads as single tokens.")
    traces: str | None = Field(description="File of {problem, response} lines; null: traces worked for the task.")
    no_steps_share: Share = Field(description="Share of traces with the answer alone.")
    skipped_steps_share: Share = Field(description="Share of traces with some steps skipped.")
    wrong_line_share: Share = Field(description="Share of traces with a wrong line (the answer follows from it).")
    curriculum: list[dict[str, Scalar]] = Field(description="Task parameters over the course, in equal parts.")
    rollout: RolloutConfig
    task: TaskConfig
    learner: LearnerConfig
    grading: GradingConfig
    evaluation: EvaluationConfig
    sampler: SamplerConfig

    @model_validator(mode="after")
    def _trains_in_this_process(self) -> Self:
        if self.learner.engine != "torch":
            raise ValueError(f"learner.engine={self.learner.engine}: a warm start needs plain torch: set learner=torch")
        return self
