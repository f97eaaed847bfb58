"""What may be typed, and what is said of what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyppo_cli.config.completion import complete_key, complete_override, complete_words
from asyppo_cli.config.load import load, load_warmstart
from asyppo_cli.config.overrides import quoted
from asyppo_cli.keys import flatten

TRANSLATED = [
    ("critic_count=3", {"critics.count": 3}),
    ("critic_count=four", {"critics.count": 4}),
    ("mask_pct=0.15", {"gates.mask_pct": 0.15}),
    ("mask_pct=0", {"gates.mask_pct": 0}),
    ("mask_pct=off", {"gates.mask_pct": 0.0}),
    ("entropy_filter_pct=1e-1", {"gates.entropy_filter_pct": 0.1}),
    ("utd=3", {"training.utd": 3}),
    ("critic_size=0.4", {"critics.model": None, "critics.depth": 0.4}),
    ("critic_size=half", {"critics.model": None, "critics.depth": 0.5}),
    ("learner.policy.lr=1", {"learner.policy.lr": 1}),
    ("learner.policy.lr=1e-6", {"learner.policy.lr": 1e-6}),
    ("policy.model='/a folder/b=c, [d]'", {"policy.model": "/a folder/b=c, [d]"}),
    ("policy.revision=null", {"policy.revision": None}),
    ("gates={mask_pct: 0.4, scope: response}", {"gates.mask_pct": 0.4, "gates.scope": "response"}),
    ("task.params={max_terms: 5}", {"task.params.max_terms": 5, "task.params.min_terms": 4}),
    ("task.params.new_one=word", {"task.params.new_one": "word"}),
    ("+task.params.new_one=2", {"task.params.new_one": 2}),
    ("++seed=5", {"seed": 5}),
    ("+experiment=quick", {"max_steps": 8}),
    ("max_steps=${rollout.prompts}", {"max_steps": 32}),
]


@pytest.mark.parametrize(("typed", "expected"), TRANSLATED)
def test_the_grammar(typed: str, expected: dict[str, object]) -> None:
    loaded = load([typed])
    flat = flatten(loaded.resolved)
    assert {key: flat[key] for key in expected} == expected
    assert loaded.overrides == (typed,)


def test_an_argument_of_a_task_can_be_deleted() -> None:
    assert "min_terms" not in load(["~task.params.min_terms"]).config.task.params


def test_the_last_of_several_wins() -> None:
    assert load(["mask_pct=0.1", "gates.mask_pct=0.3"]).config.gates.mask_pct == 0.3
    assert load(["mask_pct=0.3", "mask_pct=off"]).config.gates.mask_pct == 0.0
    assert load(["mask_pct=off", "mask_pct=0.3"]).config.gates.mask_pct == 0.3
    assert load(["critic_size=0.4", "critic_size=half"]).config.critics.depth == 0.5
    assert load(["critic_size=half", "critic_size=0.4"]).config.critics.depth == 0.4
    assert load(["critic_size=0.4", "critic_size=mini"]).config.critics.model == "embedded:critic"
    assert load(["algorithm=ppo", "algorithm=vapo"]).config.policy_loss.nll_coef == 0.1


def test_an_option_that_is_typed_wins_over_an_experiment_that_sets_its_key(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\ngates:\n  mask_pct: 0.4\n")
    assert load(["experiment=mine"], tmp_path).config.gates.mask_pct == 0.4
    assert load(["mask_pct=paper", "experiment=mine"], tmp_path).config.gates.mask_pct == 0.2


@pytest.mark.parametrize("value", ["it's", "a\\b", "a\\", "a\\'b", "C:\\x\\y z", ",=()[]{}é"])
def test_text_in_quotes_is_read_as_it_was(value: str) -> None:
    loaded = load([f"task.system_prompt={quoted(value)}"])
    assert loaded.config.task.system_prompt == value


MISTAKES = [
    # Unknown names are answered with the nearest.
    ("critics.cuont=3", ["'critics.cuont'", "critics.count"]),
    ("algoritm=grpo", ["'algoritm'", "algorithm"]),
    ("grpo=1", ["algorithm=grpo"]),
    ("lr=1", ["learner.policy.lr", "learner.critics.lr"]),
    ("gates={foo: 1}", ["'gates.foo'"]),
    ("hydra.run.dir=x", ["hydra.run.dir=x", "leave it out"]),
    ("ALGORITHM=grpo", ["nearest: algorithm"]),
    ("recipe=policy", ["'recipe'"]),
    ("+nothing=1", ["'nothing'"]),
    ("=3", ["key=value"]),
    # Options and numbers.
    ("algorithm=gpo", ["algorithm takes", "dapo", "nearest: gspo"]),
    ("algorithm=ASYPPO", ["nearest: asyppo"]),
    ("critic_count=null", ["nearest: none"]),
    ("mask_pct=sometimes", ["off, paper or a number"]),
    ("mask_pct=true", ["off, paper or a number"]),
    ("mask_pct=[0.1,0.2]", ["off, paper or a number"]),
    ("task=3", ["chain_sum, deepmath, jsonl, reasoning_gym"]),
    ("task@elsewhere=jsonl", ["task=jsonl"]),
    ("~experiment", ["cannot be left out"]),
    # Values: key in full, value, what is allowed.
    ("mask_pct=2", ["gates.mask_pct=2", "a number from 0 to 1"]),
    ("critic_count=2.5", ["critics.count=2.5", "a whole number at least 0"]),
    ("critic_size=0", ["critic_size=0: critics.depth=0", "above 0 and at most 1"]),
    ("utd=0", ["training.utd=0", "at least 1"]),
    ("seed=-1", ["seed=-1", "a whole number from 0 to"]),
    ("rollout.prompts=1.0", ["rollout.prompts=1.0", "a whole number"]),
    ("learner.policy.lr=abc", ["learner.policy.lr=abc", "a number above 0"]),
    ("learner.policy.lr='1'", ["learner.policy.lr=1", "a number above 0"]),
    ("learner.policy.lr=nan", ["learner.policy.lr=NaN", "finite"]),
    ("learner.policy.lr=inf", ["learner.policy.lr=Infinity", "finite"]),
    ("learner.policy.lr=1e400", ["learner.policy.lr=Infinity", "finite"]),
    ("mask_pct=nan", ["mask_pct=nan", "finite"]),
    ("task.params.x=inf", ["task.params.x=Infinity", "finite"]),
    ("mask_pct=-0.1", ["gates.mask_pct=-0.1", "from 0 to 1"]),
    ("utd=1e1", ["utd=1e1: training.utd=10.0", "a whole number"]),
    ("learner.policy.beta1=1", ["learner.policy.beta1=1", "below 1"]),
    ("policy.model=", ["policy.model=", "not empty"]),
    ("seed=99999999999", ["from 0 to 4294967295"]),
    ("logging.wandb=false", ["one of off, offline, online", "in quotes"]),
    ("learner.dtype=fp16", ["learner.dtype=fp16", "one of float32, bfloat16"]),
    ("logging.tensorboard=yes", ["logging.tensorboard=yes", "true or false"]),
    ("critics.value_clip=0", ["critics.value_clip=0", "a number above 0 or null"]),
    ("task.params.x=[1,2]", ["task.params.x=[1, 2]", "a single value"]),
    ("task.params.x.y=1", ["task.params.x={", "a single value"]),
    ("gates=3", ["gates is a section", "gates.mask_pct=VALUE"]),
    ("records=null", ["records is a section"]),
    ("seed=???", ["seed has no value", "seed=VALUE"]),
    ("policy=local", ["policy.model has no value"]),
    ("seed=${nowhere}", ["seed: ", "'nowhere' not found"]),
    ("seed=${seed}", ["seed: "]),
    # Not an override, or not one value.
    ("seed", ["key=value"]),
    ("", ["key=value"]),
    ("policy.model=a=b", ["quotes"]),
    ("seed =3", ["key=value"]),
    ("a=${x", ["quotes"]),
    ("policy.model=~/models/x(1)", ["\"policy.model='~/models/x(1)'\""]),
    ("task.params={}", ["changes nothing", "~KEY"]),
    ("~seed", ["cannot be deleted"]),
    ("mask_pct=0.1,0.2", ["asyppo sweep mask_pct=0.1,0.2"]),
    ("critics.depth=interval(0,1)", ["asyppo sweep"]),
    ("algorithm=ppo,grpo", ["asyppo sweep"]),
    ("seed=range(1,4)", ["asyppo sweep"]),
]


@pytest.mark.parametrize(("typed", "said"), MISTAKES)
def test_a_mistake_is_one_line_that_helps(typed: str, said: list[str]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        load([typed])
    message = str(caught.value)
    assert type(caught.value) is ValueError and "\n" not in message
    assert [words for words in said if words not in message] == [], message


CONTRADICTIONS = [
    (["mask_pct=0.7", "entropy_filter_pct=0.6"], "at most 1, but 0.7 + 0.6 is 1.3"),
    (["critic_count=9"], "rollout.responses=8"),
    (["critic_count=0"], "needs critics"),
    (["algorithm=grpo", "critic_count=1"], "uses no critic"),
    (["algorithm=grpo", "rollout.responses=1"], "at least 2"),
    (["algorithm=grpo", "policy_loss.kl_coef=0.1", "policy_loss.kl_in=reward"], "policy_loss.kl_in=loss"),
    (["task=jsonl"], "task.path=FILE"),
    (["rollout.prompts=1", "critics.mini_batches=5"], "the 4 responses of each critic"),
    (["rollout.prompts=2", "critics.split=by_prompt", "critics.mini_batches=9"], "the 8 responses of each critic"),
]


@pytest.mark.parametrize(("typed", "said"), CONTRADICTIONS)
def test_settings_that_make_no_sense_together(typed: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        load(typed)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_several_bad_values_are_counted() -> None:
    with pytest.raises(ValueError, match=r"^seed=-1 must .* \(and 2 more\)$"):
        load(["seed=-1", "utd=0", "task.params.x=[1]"])


def test_a_warm_start_has_groups_of_its_own() -> None:
    assert load_warmstart(["recipe=critic"]).config.architecture["hidden_size"] == 64
    with pytest.raises(ValueError, match="'algorithm'"):
        load_warmstart(["algorithm=grpo"])


USER_FILES = [
    ("utd/one.yaml", "training: {utd: 2}\n", [], "utd=one is there already"),
    ("utd/odd.yaml", "# @package _global_\ntraining: [\n", ["utd=odd"], "odd.yaml"),
    ("utd/odd.yaml", "# @package _global_\ntrainig:\n  utd: 2\n", ["utd=odd"], "nearest: training.utd"),
    ("utd/odd.yaml", "defaults:\n  - nowhere\n", ["utd=odd"], "nowhere"),
    ("utd/odd.yaml", "# @package _global_\ntraining:\n  utd: 0\n", ["utd=odd"], "odd.yaml: training.utd=0 must"),
    ("utd/odd.yaml", "training:\n  utd: 2\n", ["utd=odd"], "# @package _global_"),
    ("utd/odd.yaml", "- 1\n", [], "odd.yaml: settings are written as key: value"),
    ("utd/odd.yml", "training:\n  utd: 2\n", [], "must end in .yaml"),
    ("algorithm/odd.yaml", "defaults:\n  - override /mask_pct: off\n", [], "odd.yaml: override /mask_pct: False"),
    ("algorithm/odd.yaml", "defaults:\n  - override /mask_pct: 0.3\n", [], "odd.yaml: override /mask_pct: 0.3"),
    ("algorithm/odd.yaml", "defaults: asyppo\n", [], "odd.yaml: defaults must be a list"),
    ("logging/odd.yaml", "wandb: off\nwandb_project: x\ntensorboard: false\n", ["logging=odd"], "write it in quotes"),
    ("utd/odd.yaml", "# @package _global_\ntraining:\n  utd: 2\n  utd: 3\n", ["utd=odd"], "duplicate key utd"),
]


@pytest.mark.parametrize(("name", "text", "typed", "said"), USER_FILES)
def test_mistakes_in_a_users_file(tmp_path: Path, name: str, text: str, typed: list[str], said: str) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=r".") as caught:
        load(typed, tmp_path)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_users_file_reads_a_rate_as_a_number(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "slow.yaml").write_text("# @package _global_\nlearner:\n  policy:\n    lr: 1e-6\n")
    assert load(["experiment=slow"], tmp_path).config.learner.policy.lr == 1e-6


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "utd").mkdir()
    (tmp_path / "utd" / "odd.yaml").write_bytes(b"\x80\x81")
    with pytest.raises(ValueError, match=r"odd\.yaml is not YAML"):
        load([], tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        load([], tmp_path / "nowhere")


def test_completion_offers_names_then_values() -> None:
    assert complete_override("mask") == ["mask_pct="]
    assert complete_override("mask_pct=p") == ["mask_pct=paper"]
    assert complete_override("learner.dtype=") == ["learner.dtype=float32", "learner.dtype=bfloat16"]
    assert complete_override("logging.tens") == ["logging.tensorboard="]
    assert complete_override("seed=") == []
    assert complete_override("reci", "warmstart") == ["recipe="]
    assert complete_key("gates.m") == ["gates.mask_pct", "gates.mask_signal"]


@pytest.mark.parametrize("words", [["seed=1", "mask_pct", "="], ["seed=1", "mask_pct"]])
def test_completion_of_a_word_that_bash_cut_at_its_equals_sign(words: list[str]) -> None:
    assert complete_words(words, "p") == ["paper"]
    assert complete_words(["seed=1"], "utd=o") == ["utd=one"]
