"""The typed, frozen, documented and validated form of a configuration.

YAML (in ``conf/``) holds every value; this module holds types, meaning and rules, and no default. A component is
given its own section, never the whole; a function of ``algorithm/`` is given plain numbers.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Text = Annotated[str, Field(min_length=1)]
Scalar = bool | int | float | str | None


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys, no silent conversion of strings, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class TaskConfig(Section):
    """Where problems come from and how an answer is judged."""

    source: Literal["reasoning_gym", "jsonl"] = Field(description="Procedural task, or a file of problems.")
    name: Text = Field(description="reasoning-gym dataset name, or a label for the file.")
    path: str | None = Field(description="source=jsonl: file of {id, problem, answer} lines.")
    heldout_path: str | None = Field(description="source=jsonl: held-out file; null holds back the file's last lines.")
    params: dict[str, Scalar] = Field(description="reasoning-gym arguments (difficulty).")
    size: Count = Field(description="Number of training problems in an epoch; a file is cut to it.")
    system_prompt: str = Field(description="System message in front of every problem.")


class PolicyConfig(Section):
    """The model that is trained to reason."""

    model: Text = Field(description="Folder, Hugging Face hub id, or embedded:NAME for a model in the package.")
    revision: str | None = Field(description="Revision of a hub model; null takes the newest.")


class CriticsConfig(Section):
    """The value models: how many, how large, what each learns from."""

    count: Whole = Field(description="Number of critics M; 0 for critic-free methods.")
    model: str | None = Field(description="Model the critics start from; null: the policy's own first layers.")
    depth: Annotated[float, Field(gt=0.0, le=1.0)] = Field(description="Share of the model's layers it keeps.")
    split: Literal["by_response", "shared", "by_prompt"] = Field(
        description="Which responses each critic learns from: disjoint ones of every prompt, all, those of its prompts."
    )
    aggregation: Literal["mean", "min", "max", "median"] = Field(description="How M values become one.")
    epochs: Count = Field(description="Passes of each critic over its share of every batch.")
    mini_batches: Count = Field(description="Optimizer steps of each critic per pass.")
    warmup_steps: Whole = Field(description="First steps in which only the critics learn.")
    value_clip: Positive | None = Field(description="Range of the clipped value loss; null: not clipped.")


class RolloutConfig(Section):
    """How much is sampled per step."""

    prompts: Count = Field(description="Prompts per step.")
    responses: Count = Field(description="Responses per prompt G.")
    prompt_length: Count = Field(description="Most tokens in a prompt.")
    response_length: Count = Field(description="Most tokens in a response.")


class SamplerConfig(Section):
    """The engine that generates, and how it draws tokens."""

    engine: Literal["transformers"] = Field(description="Sampling engine.")
    temperature: Positive = Field(description="Divides the logits, in sampling and in training alike.")
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = Field(description="Nucleus: smallest set with this probability.")
    top_k: Whole = Field(description="Only the k most probable tokens; 0: all.")
    batch_size: Count = Field(description="Most responses generated at once.")


class AdvantageConfig(Section):
    """From rewards and values to advantages and value targets."""

    estimator: Literal["gae", "grpo", "dr_grpo", "rloo", "reinforce_pp", "reinforce_pp_baseline", "lite_ppo"] = Field(
        description="gae uses the critics; all others compare responses with each other."
    )
    gamma: Share = Field(description="Discount per token.")
    lambd: Share = Field(description="GAE lambda of the policy's advantage.")
    critic_lambd: Share | None = Field(description="GAE lambda of the critics' targets; null: the policy's.")
    length_adaptive_alpha: Positive | None = Field(
        description="lambda = 1 - 1/(alpha * length) for the policy's advantage, per response; null: lambd."
    )
    whiten: bool = Field(description="Standardise advantages over the batch, before masking.")
    values: Literal["before", "after"] = Field(description="Values from before or after this step's critic update.")


class GatesConfig(Section):
    """The advantage mask I^A and the entropy filter I^H."""

    mask_pct: Share = Field(description="Share k of tokens whose advantage is masked: where critics agree most.")
    entropy_filter_pct: Share = Field(description="Share h of tokens without entropy bonus: where they differ most.")
    mask_signal: Literal["value_std", "entropy", "random", "none"] = Field(
        description="What ranks tokens for the mask."
    )
    entropy_filter_signal: Literal["value_std", "entropy", "random", "none"] = Field(
        description="What ranks tokens for the filter."
    )
    scope: Literal["batch", "mini_batch", "response"] = Field(description="Over which tokens the shares are counted.")

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.mask_pct + self.entropy_filter_pct > 1.0:
            raise ValueError(
                f"mask_pct + entropy_filter_pct must be at most 1, but {self.mask_pct} + {self.entropy_filter_pct} is "
                f"{self.mask_pct + self.entropy_filter_pct:g}: lower one of them"
            )
        return self


class PolicyLossConfig(Section):
    """The policy's objective."""

    clip_low: NonNegative = Field(description="Ratio is clipped below 1 - clip_low.")
    clip_high: NonNegative = Field(description="Ratio is clipped above 1 + clip_high.")
    dual_clip: Annotated[float, Field(gt=1.0)] | None = Field(
        description="Bound c on the loss of negative advantages, in units of |A|; null: none."
    )
    ratio: Literal["token", "sequence"] = Field(description="Importance ratio per token, or one per response (GSPO).")
    aggregation: Literal["response_mean", "token_mean", "constant"] = Field(
        description="Mean per response then over responses; over all tokens; or sum over a constant length."
    )
    entropy_coef: NonNegative = Field(description="Weight beta of the entropy bonus.")
    nll_coef: NonNegative = Field(description="Weight of the negative log-likelihood of correct responses (VAPO).")
    kl_coef: NonNegative = Field(description="Weight of the KL divergence from the initial policy; 0: no reference.")
    kl_form: Literal["k1", "k2", "k3"] = Field(description="Estimator of that KL divergence.")
    kl_in: Literal["loss", "reward"] = Field(description="Add the KL to the loss, or subtract it from the rewards.")


class RewardsConfig(Section):
    """What becomes of graded responses before advantages are computed."""

    truncated: Literal["keep", "mask"] = Field(
        description="Responses cut by the length limit: keep as graded, or leave out of the policy's loss."
    )
    overlong_cache: Whole = Field(
        description="Length before the limit over which a soft penalty grows; 0: none (DAPO)."
    )
    drop_uniform_groups: bool = Field(description="Drop and resample groups whose rewards are all equal (DAPO).")
    max_resamples: Count = Field(description="Most sampling rounds of a step when groups are dropped.")


class TrainingConfig(Section):
    """How often the policy learns from each batch."""

    utd: Count = Field(description="Update-to-data ratio: passes of the policy over every batch (ppo_epochs).")
    mini_batches: Count = Field(description="Optimizer steps of the policy per pass.")


class OptimizerConfig(Section):
    """AdamW and its schedule."""

    lr: Positive = Field(description="Peak learning rate.")
    weight_decay: NonNegative = Field(description="Decoupled weight decay.")
    beta1: Decay = Field(description="Decay of the first moment.")
    beta2: Decay = Field(description="Decay of the second moment.")
    warmup_steps: Whole = Field(description="Optimizer steps of linear warm-up.")
    schedule: Literal["constant", "linear", "cosine"] = Field(description="Course of the rate after warm-up.")
    max_grad_norm: Positive = Field(description="Gradients are scaled down to this norm.")


class LearnerConfig(Section):
    """The engine that trains, its precision, and both optimizers."""

    engine: Literal["torch"] = Field(description="Training engine.")
    device: Literal["auto", "cpu", "cuda"] = Field(description="auto: cuda where there is one.")
    threads: Whole = Field(description="CPU threads; 0: all cores this process may use.")
    dtype: Literal["float32", "bfloat16"] = Field(description="Compute precision; master weights are float32.")
    micro_batch_tokens: Count = Field(description="Most tokens, padding included, in one forward and backward.")
    gradient_checkpointing: bool = Field(description="Recompute activations in the backward pass to save memory.")
    policy: OptimizerConfig = Field(description="Optimizer of the policy.")
    critics: OptimizerConfig = Field(description="Optimizer of each critic.")


class GradingConfig(Section):
    """The process pool that judges answers."""

    workers: Count = Field(description="Worker processes.")
    deadline: Positive = Field(description="Seconds one answer may take.")


class EvaluationConfig(Section):
    """Held-out accuracy during training."""

    every: Whole = Field(description="Steps between evaluations; 0: only before the first and after the last step.")
    problems: Count = Field(description="Held-out problems.")
    samples: Count = Field(description="Responses per problem.")
    temperature: Positive = Field(description="Sampling temperature of the evaluation.")


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
    uses_values = config.advantage.estimator == "gae"
    if uses_values and critics.count == 0:
        found.append("advantage.estimator=gae needs critics, but critics.count is 0: set critic_count to 1 or more")
    if not uses_values and critics.count > 0:
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
    if config.advantage.estimator not in ("gae", "reinforce_pp") and rollout.responses < 2:
        found.append(
            f"advantage.estimator={config.advantage.estimator} compares the responses of a prompt: "
            "rollout.responses must be at least 2"
        )
    if not uses_values and config.policy_loss.kl_coef > 0 and config.policy_loss.kl_in == "reward":
        found.append(
            f"advantage.estimator={config.advantage.estimator} has one advantage per response, which a KL per token "
            "cannot enter: set policy_loss.kl_in=loss"
        )
    if config.task.source == "jsonl" and config.task.path is None:
        found.append("task.source=jsonl needs task.path=FILE")
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
        case "shared":
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
