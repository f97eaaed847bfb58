"""The sections that say what is learnt, and how: task, models, rollout, advantages, gates, losses."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from asyppo_cli.config.section import Count, NonNegative, Positive, Reference, Scalar, Section, Share, Text, Whole


class ColumnsConfig(Section):
    """Columns of files and data sets, where they are not the usual ones; a dot leads into an object (a.b)."""

    problem: Text | None = Field(description="The question; null: problem, question or prompt.")
    answer: Text | None = Field(description="The gold answer; null: answer, final_answer, gold, ... in this order.")
    id: Text | None = Field(description="The name of a problem; null: id or unique_id, else file and row.")
    difficulty: Text | None = Field(description="A number to draw by; null: difficulty.")


class TaskConfig(Section):
    """Where problems come from and how an answer is judged."""

    source: Literal["reasoning_gym", "jsonl", "hub"] = Field(
        description="Procedural task, a file of problems, or a data set of the Hugging Face hub."
    )
    name: Text = Field(description="reasoning-gym dataset name, a label for the file, or the data set's hub id.")
    path: str | None = Field(
        description="source=jsonl: JSONL, CSV or Parquet file; source=hub: a copy to read instead of the hub."
    )
    heldout_path: str | None = Field(
        description="Files and hub: held-out file; null holds back a file's last lines, or the first of a draw."
    )
    columns: ColumnsConfig
    params: dict[str, Scalar] = Field(
        description="reasoning-gym arguments; files and hub: draw (in_order, by_difficulty), and the hub's revision."
    )
    overlong: Literal["drop", "error"] = Field(
        description="Problems with more than rollout.prompt_length tokens: leave them out, or refuse to start."
    )
    size: Count = Field(description="Number of training problems in an epoch; a file is cut to it, or drawn from.")
    system_prompt: str = Field(description="System message in front of every problem; empty: none, or the model's own.")


class PolicyConfig(Section):
    """The model that is trained to reason."""

    model: Text = Field(description="Folder, Hugging Face hub id, or embedded:NAME for a model in the package.")
    revision: str | None = Field(description="Revision of a hub model; null takes the newest.")


class CriticsConfig(Section):
    """The value models: how many, how large, what each learns from."""

    count: Whole = Field(description="Number of critics M; 0 for critic-free methods.")
    model: str | None = Field(description="Model the critics start from; null: the policy's own first layers.")
    depth: Annotated[float, Field(gt=0.0, le=1.0)] = Field(description="Share of the model's layers it keeps.")
    split: Literal["by_response", "shared", "by_prompt"] | Reference = Field(
        description="Which responses each critic learns from: disjoint ones of every prompt, all, those of its prompts."
    )
    aggregation: Literal["mean", "min", "max", "median"] | Reference = Field(description="How M values become one.")
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
    async_generate_level: Annotated[int, Field(ge=0, le=1)] = Field(
        description="Versions the sampler may lag behind: 0 samples then trains; 1 samples the next batch meanwhile."
    )


class AdvantageConfig(Section):
    """From rewards and values to advantages and value targets."""

    estimator: (
        Literal["gae", "grpo", "dr_grpo", "rloo", "reinforce_pp", "reinforce_pp_baseline", "lite_ppo"] | Reference
    ) = Field(description="gae uses the critics; all other names compare responses with each other.")
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
    mask_signal: Literal["value_std", "entropy", "random", "none"] | Reference = Field(
        description="What ranks tokens for the mask."
    )
    entropy_filter_signal: Literal["value_std", "entropy", "random", "none"] | Reference = Field(
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

    surrogate: Literal["clipped"] | Reference = Field(
        description="Loss of a token before its weight, gate, entropy bonus and KL are applied."
    )
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
    importance_cap: Positive | None = Field(
        description="Weigh each token by min(pi_trainer / pi_sampler, this), against their mismatch; null: do not."
    )
    kl_coef: NonNegative = Field(description="Weight of the KL divergence from the initial policy; 0: no reference.")
    kl_form: Literal["k1", "k2", "k3"] = Field(description="Estimator of that KL divergence.")
    kl_in: Literal["loss", "reward"] = Field(description="Add the KL to the loss, or subtract it from the rewards.")


class RewardsConfig(Section):
    """What becomes of graded responses before advantages are computed."""

    function: Reference | None = Field(description="Scores responses; null: the verifier, 1 if right and 0 if not.")
    url: Text | None = Field(description="Server that scores responses, asked by HTTP; null: none.")
    weights: dict[str, float] = Field(description="Weights of the components that are returned; 1 if not given here.")
    timeout: Positive = Field(description="Seconds that a call of the function, or of the server, may take.")
    on_error: Literal["zero", "error"] = Field(
        description="A call that fails or takes too long: reward 0 and count it, or end the run."
    )
    truncated: Literal["keep", "mask"] = Field(
        description="Responses cut by the length limit: keep as graded, or leave out of the policy's loss."
    )
    unfinished_reasoning: bool = Field(
        description="Also grade a box in reasoning that was never closed, in training and its evaluations."
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
