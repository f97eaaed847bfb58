from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyppo_cli.config.load import load
from asyppo_cli.runs.directory import check_name
from sweeps.definition.definition import StudyDefinition, from_json
from sweeps.definition.grammar import ChoiceAxis, RangeAxis, parse
from sweeps.definition.grid import Trial, grid_size, grid_trials
from sweeps.definition.request import SweepRequest, define, parse_duration
from sweeps.definition.study_files import SCALES, read_study, study_names


def ask(*words: str, **options: object) -> StudyDefinition:
    return define(SweepRequest(words=words, **options))  # type: ignore[arg-type]


def trials(*words: str, seeds: int | None = None) -> list[Trial]:
    return list(grid_trials(ask(*words, seeds=seeds, name="s")))


def test_commas_are_a_grid_and_the_last_key_varies_fastest_one_seed_after_the_other() -> None:
    found = trials("algorithm=asyppo,grpo", "max_steps=2", "utd=one,four", seeds=2)
    assert len(found) == 8
    assert [trial.seed for trial in found] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert found[5].name == "algorithm-asyppo_utd-four_seed-2"
    assert found[5].overrides == ("max_steps=2", "algorithm=asyppo", "utd=four", "seed=2")
    assert (found[5].point, found[5].seed) == ({"algorithm": "asyppo", "utd": "four"}, 2)
    assert ask("algorithm=asyppo,grpo", "learner.policy.lr=1,2", seeds=2).name == "algorithm_lr_seed"


def test_three_numbers_are_exactly_three_runs_per_seed() -> None:
    assert len(trials("mask_pct=0.1,0.2,0.3")) == 3
    assert len(trials("mask_pct=0.1,0.2,0.3", seeds=3)) == 9


@pytest.mark.parametrize(
    ("override", "axis"),
    [
        ("a=choice(1,2)", ChoiceAxis(("1", "2"))),
        ("a=range(1,4)", ChoiceAxis(("1", "2", "3"), ordered=True)),
        ("a=range(0.1,0.4,0.1)", ChoiceAxis(("0.1", "0.2", "0.3"), ordered=True)),
        ("a=range(0.9,1.2,0.1)", ChoiceAxis(("0.9", "1", "1.1"), ordered=True)),
        ("a=range(3,0,-2)", ChoiceAxis(("3", "1"), ordered=True)),
        ("a=range(0,20,10)", ChoiceAxis(("0", "10"), ordered=True)),
        ("a=[1,2],[3]", ChoiceAxis(("[1,2]", "[3]"))),
        ("a='x,y',z", ChoiceAxis(("'x,y'", "z"))),
        ("++a=1,2", ChoiceAxis(("1", "2"))),
        ("a=null,true", ChoiceAxis(("null", "True"))),
        ("a=interval(0,1)", RangeAxis(0.0, 1.0, whole=False, log=False)),
        ("a=int(interval(1,8))", RangeAxis(1, 8, whole=True, log=False)),
        ("a=tag(log,interval(1e-5,1e-3))", RangeAxis(1e-5, 1e-3, whole=False, log=True)),
        ("a=tag(log,int(interval(1,8)))", RangeAxis(1, 8, whole=True, log=True)),
    ],
)
def test_what_several_values_are(override: str, axis: ChoiceAxis | RangeAxis) -> None:
    assert parse([override])[1] == {"a": axis}


def test_quotes_lists_and_mappings_are_one_value() -> None:
    assert [trial.overrides for trial in trials("a='x,y'", "b=[1,2]", "c={d:1,e:2}", seeds=1)] == [
        ("a='x,y'", "b=[1,2]", "c={d:1,e:2}", "seed=1")
    ]


SEARCH = {"trials": 4, "directions": ("maximize",)}
TWO = {"trials": 4, "metrics": ("eval/accuracy", "seconds"), "directions": ("maximize", "minimize")}


@pytest.mark.parametrize(
    ("words", "options", "said"),
    [
        (["a=interval(0,1)"], {}, "a is an interval, which starts a search"),
        (["a=interval(0,1)"], {"trials": 3}, "eval/accuracy needs a --direction"),
        (["a=interval(1,0)"], SEARCH, "the interval is empty"),
        (["a=interval(1,1)"], SEARCH, "the interval is empty"),
        (["a=tag(log,interval(0,1))"], SEARCH, "has to start above 0"),
        (["a=tag(x,interval(0,1))"], SEARCH, "the only tag of an interval is log"),
        (["a=tag(x,choice(1,2))"], {}, "cannot be swept"),
        (["a=shuffle(1,2)"], {}, "cannot be swept"),
        (["a=glob(*)"], {}, "cannot be swept"),
        (["a=1,2,1"], {}, "1 is listed twice"),
        (["a=1,2", "+a=3,4"], {}, "swept twice"),
        (["a=1,2", "+a=3"], {}, "swept as well"),
        (["a=range(1,1)"], {}, "empty"),
        (["a=range(1,5,0)"], {}, "not 0"),
        (["a=1"], {}, "nothing to sweep"),
        ([], {}, "nothing to sweep"),
        (["a=1,2", "seed=1,2"], {"seeds": 3}, "--seeds 3"),
        (["a=1,2", "seed=4"], {"seeds": 3}, "--seeds 3"),
        (["a=1,2"], {"seeds": 0}, "at least 1"),
        (["a=1=,2"], {}, "not an override"),
        (["a=1,2", "utd"], {}, "there is no study 'utd'"),
        (["critic_cuont"], {}, "there is no study 'critic_cuont', and an override is key=value; nearest"),
        (["a=1,2"], {"scale": "paper"}, "--scale paper is for a named study"),
        (["a=interval(0,1)"], SEARCH | {"seeds": 3}, "a search varies settings, not seeds"),
        (["a=interval(0,1)", "seed=1,2"], SEARCH, "a search varies settings, not seeds"),
        (["a=1,2"], {"sampler": "tpe"}, "--sampler tpe is for a search"),
        (["a=1,2"], {"pruner": "median"}, "--pruner median is for a search"),
        (["a=interval(0,1)"], SEARCH | {"sampler": "best"}, "--sampler 'best': choose one of tpe"),
        (["a=interval(0,1)"], SEARCH | {"sampler": "grid"}, "--sampler grid needs lists"),
        (["a=interval(0,1)", "b=1,2"], SEARCH | {"sampler": "cmaes"}, "--sampler cmaes takes only numbers"),
        (["a=interval(0,1)"], SEARCH | {"sampler": "cmaes"}, "--sampler cmaes needs two axes"),
        (["a=interval(0,1)", "b=interval(0,1)"], TWO | {"sampler": "cmaes"}, "--sampler cmaes takes one objective"),
        (["a=interval(0,1)"], TWO | {"pruner": "median"}, "--pruner median needs one objective"),
        (
            ["a=interval(0,1)"],
            SEARCH | {"metrics": ("seconds",), "pruner": "median"},
            "only at the end",
        ),
        (["a=interval(0,1)"], SEARCH | {"directions": ("up",)}, "write maximize or minimize"),
        (["a=interval(0,1)"], SEARCH | {"metrics": ("eval/acuracy",)}, "nearest: eval/accuracy"),
        (["a=interval(0,1)"], TWO | {"directions": ("maximize",)}, "seconds needs a --direction"),
        (["a=interval(0,1)"], SEARCH | {"trials": 0}, "at least 1"),
    ],
)
def test_a_mistake_is_named(words: list[str], options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        ask(*words, **options)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_sampler_that_needs_more_than_is_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.definition.optuna_samplers.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="--sampler gp needs scipy: .* install scipy"):
        ask("a=interval(0,1)", **SEARCH, sampler="gp")


def test_names_are_folders_and_differ() -> None:
    found = trials("learner.policy.lr=1e-4,1e-3", "learner.critics.lr=1,2", "m=/x/b,/y/b", "n=-1,1")
    names = [trial.name for trial in found]
    assert len(set(names)) == 16 and all(check_name(name) == name for name in names)
    assert names[0].startswith("policy.lr-0.0001_critics.lr-1_m-b_n--1")
    assert len({check_name(trial.name) for trial in trials(f"a={'x' * 200},{'x' * 200}y")}) == 2


VALUES = st.lists(
    st.one_of(st.integers(-999, 999).map(str), st.text("ab./'\"-_ x", min_size=1, max_size=6)),
    min_size=1,
    max_size=4,
    unique=True,
)


@given(st.dictionaries(st.sampled_from(["a", "b.c", "d.c", "seed"]), VALUES, min_size=1))
def test_every_point_has_a_name_of_its_own_that_growing_does_not_change(axes: dict[str, list[str]]) -> None:
    whole = StudyDefinition("s", (), {key: ChoiceAxis(tuple(values)) for key, values in axes.items()}, ())
    found = {trial.name: dict(trial.axes) for trial in grid_trials(whole)}
    assert len(found) == grid_size(whole.axes) and all(check_name(name) == name for name in found)
    part = StudyDefinition("s", (), {key: ChoiceAxis(tuple(values[:1])) for key, values in axes.items()}, ())
    (first,) = grid_trials(part)
    assert found[first.name] == dict(first.axes)
    assert from_json(whole.to_json()) == whole


@pytest.mark.parametrize("name", study_names())
def test_every_study_of_the_paper_composes_at_both_scales(name: str) -> None:
    spec = read_study(name)
    for scale in SCALES:
        definition = ask(name, scale=scale, seeds=1)
        for trial in grid_trials(definition):
            load(trial.overrides)
        assert definition.baseline == spec.scales[scale].baseline and definition.question == spec.question
    settings = {
        trial.label or " ".join(f"{k}={v}" for k, v in trial.point.items()) for trial in grid_trials(definition)
    }
    assert set(definition.paper.values if definition.paper else ()) <= settings


def test_the_studies_are_the_papers_ablations() -> None:
    assert study_names() == [
        *("aggregation", "baselines", "critic_count", "critic_size", "data_split", "entropy_filter_pct"),
        *("entropy_term", "group_size", "mask_pct", "mask_signal", "utd", "values_order"),
    ]
    assert ask("critic_size", scale="paper").paper == read_study("critic_size").reported
    assert read_study("mask_pct").reported.values["mask_pct=0.2"] == 51.2  # type: ignore[union-attr]


def test_what_is_typed_changes_a_study() -> None:
    definition = ask("critic_count", "max_steps=20", "critic_count=1,2", seeds=2)
    assert definition.name == "critic_count"
    assert definition.fixed == (*ask("critic_count").fixed, "max_steps=20")
    assert [trial.point for trial in grid_trials(definition)][:2] == [{"critic_count": "1"}, {"critic_count": "2"}]
    assert definition.baseline == "critic_count=2"
    assert ask("critic_count", "critic_count=4,8").baseline is None
    assert ask("critic_count", scale="paper").name == "critic_count-paper"
    study = ask("mask_signal", seeds=1)
    signal = next(grid_trials(study))
    assert (signal.label, signal.name) == ("none", "setting-none_seed-1")
    assert signal.overrides == (*study.fixed, "mask_pct=off", "seed=1") and signal.point == {"mask_pct": "off"}


@pytest.mark.parametrize(("text", "value"), [("90", 90.0), ("90s", 90.0), ("30m", 1800.0), ("1.5h", 5400.0)])
def test_a_time_is_read(text: str, value: float) -> None:
    assert parse_duration(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "2w", "h"])
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="--time-budget"):
        parse_duration(text)
