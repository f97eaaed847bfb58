"""What ROLL's keys mean here, where that takes a thought: the method, models, losses and precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asyppo_cli.config.roll.keys import OPTIMIZER, SAME, SAME_WITH_CRITICS
from asyppo_cli.config.roll.reading import refers
from asyppo_cli.config.roll.sheet import Sheet

# Our advantage estimator by ROLL's (norm_mean_type, norm_std_type, whiten_advantages) of adv_estimator=reinforce.
REINFORCE: Mapping[tuple[str | None, str | None, bool], str] = {
    ("group", "group", False): "grpo",
    ("group", "batch", False): "lite_ppo",
    ("group", None, False): "dr_grpo",
    ("group", None, True): "reinforce_pp_baseline",
    ("batch", "batch", False): "reinforce_pp",
    ("batch", "batch", True): "reinforce_pp",
    (None, None, True): "reinforce_pp",
}
LOSS_MODES = {
    "token-mean": "token_mean",
    "seq-mean-token-mean": "response_mean",
    "seq-mean-token-sum-norm": "constant",
}
DTYPES = {"bf16": "bfloat16", "bfloat16": "bfloat16", "fp32": "float32", "float32": "float32"}
KL_FORMS = {"kl": "k1", "mse": "k2", "k3": "k3"}
SCHEDULES = {
    "constant": "constant",
    "constant_with_warmup": "constant",
    "linear": "linear",
    "cosine": "cosine",
}
TRACKERS = {"wandb": "wandb", "tensorboard": "tensorboard", "stdout": "local", "ml_tracker": "local"}


def critic_sections(sheet: Sheet) -> list[str]:
    """The critics' sections: ``critic_1``, ``critic_2``, ...; else ``critic``, which every file may have."""
    sections = dict.fromkeys(key.partition(".")[0] for key in sheet.values)
    numbered = [name for name in sections if name.startswith("critic_") and name[7:].isdigit()]
    return sorted(numbered, key=lambda name: int(name[7:])) or ["critic"]


def read_method(sheet: Sheet) -> int:
    """Advantages: critics or none. Returns the number of critics.

    Raises:
        ValueError: an estimator that is not known here.
    """
    match sheet.get("adv_estimator"):
        case "gae":
            sections = critic_sections(sheet)
            sheet.set("advantage.estimator", "gae", "adv_estimator")
            sheet.set("critics.count", len(sections), "adv_estimator", note=f"section {', '.join(sections)}")
            return len(sections)
        case "grpo":
            _critic_free(sheet, "grpo", "adv_estimator")
        case "reinforce":
            _reinforce(sheet)
        case other:
            raise ValueError(f"adv_estimator={other}: there is none like it here; known are gae, grpo and reinforce")
    return 0


def _reinforce(sheet: Sheet) -> None:
    norms = (sheet.get("norm_mean_type"), sheet.get("norm_std_type"))
    whiten = bool(sheet.get("whiten_advantages"))
    estimator = REINFORCE.get((*norms, whiten))
    if estimator is None:
        setting = f"norm_mean_type={norms[0]}, norm_std_type={norms[1]}, whiten_advantages={whiten}"
        raise ValueError(f"adv_estimator=reinforce with {setting}: not supported; the nearest is grpo")
    _critic_free(sheet, estimator, "adv_estimator", "norm_mean_type", "norm_std_type", "whiten_advantages")
    sheet.set("advantage.whiten", False, note="the estimator itself does, where it is to be done")


def _critic_free(sheet: Sheet, estimator: str, *keys: str) -> None:
    sheet.choose("algorithm", "grpo", keys[0])
    sheet.set("advantage.estimator", estimator, *keys)
    for key in ("value_clip", "critic_warmup", "value_aggregation_strategy", *GATES):
        sheet.ignore(key, "there are no critics")
    for key in list(sheet.values):
        if key.startswith("critic"):
            sheet.ignore(key, "there are no critics")


GATES = {
    "gradient_mask_percentage": "gates.mask_pct",
    "entropy_filter_mask_percentage": "gates.entropy_filter_pct",
}


def read_values(sheet: Sheet, critics: int) -> None:
    """Keys that are the same under another name, gates included."""
    for key, ours in SAME.items():
        sheet.take(key, *ours)
    if not critics:
        return
    for key, ours in SAME_WITH_CRITICS.items():
        sheet.take(key, *ours)
    if critics > 1:
        sheet.set("critics.split", "by_response", note="as in the paper; shared is the naive ensemble")
    for key, setting in GATES.items():
        if sheet.get(key) is None:
            sheet.set(setting, 0.0, note=f"there is no {key}")
        sheet.take(key, setting)


def read_models(sheet: Sheet, critics: Sequence[str]) -> None:
    """Which models policy and critics start from."""
    own = "actor_train.model_args.model_name_or_path"
    policy = sheet.get(own) or sheet.get("pretrain")
    if policy is None:
        sheet.choose("policy", "local", note="there is no pretrain: say policy.model=PATH")
    else:
        sheet.set("policy.model", policy, *(key for key in ("pretrain", own) if sheet.get(key) == policy))
        sheet.ignore("pretrain", f"{own} counts")
    if not critics:
        sheet.ignore("reward_pretrain", "there are no critics")
        return
    own = f"{critics[0]}.model_args.model_name_or_path"
    model = sheet.get(own) or sheet.get("reward_pretrain")
    same = model is None or model == policy
    keys = [key for key in ("reward_pretrain", own) if sheet.get(key) is not None]
    sheet.set("critics.model", None if same else model, *keys, note="the policy's own weights" if same else "")
    sheet.set("critics.depth", 1.0, note="all of the model's layers")


def read_lengths(sheet: Sheet) -> None:
    """Lengths and the number of responses.

    Raises:
        ValueError: the file says nothing of the length of responses.
    """
    length, whole = sheet.get("response_length"), sheet.get("sequence_length")
    if length is None and whole is None:
        raise ValueError("response_length is missing, and so is sequence_length: one of them is needed")
    from_whole = isinstance(whole, int) and length is None
    key = "sequence_length" if from_whole else "response_length"
    value = whole - sheet.get("prompt_length") if from_whole else length
    sheet.set("rollout.response_length", value, key)
    new = "actor_infer.generating_args.max_new_tokens"
    if sheet.get(new) == value:
        sheet.set("rollout.response_length", value, new)
    sheet.ignore(new, f"ROLL itself sets it from {key}")
    names = (
        "num_return_sequences_in_group",
        "num_return_sequences",
        "actor_infer.generating_args.num_return_sequences",
    )
    found = next((name for name in names if sheet.get(name) is not None), None)
    if found is not None:
        same = [name for name in names if sheet.get(name) == sheet.get(found)]
        sheet.set("rollout.responses", sheet.get(found), *same)
        for name in names:
            sheet.ignore(name, f"{found} counts")
    else:
        sheet.set("rollout.responses", 1, note=f"there is no {names[0]}")


def read_losses(sheet: Sheet) -> None:
    """The policy's loss: clipping, aggregation, KL, cut responses."""
    clip = sheet.get("pg_clip")
    if sheet.get("use_pg_clip_range"):
        sheet.take("pg_clip_low", "policy_loss.clip_low")
        sheet.take("pg_clip_high", "policy_loss.clip_high")
        sheet.add("use_pg_clip_range", "taken", "clip_low and clip_high apart")
    else:
        sheet.take("pg_clip", "policy_loss.clip_low", "policy_loss.clip_high")
        for key in ("use_pg_clip_range", "pg_clip_low", "pg_clip_high"):
            sheet.ignore(key, "pg_clip counts, since use_pg_clip_range is off")
    if "dual_clip_loss" in sheet.values:
        # ROLL's bound (roll/pipeline/rlvr/actor_worker.py).
        sheet.set("policy_loss.dual_clip", 1 + 2 * clip if sheet.get("dual_clip_loss") else None, "dual_clip_loss")
    _translate(sheet, "loss_agg_mode", LOSS_MODES, "policy_loss.aggregation")
    if sheet.get("importance_sampling") is not None:
        ratio = "sequence" if sheet.get("importance_sampling") == "seq" else "token"
        sheet.set("policy_loss.ratio", ratio, "importance_sampling")
    if "max_len_mask" in sheet.values:
        sheet.set("rewards.truncated", "mask" if sheet.get("max_len_mask") else "keep", "max_len_mask")
    _read_kl(sheet)


def _read_kl(sheet: Sheet) -> None:
    in_loss, in_reward = sheet.get("use_kl_loss", False), sheet.get("add_token_level_kl", False)
    if in_loss:
        sheet.set("policy_loss.kl_coef", sheet.get("kl_loss_coef", 0.0), "use_kl_loss", "kl_loss_coef")
        sheet.set("policy_loss.kl_in", "loss", "use_kl_loss")
        sheet.set("policy_loss.kl_form", "k3", "use_kl_loss")
    elif in_reward:
        sheet.set("policy_loss.kl_coef", sheet.get("init_kl_coef", 0.2), "add_token_level_kl", "init_kl_coef")
        sheet.set("policy_loss.kl_in", "reward", "add_token_level_kl")
        _translate(sheet, "kl_penalty", KL_FORMS, "policy_loss.kl_form")
    else:
        zero = not sheet.get("init_kl_coef", 0.0)
        note = "" if zero else "add_token_level_kl and use_kl_loss are off, so that ROLL adds none"
        sheet.set("policy_loss.kl_coef", 0.0, "init_kl_coef", note=note)
    for key in ("init_kl_coef", "kl_loss_coef", "kl_penalty", "add_token_level_kl", "use_kl_loss"):
        sheet.ignore(key, "there is one KL term here, and another key of the file decides on it")


def read_optimizer(sheet: Sheet, role: str, ours: str) -> None:
    """A role's optimizer and schedule."""
    for name, setting in OPTIMIZER.items():
        sheet.take(f"{role}.training_args.{name}", f"{ours}.{setting}")
    _translate(sheet, f"{role}.training_args.lr_scheduler_type", SCHEDULES, f"{ours}.schedule")


def read_engines(sheet: Sheet) -> None:
    """Engines, precision, checkpointing of activations, asynchrony, tracker and times."""
    train = "actor_train.strategy_args.strategy_name"
    note = "" if "deepspeed" in str(sheet.get(train)) else "DeepSpeed is what trains large models here"
    sheet.choose("learner", "deepspeed", train, note=note)
    _read_zero(sheet, "actor_train.strategy_args.strategy_config")
    sample = "actor_infer.strategy_args.strategy_name"
    hf = sheet.get(sample) == "hf_infer"
    note = "" if sheet.get(sample) in ("vllm", "hf_infer") else "vLLM is what samples large models here"
    sheet.choose("sampler", "transformers" if hf else "vllm", sample, note=note)
    _translate(sheet, "actor_train.model_args.dtype", DTYPES, "learner.dtype")
    off = "actor_train.model_args.disable_gradient_checkpointing"
    if sheet.get(off) is not None:
        sheet.set("learner.gradient_checkpointing", not sheet.get(off), off)
    ratio = sheet.get("async_generation_ratio")
    if sheet.get("async_generate_level") is not None:
        sheet.take("async_generate_level", "rollout.async_generate_level")
        sheet.ignore("async_generation_ratio", "async_generate_level counts")
    elif isinstance(ratio, int | float):
        note = "at most one batch ahead" if ratio > 1 else ""
        sheet.set("rollout.async_generate_level", int(ratio > 0), "async_generation_ratio", note=note)
    _translate(sheet, "track_with", TRACKERS, "logging")


def read_times(sheet: Sheet) -> None:
    """When is saved and evaluated; ROLL's 0 and below mean never."""
    for key, ours in (("save_steps", "checkpoints.every"), ("eval_steps", "evaluation.every")):
        steps = sheet.get(key)
        sheet.set(ours, max(steps, 0) if isinstance(steps, int) else steps, key)
    kept = sheet.get("max_ckpt_to_keep")
    if kept == 0:
        sheet.ignore("max_ckpt_to_keep", "not all are kept here, but the newest checkpoints.keep and the best")
    sheet.take("max_ckpt_to_keep", *(["checkpoints.keep"] if kept else []))


def read_data(sheet: Sheet) -> None:
    """The file of problems; where the file names none or several, the paper's training set."""
    key = "actor_train.data_args.file_name"
    files = sheet.get(key)
    files = [files] if isinstance(files, str) else files
    if isinstance(files, list) and len(files) == 1:
        sheet.choose("task", "deepmath", note="what reads files with ROLL's columns prompt and ground_truth")
        sheet.set("task.path", files[0], key)
        sheet.set("task.params.draw", "in_order", note="all of the file, as ROLL does")
        sheet.set("task.size", 1_000_000, note="all of the file, as ROLL does")
    else:
        sheet.choose("task", "deepmath", note="the paper's; a file of your own: task.path=FILE")
        sheet.ignore(key, "one file of problems is read here: join them, and set task.path=FILE")


def _read_zero(sheet: Sheet, key: str) -> None:
    """ZeRO's stage and offloading, from DeepSpeed's own settings or the name of ROLL's file of them."""
    name = sheet.get(key)
    below = f"{key}.zero_optimization"
    found = sheet.get(f"{below}.stage")
    if found is not None:
        sheet.set("learner.deepspeed.stage", found, f"{below}.stage")
    elif refers(name) and "deepspeed_zero" in name:
        rest = name.partition("deepspeed_zero")[2]
        if not rest[:1].isdigit():
            return sheet.ignore(key, "its stage is in a file of ROLL's: set learner.deepspeed.stage")
        sheet.set("learner.deepspeed.stage", int(rest[0]), key)
        if "cpuoffload" in rest or "cpu_offload" in rest:
            sheet.set("learner.deepspeed.offload", "all", key)
    for part, offload in (("offload_optimizer", "optimizer"), ("offload_param", "all")):
        if sheet.get(f"{below}.{part}.device") == "cpu":
            sheet.set("learner.deepspeed.offload", offload, f"{below}.{part}.device")


def _translate(sheet: Sheet, key: str, names: Mapping[str, str], ours: str) -> None:
    """A choice by its name here; one that is not known here is left aside, with those that are."""
    value: Any = sheet.get(key)
    if value is None:
        return
    if not isinstance(value, str) or value not in names:
        sheet.ignore(key, f"not known here; known are {', '.join(names)}")
    elif ours == "logging":
        sheet.choose(ours, names[value], key)
    else:
        sheet.set(ours, names[value], key)
