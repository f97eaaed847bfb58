from __future__ import annotations

import pytest

from asyppo_cli.config.load import load
from asyppo_cli.runs.directory import check_name
from sweeps.grid import axis_names, expand


def points(*overrides: str, seeds: int | None = None) -> list[dict[str, str]]:
    return [dict(trial.point) for trial in expand(overrides, seeds)]


def test_commas_are_a_grid_and_the_last_key_varies_fastest() -> None:
    trials = expand(["algorithm=asyppo,grpo", "max_steps=2", "utd=one,four"], 2)
    assert len(trials) == 8
    assert trials[3].name == "algorithm-asyppo_utd-four_seed-2"
    assert trials[3].overrides == ("max_steps=2", "algorithm=asyppo", "utd=four", "seed=2")
    assert trials[3].setting == "algorithm=asyppo utd=four"
    assert axis_names(trials) == ["algorithm", "utd", "seed"]


def test_three_numbers_are_exactly_three_runs_per_seed() -> None:
    assert len(expand(["mask_pct=0.1,0.2,0.3"], None)) == 3
    assert len(expand(["mask_pct=0.1,0.2,0.3"], 3)) == 9


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("a=choice(1,2)", ["1", "2"]),
        ("a=range(1,4)", ["1", "2", "3"]),
        ("a=range(0.1,0.4,0.1)", ["0.1", "0.2", "0.3"]),
        ("a=range(0.9,1.2,0.1)", ["0.9", "1", "1.1"]),
        ("a=range(3,0,-2)", ["3", "1"]),
        ("a=range(0,20,10)", ["0", "10"]),
        ("a=[1,2],[3]", ["[1,2]", "[3]"]),
        ("a='x,y',z", ["'x,y'", "z"]),
        ("++a=1,2", ["1", "2"]),
        ("a=null,true", ["null", "True"]),
    ],
)
def test_what_several_values_are(override: str, values: list[str]) -> None:
    assert [point["a"] for point in points(override)] == values


def test_quotes_lists_and_mappings_are_one_value() -> None:
    trials = expand(["a='x,y'", "b=[1,2]", "c={d:1,e:2}"], 1)
    assert [trial.overrides for trial in trials] == [("a='x,y'", "b=[1,2]", "c={d:1,e:2}", "seed=1")]
    assert trials[0].setting == "default"


@pytest.mark.parametrize(
    ("overrides", "seeds", "said"),
    [
        (["a=interval(0,1)"], None, "a search is not supported yet"),
        (["a=tag(log,interval(1,2))"], None, "a search is not supported yet"),
        (["a=tag(x,choice(1,2))"], None, "a search is not supported yet"),
        (["a=shuffle(1,2)"], None, "not supported"),
        (["a=glob(*)"], None, "not supported"),
        (["a=1,2,1"], None, "1 is listed twice"),
        (["a=1,2", "+a=3,4"], None, "swept twice"),
        (["a=1,2", "+a=3"], None, "swept as well"),
        (["a=range(1,1)"], None, "empty"),
        (["a=range(1,5,0)"], None, "not 0"),
        (["a=1"], None, "nothing to sweep"),
        (["a=1,2", "seed=1,2"], 3, "--seeds 3"),
        (["a=1,2", "seed=4"], 3, "--seeds 3"),
        (["a=1,2"], 0, "at least 1"),
        (["a=1=,2"], None, "not an override"),
    ],
)
def test_a_mistake_is_named(overrides: list[str], seeds: int | None, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        expand(overrides, seeds)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_names_are_folders_and_differ() -> None:
    trials = expand(["learner.policy.lr=1e-4,1e-3", "learner.critics.lr=1,2", "m=/x/b,/y/b", "n=-1,1"], None)
    names = [trial.name for trial in trials]
    assert len(set(names)) == 16 and all(check_name(name) == name for name in names)
    assert names[0].startswith("policy.lr-0.0001_critics.lr-1_m-b_n--1")
    long = expand([f"a={'x' * 200},{'x' * 200}y"], None)
    assert len({check_name(trial.name) for trial in long}) == 2


def test_every_point_of_the_baselines_composes() -> None:
    for trial in expand(["algorithm=asyppo,ppo,asymmetric_single,grpo", "utd=one,four"], 1):
        assert load(trial.overrides).config.seed == 1
