"""The sections that say what does the work, and where: samplers, learners, optimizers, the cluster."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from asyppo_cli.config.section import Count, Decay, NonNegative, Positive, Section, Whole


class VllmConfig(Section):
    """vLLM's own settings; they count where it samples."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        description="Precision of its weights; auto: the model's own half precision on a GPU; on a CPU the learner's."
    )
    memory_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(description="GPU: share of the memory it takes.")
    kv_cache_gib: Positive = Field(description="CPU: GiB of its key/value cache.")
    tensor_parallel: Count = Field(description="GPUs (ranks on a CPU) that share one copy of the model.")
    enforce_eager: bool = Field(
        description="GPU: no compilation and no CUDA graphs: starts sooner, samples slower. A CPU never compiles."
    )
    sleep: bool = Field(description="GPU: give its memory back while the policy trains on the same device.")
    own_process: bool = Field(
        description="Run it in a process of its own, with threads of its own; needed to sample while training."
    )
    threads: Whole = Field(description="CPU: its threads; 0: all cores it may use.")
    sync: Literal["auto", "shared_memory", "ipc", "nccl", "gloo"] = Field(
        description="How new weights reach it; auto: shared memory on a CPU, CUDA IPC on the trainer's GPU, NCCL else."
    )


class SamplerConfig(Section):
    """The engine that generates, and how it draws tokens."""

    engine: Literal["auto", "transformers", "vllm"] = Field(
        description="Sampling engine; auto: vLLM where it is installed, transformers for the embedded models."
    )
    temperature: Positive = Field(description="Divides the logits, in sampling and in training alike.")
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = Field(description="Nucleus: smallest set with this probability.")
    top_k: Whole = Field(description="Only the k most probable tokens; 0: all.")
    batch_size: Count = Field(description="transformers: most responses generated at once.")
    logprob_diff_warning: Positive = Field(
        description="Mean |trainer - sampler| log-probability above which a step warns."
    )
    logprob_diff_limit: Positive | None = Field(
        description="The same, above which a jump to ten times the earlier steps' median ends the run; null: never."
    )
    vllm: VllmConfig


class OptimizerConfig(Section):
    """AdamW and its schedule."""

    lr: Positive = Field(description="Peak learning rate.")
    weight_decay: NonNegative = Field(description="Decoupled weight decay.")
    beta1: Decay = Field(description="Decay of the first moment.")
    beta2: Decay = Field(description="Decay of the second moment.")
    warmup_steps: Whole = Field(description="Optimizer steps of linear warm-up.")
    schedule: Literal["constant", "linear", "cosine"] = Field(description="Course of the rate after warm-up.")
    max_grad_norm: Positive = Field(description="Gradients are scaled down to this norm.")


class DeepSpeedConfig(Section):
    """DeepSpeed's own settings; they count where it trains."""

    stage: Annotated[int, Field(ge=0, le=3)] = Field(
        description="ZeRO: what ranks share out: 0 nothing, 1 optimizer, 2 gradients too, 3 weights too."
    )
    offload: Literal["none", "optimizer", "all"] = Field(
        description="What is kept in the host's memory: the optimizer, or (stage 3) the weights too."
    )

    @model_validator(mode="after")
    def _only_what_is_shared_out_can_be_moved(self) -> Self:
        least = {"none": 0, "optimizer": 1, "all": 3}[self.offload]
        if self.stage < least:
            raise ValueError(
                f"learner.deepspeed.offload={self.offload} needs learner.deepspeed.stage={least}"
                f"{'' if least == 3 else ' or more'}, not {self.stage}"
            )
        return self


class LearnerConfig(Section):
    """The engine that trains, its precision, and both optimizers."""

    engine: Literal["torch", "deepspeed"] = Field(description="Training engine.")
    device: Literal["auto", "cpu", "cuda"] = Field(description="auto: cuda where there is one.")
    threads: Whole = Field(description="CPU threads; 0: all cores this process may use.")
    dtype: Literal["float32", "bfloat16"] = Field(description="Compute precision; master weights are float32.")
    moments_dir: str | None = Field(
        description="Folder of a file where AdamW keeps its moments instead of in memory (torch only); null: memory."
    )
    micro_batch_tokens: Count = Field(description="Most tokens, padding included, in one forward and backward.")
    gradient_checkpointing: bool = Field(description="Recompute activations in the backward pass to save memory.")
    share_prompts: bool = Field(
        description="Compute a prompt once for its responses in a micro-batch, where model and lengths make it pay."
    )
    deepspeed: DeepSpeedConfig
    policy: OptimizerConfig = Field(description="Optimizer of the policy.")
    critics: OptimizerConfig = Field(description="Optimizer of each critic.")

    @model_validator(mode="after")
    def _only_torch_keeps_moments_in_a_file(self) -> Self:
        if self.moments_dir is not None and self.engine != "torch":
            raise ValueError(
                f"learner.moments_dir={self.moments_dir} needs learner=torch, not {self.engine}: "
                "there is learner.deepspeed.offload=optimizer"
            )
        return self


class PlacementConfig(Section):
    """Where a role lives: on a number of processes without a GPU, or one process on each of some GPUs."""

    ranks: Count = Field(description="Processes of the role; on GPUs, one on each.")
    first_gpu: Whole | None = Field(
        description="Its ranks take this GPU of the cluster and those after it, counted from 0; null: no GPU."
    )


class ClusterConfig(Section):
    """Processes and devices."""

    kind: Literal["local", "ray"] = Field(description="Everything in this process, or roles as groups of Ray actors.")
    address: str | None = Field(description="ray: cluster to join; null: RAY_ADDRESS, else one is started here.")
    timeout: Positive = Field(description="ray: seconds after which a rank that has not answered counts as hung.")
    cpus_per_rank: Positive | None = Field(description="ray: cores of each process; null: an equal share of all.")
    policy: PlacementConfig = Field(description="The policy's learner.")
    critics: PlacementConfig = Field(description="Each critic's learner; all critics share these devices.")
    sampler: PlacementConfig = Field(description="The samplers: each rank samples a share of the prompts.")

    @model_validator(mode="after")
    def _local_is_one_process(self) -> Self:
        for role in ("policy", "critics", "sampler"):
            if self.kind == "local" and getattr(self, role).ranks > 1:
                raise ValueError(
                    f"cluster.{role}.ranks={getattr(self, role).ranks} needs processes of their own: set cluster=ray"
                )
        return self
