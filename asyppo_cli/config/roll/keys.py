"""Keys of ROLL that need no thought: what is the same under another name, and what has no place here and why.

Defaults are those of ROLL's own configuration classes (roll/configs/base_config.py, roll/pipeline/rlvr/rlvr_config.py).
The two mask percentages, the aggregation and ``critic_1``, ``critic_2`` are the paper's additions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What ROLL assumes of a key that a file leaves out, where it matters here.
ROLL_DEFAULTS: Mapping[str, Any] = {
    "seed": 42,
    "max_steps": 500,
    "save_steps": 50,
    "eval_steps": 10,
    "rollout_batch_size": 128,
    "prompt_length": 1024,
    "adv_estimator": "gae",
    "ppo_epochs": 1,
    "gamma": 1.0,
    "lambd": 0.95,
    "pg_clip": 0.2,
    "entropy_loss_coef": 0.0,
    "whiten_advantages": False,
    "critic_warmup": 0,
    "async_generation_ratio": 0,
}

# The same under another name.
SAME: Mapping[str, tuple[str, ...]] = {
    "seed": ("seed",),
    "max_steps": ("max_steps",),
    "rollout_batch_size": ("rollout.prompts",),
    "prompt_length": ("rollout.prompt_length",),
    "gamma": ("advantage.gamma",),
    "lambd": ("advantage.lambd",),
    "ppo_epochs": ("training.utd",),
    "entropy_loss_coef": ("policy_loss.entropy_coef",),
    "postive_loss_coef": ("policy_loss.nll_coef",),
    "rpc_timeout": ("cluster.timeout",),
    "tracker_kwargs.project": ("logging.wandb_project",),
    "max_grad_norm": ("learner.policy.max_grad_norm", "learner.critics.max_grad_norm"),
    "actor_infer.generating_args.temperature": ("sampler.temperature",),
    "actor_infer.generating_args.top_p": ("sampler.top_p",),
    "actor_infer.generating_args.top_k": ("sampler.top_k",),
    "actor_infer.strategy_args.strategy_config.gpu_memory_utilization": ("sampler.vllm.memory_share",),
    "actor_infer.strategy_args.strategy_config.mem_fraction_static": ("sampler.vllm.memory_share",),
    "actor_infer.strategy_args.strategy_config.enforce_eager": ("sampler.vllm.enforce_eager",),
    "validation.generating_args.temperature": ("evaluation.temperature",),
    "validation.generating_args.num_return_sequences": ("evaluation.samples",),
}

# What only critics have, and gates, which are made of their values.
SAME_WITH_CRITICS: Mapping[str, tuple[str, ...]] = {
    "value_clip": ("critics.value_clip",),
    "critic_warmup": ("critics.warmup_steps",),
    "value_aggregation_strategy": ("critics.aggregation",),
    "whiten_advantages": ("advantage.whiten",),
}

# Of an optimizer, below ROLE.training_args.
OPTIMIZER: Mapping[str, str] = {
    "learning_rate": "lr",
    "weight_decay": "weight_decay",
    "warmup_steps": "warmup_steps",
    "adam_beta1": "beta1",
    "adam_beta2": "beta2",
    "max_grad_norm": "max_grad_norm",
}

REWARD = "rewards are 0 or 1 as the verifier judges, and are not reshaped"
LAUNCH = "where and how ROLL runs; a run's folder, resuming and logs are asyppo train's options"
BUDGET = "micro-batches are filled up to learner.micro_batch_tokens"
LOADING = "the engine chooses it"
ONE_GPU = "each rank of the sampler has one GPU and a whole copy of the model"
SCHEDULER = "how ROLL schedules its requests; the sampler here takes whole batches"

# Patterns of fnmatch, the first that fits counts.
IGNORED: Mapping[str, str] = {
    "defaults": "files of ROLL's own; what is needed of them is read from their names",
    "hydra*": LAUNCH,
    "exp_name": "the name of the imported experiment",
    "*output_dir": LAUNCH,
    "*logging_dir": LAUNCH,
    "base_dir": LAUNCH,
    "system_envs*": LAUNCH,
    "checkpoint_config*": LAUNCH,
    "resume_from_checkpoint": LAUNCH,
    "num_gpus_per_node": "the cluster says",
    "num_nodes": "the cluster says",
    "model_download_type": LAUNCH,
    "profiler_*": "seconds and memory of every phase are always recorded",
    "tracker_kwargs*": "only the project is taken; accounts and keys belong into the environment",
    "logging_steps": "every step is written, always",
    "val_batch_size": SCHEDULER,
    "max_running_requests": SCHEDULER,
    "is_num_return_sequences_expand": SCHEDULER,
    "*additional*prompts": "drawing again for uniform groups is rewards.drop_uniform_groups",
    "generate_opt_level": SCHEDULER,
    "reference.*": "a reference policy exists where policy_loss.kl_coef is above 0, beside the policy",
    "rewards.*": "the task brings its verifier",
    "reward.*": "the task brings its verifier",
    "validation.data_args.*": "held-out problems: task.heldout_path=FILE",
    "validation.generating_args.*": "evaluation samples as training does, but for temperature and samples",
    "validation.eval_steps": "ROLL too goes by eval_steps",
    "validation.*": "evaluation samples with the engine of training",
    "reward_clip": REWARD,
    "reward_*": REWARD,
    "whiten_rewards": REWARD,
    "use_reward_*": REWARD,
    "add_len_reward": REWARD,
    "norm_mean_type": REWARD,
    "norm_std_type": REWARD,
    "advantage_clip": "advantages are not clipped here",
    "difficulty_*": "not known here; rewards.drop_uniform_groups leaves out groups of accuracy 0 or 1",
    "length_loss_weight": "policy_loss.aggregation says how lengths count",
    "error_max_len_*": "rewards.truncated says what becomes of cut responses",
    "target_kl": "the KL coefficient is constant here",
    "kl_horizon": "the KL coefficient is constant here",
    "use_topr_*": "not known here",
    "use_policy_loss_type": "the clipped objective of PPO is the only one",
    "pg_variant": "the clipped objective of PPO is the only one",
    "*.pg_variant": "the clipped objective of PPO is the only one",
    "rl_loss_coef": "the policy's loss has weight 1",
    "*.data_args.*": "the model's own chat template; the file of problems: task.path=FILE",
    "*.generating_args.num_beams": "responses are sampled, never searched for",
    "actor_train.generating_args.*": "the sampler's are actor_infer's",
    "*.training_args.num_train_epochs": "max_steps says how long; problems are drawn anew, epoch after epoch",
    "*.training_args.warmup_ratio": "give warmup_steps: learner.policy.warmup_steps, learner.critics.warmup_steps",
    "*.infer_batch_size": BUDGET,
    "*.use_dynamic_batching*": BUDGET,
    "*.max_tokens_per_microbatch*": BUDGET,
    "*.use_sequence_packing": BUDGET,
    "*.use_remove_padding": BUDGET,
    "*.worker_cls": "a class of ROLL",
    "*.world_size": "the ranks of a role are its GPUs",
    "*.num_gpus_per_worker": ONE_GPU,
    "actor_infer.strategy_args.strategy_config.tensor_parallel_size": ONE_GPU,
    "*.model_args.lora_*": "all weights are trained here, there is no LoRA",
    "*.model_args.*": LOADING,
    "*.strategy_args.strategy_config*": LOADING,
    "*.system_envs*": LAUNCH,
}
