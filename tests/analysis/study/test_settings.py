from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from study_cases import grid, study, trial

from analysis.stats.effects import effects
from analysis.study.findings import answer_study
from analysis.study.settings import baseline_of, missing_trials, settings_of
from asyppo_cli.runs.studies import Objective


def test_means_over_seeds_and_paired_differences() -> None:
    found = answer_study(grid({"a": [0.80, 0.82, 0.84], "b": [0.70, 0.71, 0.745], "c": [0.81, 0.80, 0.845]}))
    assert [s.name for s in found.objectives[0].settings] == ["k=a", "k=b", "k=c"]
    assert found.objectives[0].settings[0].mean is not None and found.objectives[0].settings[
        0
    ].mean.mean == pytest.approx(0.82)
    assert list(found.objectives[0].settings[0].values) == [1, 2, 3] and found.baseline == "k=a"
    best, worst = found.objectives[0].effects
    assert (best.setting, best.verdict, worst.setting, worst.verdict) == ("k=c", "no difference", "k=b", "worse")
    # -0.10, -0.11, -0.095: mean -0.1017, standard deviation 0.00764, t 4.3027.
    assert worst.difference.mean == pytest.approx(-0.10167, abs=1e-5)
    assert worst.difference.halfwidth == pytest.approx(4.3027 * 0.0076376 / math.sqrt(3), rel=1e-4)
    assert worst.holm == pytest.approx(2 * worst.difference.p) and best.holm == pytest.approx(best.difference.p)


def test_less_may_be_better() -> None:
    found = answer_study(
        grid({"a": [5.0, 5.1, 5.2], "b": [4.0, 4.12, 4.2]}, objectives=[Objective("time/step", "minimize")])
    )
    assert found.objectives[0].effects[0].verdict == "better" and found.objectives[0].effects[0].difference.mean < 0
    assert "k=b (-0.9933 s) is better than k=a" in found.objectives[0].verdict


def test_the_order_of_trials_changes_nothing() -> None:
    asked = grid({v: [random.Random(f"{v}{i}").gauss(0.8, 0.02) for i in range(7)] for v in "abcd"}, baseline="k=b")
    mixed = list(asked.trials)
    random.Random(0).shuffle(mixed)
    first, second = answer_study(asked), answer_study(replace(asked, trials=tuple(mixed)))
    assert first.objectives[0].effects == second.objectives[0].effects
    assert first.objectives[0].verdict == second.objectives[0].verdict
    assert {s.name: repr(s.mean) for s in first.objectives[0].settings} == {
        s.name: repr(s.mean) for s in second.objectives[0].settings
    }


def test_trials_without_a_number_are_counted_and_named() -> None:
    asked = study(
        [
            trial({"k": "a"}, 1, 0.8),
            trial({"k": "a"}, 2, math.nan, name="odd"),
            trial({"k": "a"}, 3, state="failed", reason="out of memory", name="big"),
            trial({"k": "b"}, 1, 0.7),
            trial({"k": "b"}, 2, 0.1, state="pruned", name="cut"),
        ]
    )
    found = missing_trials(asked)
    assert {(one.name, one.state) for one in found} == {
        ("odd", "without a number"),
        ("big", "failed"),
        ("cut", "pruned"),
        (None, "missing"),
    }
    said = answer_study(asked).findings()[-1]
    assert said.startswith("2 of 5 trials gave a number; ")
    for part in (
        "1 failed (big: out of memory)",
        "1 pruned (cut)",
        "1 missing (k=b with seed 3)",
        "odd: no finite eval",
    ):
        assert part in said
    # Of b only seed 1 has a partner.
    assert answer_study(asked).objectives[0].effects[0].verdict == "cannot tell"


def test_pairs_are_of_common_seeds_only() -> None:
    asked = study(
        [trial({"k": "a"}, s, 0.8 + s / 100) for s in (1, 2, 3)] + [trial({"k": "b"}, s, 0.5) for s in (4, 5)]
    )
    assert answer_study(asked).objectives[0].effects == ()
    assert (
        answer_study(asked).objectives[0].verdict
        == "No difference can be computed: no other setting has a seed in common with k=a."
    )


def test_a_setting_and_seed_run_twice_is_one_draw() -> None:
    (found,) = settings_of(study([trial({"k": "a"}, 1, 0.8), trial({"k": "a"}, 1, 0.9), trial({"k": "a"}, 2, 0.7)]))
    assert found.values == {1: pytest.approx(0.85), 2: 0.7} and len(found.trials) == 3


def test_the_baseline_is_looked_for() -> None:
    asked = grid({"a": [0.8], "bb": [0.9]}, baseline="k=b")
    with pytest.raises(ValueError, match="baseline 'k=b' .*nearest: k=bb"):
        answer_study(asked)
    searched = study([trial({"k": "1"}, 1, 0.8)], kind="search")
    assert baseline_of(searched, ["k=1"]) is None
    with_default = study([trial({"k": "1"}, 1, 0.8), trial({}, 1, 0.7)], kind="search")
    assert baseline_of(with_default, ["k=1", "default"]) == "default"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (study([]), "nothing can be said"),
        (study([trial({"k": "a"}, 1, state="failed")]), "nothing can be said"),
        (
            grid({"a": [0.8, 0.82, 0.84]}),
            "Nothing to compare: k=a alone, 82.0 % (95 % interval 77.0 to 87.0, 3 seeds).",
        ),
        (grid({"a": [0.8], "b": [0.9]}), "k=b against k=a rests on one common seed, which allows no conclusion: add"),
        (grid({"a": [0.8, 0.8, 0.8], "b": [0.8, 0.8, 0.8]}), "No difference is resolved at this number of seeds."),
        (grid({"a": [0.8, 0.8, 0.8], "b": [0.8, 0.8, 0.8]}), "the seeds do not differ at all."),
        (
            grid({"a": [math.nan, math.nan], "b": [math.inf, 0.5]}),
            "Only k=b has a number, 50.0 % (1 seed, no interval)",
        ),
        (grid({"a": [math.nan], "b": [0.5], "c": [0.6]}), "the baseline k=a has no number."),
        (grid({"a": [0.8, 0.82, 0.83], "b": [0.9, 0.92, 0.932]}), "k=b (+10.1 points) is better than k=a."),
    ],
)
def test_a_verdict_claims_no_more_than_the_intervals(asked: object, said: str) -> None:
    assert said in answer_study(asked).objectives[0].verdict  # type: ignore[arg-type]


def test_what_was_not_seen_is_told_with_what_could_have_been() -> None:
    found = answer_study(grid({"a": [0.80, 0.82, 0.84], "b": [0.81, 0.80, 0.86]}))
    # Differences 0.01, -0.02, 0.02: standard deviation 0.0208; (4.3027 + 1.0607) * 0.0208 / sqrt 3 = 0.0645.
    assert "95 % interval of -4.8 to +5.5; one of 6.4 points would have been seen" in found.objectives[0].verdict
    assert "needs more than 200 seeds" in found.objectives[0].verdict and "better" not in found.objectives[0].verdict
    larger = answer_study(grid({"a": [0.80, 0.82, 0.84], "b": [0.81, 0.82, 0.86]}))
    assert "one as small as it is needs some 10 seeds" in larger.objectives[0].verdict


def test_many_comparisons_make_a_finding_doubtful() -> None:
    draw = random.Random(3)
    others = {f"n{i}": [0.8 + draw.gauss(0, 0.02) for _ in range(3)] for i in range(8)}
    found = answer_study(grid({"a": [0.80, 0.80, 0.80], "b": [0.81, 0.812, 0.816], **others}))
    effect = next(e for e in found.objectives[0].effects if e.setting == "k=b")
    assert effect.verdict == "better" and effect.difference.p < 0.05 < effect.holm
    assert "with 9 comparisons chance is not ruled out for k=b (Holm)" in found.objectives[0].verdict
    assert "chance is not ruled out" in next(line for line in found.differences() if line.startswith("k=b is better"))


def test_objectives_are_judged_each_for_itself() -> None:
    both = [Objective("eval/accuracy", "maximize"), Objective("time/step", "minimize")]
    trials = [trial({"k": "a"}, s, 0.8 + s / 100, 2.0 + s / 9) for s in (1, 2, 3)]
    trials += [trial({"k": "b"}, s, 0.811 + s / 90, 1.0 + s / 10) for s in (1, 2, 3)]
    found = answer_study(study(trials, objectives=both))
    assert len(found.objectives) == 2 and "better" in found.objectives[1].verdict
    first, second, front = found.findings()
    assert first.startswith("eval/accuracy: ") and second.startswith("time/step: ")
    assert front.startswith("1 setting is not beaten in eval/accuracy and time/step together: k=b (83.3, 1.2)")
    assert effects({"a": {1: 0.5}}, None) == []
