"""Every file under conf/ makes a valid configuration, and the methods are what their papers say."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from asyppo_cli.config import schema
from asyppo_cli.config.groups import description, option_values, read_groups
from asyppo_cli.config.load import load, load_warmstart
from asyppo_cli.config.settings import read_settings
from asyppo_cli.keys import flatten

GROUPS = read_groups("config", None)
OPTIONS = [(group.name, option) for group in GROUPS.values() for option in group.options]
RECIPES = list(read_groups("warmstart", None)["recipe"].options)
# What an option cannot know: the user's own model or file.
NEEDED = {
    "local": ["policy.model=somewhere"],
    "local_model": ["policy.model=somewhere"],
    "jsonl": ["task.path=problems.jsonl"],
}
# Methods that compare responses with each other: no critic, hence no gates.
CRITIC_FREE = ["grpo", "dr_grpo", "rloo", "reinforce_pp", "reinforce_pp_baseline", "dapo", "gspo", "lite_ppo"]


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes(group: str, option: str) -> None:
    # A number of critics other than the method's own needs a method that uses critics.
    extra = ["algorithm=grpo"] if (group, option) == ("critic_count", "none") else []
    loaded = load([f"{group}={option}", *NEEDED.get(option, []), *extra])
    values = option_values(group, GROUPS[group].options[option])
    flat = flatten(loaded.resolved)
    given = [typed.partition("=")[0] for typed in NEEDED.get(option, [])]
    for key, value in values.items():
        if key not in given:
            assert flat[key] == value, key


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_says_what_it_is(group: str, option: str) -> None:
    text = description(GROUPS[group].options[option])
    assert text.endswith(".") and len(text) <= 118


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_composes(recipe: str) -> None:
    assert load_warmstart([f"recipe={recipe}"]).config.init in ("architecture", "pretrained")


@pytest.mark.parametrize("option", GROUPS["algorithm"].options)
def test_every_method_composes_with_the_experiments(option: str) -> None:
    for experiment in GROUPS["experiment"].options:
        needed = NEEDED.get(experiment, [])
        config = load([f"algorithm={option}", f"experiment={experiment}", "utd=4", *needed]).config
        assert config.training.utd == 4


def test_a_methods_critic_stays_its_own_beside_another_model() -> None:
    config = load(["experiment=local_model", "policy.model=somewhere", "algorithm=ppo"]).config
    assert (config.critics.count, config.critics.model, config.critics.depth) == (1, None, 1.0)


def test_composition_and_schema_have_the_same_keys() -> None:
    for name, composed in (("Config", load([]).resolved), ("WarmstartConfig", load_warmstart([]).resolved)):
        settings = read_settings(getattr(schema, name))
        keys = {found.key for found in map(settings.find, flatten(composed)) if found is not None}
        assert keys == set(settings.keys)


def test_no_default_lives_in_the_schema() -> None:
    for _, section in inspect.getmembers(schema, inspect.isclass):
        if issubclass(section, BaseModel):
            optional = [name for name, field in section.model_fields.items() if not field.is_required()]
            assert not optional, f"{section.__name__}: {optional}"


def test_every_key_is_documented() -> None:
    for section in (schema.Config, schema.WarmstartConfig):
        settings = read_settings(section)
        assert all(setting.meaning.endswith(".") for setting in settings.keys.values())
        assert all(settings.sections.values())


def test_a_configuration_is_frozen() -> None:
    config = load([]).config
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 2  # type: ignore[misc]


def test_the_default_is_the_method_of_the_paper() -> None:
    config = load([]).config
    assert (config.critics.count, config.critics.split, config.critics.aggregation) == (2, "by_response", "mean")
    assert (config.gates.mask_pct, config.gates.entropy_filter_pct) == (0.2, 0.2)
    assert (config.gates.mask_signal, config.gates.entropy_filter_signal) == ("value_std", "value_std")
    assert (config.advantage.gamma, config.advantage.lambd, config.advantage.whiten) == (1.0, 1.0, False)
    assert (config.policy_loss.clip_low, config.policy_loss.clip_high) == (0.2, 0.2)
    assert (config.policy_loss.entropy_coef, config.policy_loss.kl_coef) == (0.01, 0.0)
    assert config.task.system_prompt == "Please reason step by step, and put your final answer within \\boxed{}."


METHODS: list[tuple[str, dict[str, Any]]] = [
    ("ppo", {"critics.count": 1, "critics.model": None, "critics.depth": 1.0, "gates.mask_pct": 0.0}),
    ("asymmetric_single", {"critics.count": 1, "critics.model": "embedded:critic", "gates.entropy_filter_pct": 0.0}),
    ("naive_ensemble", {"critics.count": 2, "critics.split": "shared", "gates.mask_pct": 0.0}),
    ("orz", {"advantage.lambd": 1.0, "policy_loss.entropy_coef": 0.0, "policy_loss.kl_coef": 0.0}),
    ("vc_ppo", {"advantage.lambd": 0.95, "advantage.critic_lambd": 1.0}),
    ("vapo", {"advantage.length_adaptive_alpha": 0.05, "policy_loss.clip_low": 0.2, "policy_loss.clip_high": 0.28}),
    ("vapo", {"policy_loss.aggregation": "token_mean", "policy_loss.nll_coef": 0.1}),
    ("grpo", {"advantage.estimator": "grpo", "policy_loss.aggregation": "response_mean"}),
    ("dr_grpo", {"advantage.estimator": "dr_grpo", "policy_loss.aggregation": "constant"}),
    ("rloo", {"advantage.estimator": "rloo"}),
    ("reinforce_pp", {"advantage.estimator": "reinforce_pp"}),
    ("reinforce_pp_baseline", {"advantage.estimator": "reinforce_pp_baseline"}),
    ("dapo", {"policy_loss.clip_low": 0.2, "policy_loss.clip_high": 0.28, "policy_loss.aggregation": "token_mean"}),
    ("dapo", {"advantage.estimator": "grpo", "rewards.drop_uniform_groups": True}),
    ("gspo", {"policy_loss.ratio": "sequence", "advantage.estimator": "grpo"}),
    ("lite_ppo", {"advantage.estimator": "lite_ppo", "policy_loss.aggregation": "token_mean"}),
]


@pytest.mark.parametrize(("method", "expected"), METHODS)
def test_methods_are_what_their_papers_say(method: str, expected: dict[str, Any]) -> None:
    flat = flatten(load([f"algorithm={method}"]).resolved)
    assert {key: flat[key] for key in expected} == expected


@pytest.mark.parametrize("method", CRITIC_FREE)
def test_methods_without_critics_have_no_gates(method: str) -> None:
    config = load([f"algorithm={method}"]).config
    assert (config.critics.count, config.gates.mask_pct, config.gates.entropy_filter_pct) == (0, 0.0, 0.0)


@pytest.mark.parametrize("experiment", GROUPS["experiment"].options)
def test_symmetric_ppo_has_a_critic_of_the_policys_size_in_every_experiment(experiment: str) -> None:
    config = load([f"experiment={experiment}", "algorithm=ppo", "policy.model=embedded:policy"]).config
    assert (config.critics.count, config.critics.model, config.critics.depth) == (1, None, 1.0)


def test_every_method_is_listed_above() -> None:
    assert {"asyppo", *(method for method, _ in METHODS)} == set(GROUPS["algorithm"].options)


def test_what_the_user_chooses_wins_over_the_method() -> None:
    for order in (["critic_count=two", "algorithm=ppo"], ["algorithm=ppo", "critic_count=two"]):
        config = load([*order, "mask_pct=0.3", "critics.depth=0.5"]).config
        assert (config.critics.count, config.gates.mask_pct, config.critics.depth) == (2, 0.3, 0.5)
        assert config.gates.entropy_filter_pct == 0.0


def test_a_folder_of_the_users_own_adds_options_and_groups(tmp_path: Path) -> None:
    folder = tmp_path / "it's mine, [really]"
    for name, text in {
        "critic_size/huge.yaml": "# @package _global_\ncritics:\n  model: null\n  depth: 0.9\n",
        "study/long.yaml": "# @package _global_\nmax_steps: 7\n",
    }.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
    config = load(["critic_size=huge", "study=long"], folder).config
    assert (config.critics.depth, config.max_steps) == (0.9, 7)
    assert load([], folder).config.max_steps != 7


def test_loading_leaves_no_trace_of_another_load() -> None:
    first = load(["mask_pct=0.4"]).resolved
    assert load([]).resolved["gates"]["mask_pct"] == 0.2
    assert load(["mask_pct=0.4"]).resolved == first


def test_a_resolved_configuration_can_be_loaded_as_it_is() -> None:
    loaded = load(["algorithm=vapo"])
    assert schema.Config.model_validate(loaded.resolved) == loaded.config
