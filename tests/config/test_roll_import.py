"""ROLL-style files become experiments, and every key of them is accounted for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from asyppo_cli.app import exit_code, run
from asyppo_cli.config.load import load
from asyppo_cli.config.roll.importing import Imported, import_roll
from asyppo_cli.config.roll.reading import read_roll
from asyppo_cli.keys import flatten

# The paper's appendix in the form of the framework it was run with.
APPENDIX = """
exp_name: asyppo 4b
seed: 42
max_steps: 500
save_steps: 500
logging_steps: 1
eval_steps: 1
gamma: 1.0
lambd: 1.0
rollout_batch_size: 64
num_return_sequences_in_group: 32
prompt_length: 1024
response_length: 8000
value_aggregation_strategy: mean
gradient_mask_percentage: 0.2
entropy_filter_mask_percentage: 0.2
entropy_loss_coef: 0.01
ppo_epochs: 1
adv_estimator: "gae"
init_kl_coef: 0.0
async_generate_level: 1
pretrain: Qwen/Qwen3-4B-Base
reward_pretrain: Qwen/Qwen3-1.7B-Base
actor_train:
  training_args:
    learning_rate: 1.0e-6
    weight_decay: 0
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 256
    warmup_steps: 50
    num_train_epochs: 50
  device_mapping: list(range(0,8))
actor_infer:
  generating_args:
    max_new_tokens: ${response_length}
    top_p: 0.99
    top_k: 100
    num_beams: 1
    temperature: 0.99
    num_return_sequences: ${num_return_sequences_in_group}
critic_1: &critic
  training_args:
    learning_rate: 1.0e-5
    weight_decay: 1.0e-2
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 128
    warmup_steps: 5
    num_train_epochs: 50
  device_mapping: list(range(8,16))
critic_2: *critic
"""
SMALL = "pretrain: some/model\nresponse_length: 64\n"


def imported(tmp_path: Path, text: str) -> Imported:
    path = tmp_path / "rlvr.yaml"
    path.write_text(text)
    return import_roll(path)


def trained_with(tmp_path: Path, text: str) -> dict[str, Any]:
    """The configuration that the imported experiment makes, by dotted key."""
    found = imported(tmp_path, text)
    target = tmp_path / "mine" / "experiment" / "theirs.yaml"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(found.text)
    return flatten(load(["experiment=theirs"], tmp_path / "mine").resolved)


def fates(found: Imported) -> dict[str, str]:
    return {row.key: row.fate for row in found.rows}


def told(found: Imported) -> dict[str, str]:
    return {row.key: row.result for row in found.rows}


def with_changes(text: str, **changes: Any) -> str:
    """The file with other values at dotted keys (``__`` for the dot)."""
    # By way of JSON, which has no anchors: what is written once may be changed in one place.
    tree = json.loads(json.dumps(yaml.safe_load(text)))
    for name, value in changes.items():
        node = tree
        *sections, last = name.split("__")
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = value
    return yaml.safe_dump(tree)


def test_the_appendix_becomes_the_papers_experiment(tmp_path: Path) -> None:
    assert trained_with(tmp_path, APPENDIX) == flatten(load(["experiment=paper/qwen3_4b"]).resolved)


def test_the_overrides_make_the_same_configuration(tmp_path: Path) -> None:
    found = imported(tmp_path, APPENDIX)
    assert flatten(load(found.overrides).resolved) == trained_with(tmp_path, APPENDIX)


def test_the_papers_14b_file(tmp_path: Path) -> None:
    critic = {
        "training_args__per_device_train_batch_size": 2,
        "training_args__gradient_accumulation_steps": 16,
        "device_mapping": "list(range(16,32))",
    }
    changes = {f"critic_{m}__{key}": value for m in (1, 2) for key, value in critic.items()}
    text = with_changes(
        APPENDIX,
        **changes,
        pretrain="Qwen/Qwen3-14B-Base",
        ppo_epochs=4,
        actor_train__training_args__per_device_train_batch_size=2,
        actor_train__training_args__gradient_accumulation_steps=32,
        actor_train__device_mapping="list(range(0,16))",
        actor_train__strategy_args={"strategy_name": "deepspeed_train", "strategy_config": "${deepspeed_zero3}"},
    )
    assert trained_with(tmp_path, text) == flatten(load(["experiment=paper/qwen3_14b"]).resolved)


def test_every_key_of_the_file_is_accounted_for(tmp_path: Path) -> None:
    found = imported(tmp_path, APPENDIX)
    accounted = [row.key for row in found.rows if row.fate in ("taken", "ignored", "not understood")]
    assert sorted(accounted) == sorted(read_roll(tmp_path / "rlvr.yaml"))
    assert all(row.result for row in found.rows)
    ignored = {key for key, fate in fates(found).items() if fate == "ignored"}
    assert ignored == {
        "exp_name",
        "logging_steps",
        "actor_infer.generating_args.num_beams",
        *(f"{role}.training_args.num_train_epochs" for role in ("actor_train", "critic_1", "critic_2")),
    }


def test_a_key_that_is_not_understood_names_the_nearest(tmp_path: Path) -> None:
    wrong = {"rollout_bach_size": 3, "actor_train__training_args__learning_rte": 3, "wholly_odd": 1}
    found = imported(tmp_path, with_changes(SMALL, **wrong))
    assert told(found)["rollout_bach_size"] == "nearest: rollout_batch_size"
    assert "actor_train.training_args.learning_rate" in told(found)["actor_train.training_args.learning_rte"]
    assert {fates(found)[key.replace("__", ".")] for key in wrong} == {"not understood"}


def test_what_the_file_leaves_to_roll_is_as_roll_has_it(tmp_path: Path) -> None:
    flat = trained_with(tmp_path, SMALL)
    assert (flat["advantage.lambd"], flat["policy_loss.entropy_coef"], flat["rollout.async_generate_level"]) == (
        0.95,
        0,
        0,
    )
    assert (flat["gates.mask_pct"], flat["gates.entropy_filter_pct"], flat["critics.count"]) == (0.0, 0.0, 1)
    assert flat["critics.model"] is None and flat["critics.warmup_steps"] == 0
    found = imported(tmp_path, SMALL)
    assert fates(found)["lambd"] == "assumed" and fates(found)["task"] == "chosen"


def test_without_a_model_it_must_be_given(tmp_path: Path) -> None:
    found = imported(tmp_path, "rollout_batch_size: 4\nresponse_length: 64\n")
    assert found.missing == ("policy.model=PATH",)
    with pytest.raises(ValueError, match="policy.model has no value"):
        trained_with(tmp_path, "rollout_batch_size: 4\nresponse_length: 64\n")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"adv_estimator": "grpo"}, {"advantage.estimator": "grpo", "critics.count": 0, "gates.mask_pct": 0.0}),
        ({"adv_estimator": "reinforce", "whiten_advantages": True}, {"advantage.estimator": "reinforce_pp"}),
        ({"adv_estimator": "reinforce", "norm_mean_type": "group"}, {"advantage.estimator": "dr_grpo"}),
        ({"pg_clip": 0.1, "dual_clip_loss": True}, {"policy_loss.clip_low": 0.1, "policy_loss.dual_clip": 1.2}),
        (
            {"use_pg_clip_range": True, "pg_clip_low": 0.2, "pg_clip_high": 0.28},
            {"policy_loss.clip_low": 0.2, "policy_loss.clip_high": 0.28},
        ),
        ({"use_kl_loss": True, "kl_loss_coef": 0.01}, {"policy_loss.kl_coef": 0.01, "policy_loss.kl_in": "loss"}),
        (
            {"add_token_level_kl": True, "init_kl_coef": 0.1, "kl_penalty": "mse"},
            {"policy_loss.kl_coef": 0.1, "policy_loss.kl_in": "reward", "policy_loss.kl_form": "k2"},
        ),
        ({"init_kl_coef": 0.2}, {"policy_loss.kl_coef": 0.0}),
        ({"max_len_mask": True}, {"rewards.truncated": "mask"}),
        ({"loss_agg_mode": "token-mean"}, {"policy_loss.aggregation": "token_mean"}),
        ({"async_generation_ratio": 2.5}, {"rollout.async_generate_level": 1}),
        ({"sequence_length": 1100, "response_length": None}, {"rollout.response_length": 76}),
        ({"save_steps": -1, "eval_steps": 0}, {"checkpoints.every": 0, "evaluation.every": 0}),
        ({"track_with": "wandb"}, {"logging.wandb": "online"}),
        (
            {"actor_train__data_args__file_name": ["mine.jsonl"]},
            {"task.path": "mine.jsonl", "task.params.draw": "in_order"},
        ),
        (
            {"actor_train__strategy_args__strategy_config": {"zero_optimization": {"stage": 1}}},
            {"learner.deepspeed.stage": 1},
        ),
        (
            {"actor_train__strategy_args__strategy_config": "${deepspeed_zero3_cpuoffload}"},
            {"learner.deepspeed.stage": 3, "learner.deepspeed.offload": "all"},
        ),
        ({"critic_1__device_mapping": [4, 5], "critic_2__device_mapping": "[6, 7]"}, {"cluster.critics.ranks": 4}),
        ({"actor_train__device_mapping": "list(range(0,4))"}, {"cluster.sampler.ranks": 4, "sampler.vllm.sleep": True}),
    ],
)
def test_keys_that_take_a_thought(tmp_path: Path, changes: dict[str, Any], expected: dict[str, Any]) -> None:
    text = with_changes(SMALL, num_return_sequences_in_group=4, rollout_batch_size=4, **changes)
    flat = trained_with(tmp_path, text)
    assert {key: flat[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("per_device", "accumulation", "steps", "said"),
    [
        (1, 256, 1, "1 x 256 x 8 = 2048 responses a step, of 2048"),
        (1, 64, 4, "1 x 64 x 8 = 512 responses a step, of 2048"),
        (2, 6, 21, "2 x 6 x 8 = 96 responses a step do not divide 2048: 21 steps of about 97"),
        (4, 256, 1, "4 x 256 x 8 = 8192 responses a step, more than the 2048 there are"),
    ],
)
def test_optimizer_steps(tmp_path: Path, per_device: int, accumulation: int, steps: int, said: str) -> None:
    args = {
        "actor_train__training_args__per_device_train_batch_size": per_device,
        "actor_train__training_args__gradient_accumulation_steps": accumulation,
    }
    text = with_changes(APPENDIX, **args)
    assert trained_with(tmp_path, text)["training.mini_batches"] == steps
    assert said in told(imported(tmp_path, text))["actor_train.training_args.gradient_accumulation_steps"]


def test_model_parallel_ranks_hold_the_same_responses(tmp_path: Path) -> None:
    strategy = {"strategy_name": "megatron_train", "strategy_config": {"tensor_model_parallel_size": 4}}
    text = with_changes(APPENDIX, actor_train__strategy_args=strategy)
    flat = trained_with(tmp_path, text)
    assert (flat["training.mini_batches"], flat["cluster.policy.ranks"]) == (4, 8)
    assert "DeepSpeed" in told(imported(tmp_path, text))["actor_train.strategy_args.strategy_name"]


def test_critics_that_differ_share_the_first_ones_settings(tmp_path: Path) -> None:
    text = with_changes(APPENDIX, critic_2__training_args__learning_rate=3e-5)
    found = imported(tmp_path, text)
    assert fates(found)["critic_2.training_args.learning_rate"] == "ignored"
    assert "critic_1's 1e-05 counts" in told(found)["critic_2.training_args.learning_rate"]
    assert trained_with(tmp_path, text)["learner.critics.lr"] == 1e-5


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    found = imported(tmp_path, with_changes(SMALL, tracker_kwargs={"api_key": "hush", "project": "p"}))
    assert "hush" not in str(found.rows) + found.text
    assert fates(found)["tracker_kwargs.api_key"] == "ignored"


def test_references_are_resolved_within_the_file_and_never_loop(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("pretrain: x\na: ${a}\nb:\n  c: ${b}\nd: ${nowhere}\ne: ${pretrain}-1\nf: ['${e}']\n")
    flat = read_roll(path)
    assert (flat["d"], flat["e"], flat["f"]) == ("${nowhere}", "x-1", ["x-1"])
    assert {"a", "b.c"} < set(flat)


BAD = [
    (b"", "has none of the keys of a ROLL configuration"),
    (b"hello", "has none of the keys of a ROLL configuration"),
    (b"[1, 2]", "has none of the keys of a ROLL configuration"),
    (b"seed: 1", "has none of the keys of a ROLL configuration"),
    (b"a: [", "is no YAML"),
    (b"pretrain: x\npretrain: y", "is no YAML"),
    (b"\xff\xfe", "it is no UTF-8 text"),
    (b"pretrain: x", "response_length is missing"),
    (b"pretrain: x\nresponse_length: -3", "response_length: rollout.response_length=-3 must be"),
    (b"pretrain: x\nresponse_length: 8\ngamma: 2", "gamma: advantage.gamma=2 must be a number from 0 to 1"),
    (b"pretrain: x\nresponse_length: 8\nadv_estimator: gigpo", "adv_estimator=gigpo: there is none like it here"),
    (b"pretrain: x\nresponse_length: 8\nadv_estimator: reinforce", "adv_estimator=reinforce with norm_mean_type=None"),
    (b"pretrain: x\nresponse_length: 8\nactor_train: {device_mapping: eval(1)}", "actor_train.device_mapping: 'eval"),
]


@pytest.mark.parametrize(("content", "said"), BAD)
def test_a_file_that_cannot_serve_is_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "rlvr.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r".") as caught:
        import_roll(path)
    message = str(caught.value)
    assert said in message and "rlvr.yaml" in message and "\n" not in message and exit_code(caught.value) == 2


def test_the_command_writes_an_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rlvr.yaml").write_text(APPENDIX)
    target = tmp_path / "mine" / "experiment" / "roll_4b.yaml"
    assert run(["config", "import", str(tmp_path / "rlvr.yaml"), "--output", str(target)]) == 0
    out = capsys.readouterr().out
    assert "taken (" in out and "ignored (" in out and "not in the file, so that asyppo chooses (" in out
    assert f"asyppo train --dry-run --config-dir {tmp_path / 'mine'} experiment=roll_4b" in out
    assert load(["experiment=roll_4b"], tmp_path / "mine").config.rollout.responses == 32
    with pytest.raises(ValueError, match="is there already"):
        run(["config", "import", str(tmp_path / "rlvr.yaml"), "--output", str(target)])


def test_the_command_without_output_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rlvr.yaml").write_text(APPENDIX)
    assert run(["config", "import", str(tmp_path / "rlvr.yaml")]) == 0
    assert "--output FOLDER/experiment/asyppo_4b.yaml" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["rlvr.yaml"]


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("x.yaml", r"write .*experiment/x\.yaml"),
        ("mine/experiment/x.txt", r"FOLDER/experiment/NAME\.yaml"),
        ("mine/experiment/a b.yaml", r"a_b\.yaml"),
        ("mine/experiment/quick.yaml", "there is an experiment quick already"),
        ("rlvr.yaml/experiment/x.yaml", "cannot write"),
    ],
)
def test_a_place_where_no_experiment_is_found(
    tmp_path: Path, output: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rlvr.yaml").write_text(APPENDIX)
    with pytest.raises(ValueError, match=said):
        run(["config", "import", str(tmp_path / "rlvr.yaml"), "--output", str(tmp_path / output)])
