from __future__ import annotations

import random

import pytest
from study_cases import grid, study, trial

from analysis.study.axes import averaged, axis_effects, grid_axes
from analysis.study.findings import answer_study
from analysis.study.settings import settings_of
from asyppo_cli.runs.studies import Study

NOISE = {1: 0.001, 2: -0.002, 3: 0.0015}


def two_by_three(bonus: float, seeds: tuple[int, ...] = (1, 2, 3)) -> Study:
    """``utd=4`` costs 3 points, ``mask=b`` one; where both are, ``bonus`` more. Noise differs by cell and seed."""
    draw, trials = random.Random(2), []
    for utd in ("1", "4"):
        for mask in ("a", "b", "c"):
            for seed in seeds:
                value = 0.8 - 0.03 * (utd == "4") - 0.01 * (mask == "b") + bonus * (utd == "4" and mask == "b")
                trials.append(trial({"x.utd": utd, "mask": mask}, seed, value + NOISE[seed] + draw.gauss(0, 1e-4)))
    return study(trials)


def test_an_axis_is_judged_over_all_settings_of_the_others() -> None:
    found = axis_effects(settings_of(two_by_three(0.0)), "x.utd=1 mask=a", "maximize")
    assert [(e.setting, e.baseline, e.verdict) for e in found[:3]] == [
        ("utd=4", "utd=1", "worse"),
        ("mask=b", "mask=a", "worse"),
        ("mask=c", "mask=a", "no difference"),
    ]
    assert [e.difference.mean for e in found] == pytest.approx([-0.03, -0.01, 0.0, 0.0, 0.0], abs=3e-4)
    assert [e.setting for e in found[3:]] == ["utd=4 with mask=b", "utd=4 with mask=c"]


def test_values_that_do_more_together_are_found() -> None:
    said = answer_study(two_by_three(0.02))
    (both, other) = said.objectives[0].axes[3:]
    assert both.verdict == "better" and both.difference.mean == pytest.approx(0.02, abs=5e-4)
    assert other.verdict == "no difference"
    line = said.findings()[1]
    assert line.startswith("Averaged over the other axes, utd=4 is worse than utd=1 (-2.")
    assert "utd=4 with mask=b is better than the sum of both alone (+2.0 points)" in line
    assert "utd=4 with mask=b is better than the sum of both alone: +2.0 points" in said.axis_differences()[3]


def test_seeds_without_all_settings_are_left_out_of_the_average() -> None:
    asked = two_by_three(0.0)
    fewer = settings_of(study([t for t in asked.trials if (t.point["mask"], t.seed) != ("c", 2)]))
    assert list(averaged(fewer, {"x.utd": "4"})) == [1, 3]
    assert list(averaged(fewer, {"mask": "a"})) == [1, 2, 3] and averaged(fewer, {"mask": "z"}) == {}


def test_there_is_nothing_to_average_with_one_axis_or_a_list() -> None:
    one = settings_of(grid({"1": [0.5, 0.6], "2": [0.7, 0.8]}))
    assert axis_effects(one, "k=1", "maximize") == [] and grid_axes(one) == {"k": ["1", "2"]}
    listed = settings_of(study([trial({"a": a, "b": b}, 1, 0.5, label=a + b) for a in "12" for b in "12"]))
    assert grid_axes(listed) == {} and axis_effects(listed, "11", "maximize") == []
    assert axis_effects(settings_of(two_by_three(0.0)), None, "maximize") == []


def test_one_seed_allows_no_conclusion_of_axes_either() -> None:
    said = answer_study(two_by_three(0.0, seeds=(1,)))
    assert all(effect.verdict == "cannot tell" for effect in said.objectives[0].axes)
    assert "none of 5 effects is resolved" in said.findings()[1]
