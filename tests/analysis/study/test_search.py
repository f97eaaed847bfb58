from __future__ import annotations

import itertools
import math
import random
import sys

import numpy as np
import pytest
from study_cases import ACCURACY, study, trial

from analysis.study.findings import answer_study, with_importance
from analysis.study.importance import explained, groups_of, importance_sentence, importances, ped_anova
from analysis.study.search import FrontPoint, front, front_points, search_result
from analysis.study.settings import settings_of
from asyppo_cli.requirements import pip_install
from asyppo_cli.runs.studies import Objective, Study, StudyTrial

MORE, LESS = Objective(ACCURACY, "maximize"), Objective("time/step", "minimize")


def searched(n: int, effect: float, seed: int = 0, **more: object) -> Study:
    """A search in which only ``lr`` does something."""
    draw, trials = random.Random(seed), []
    for number in range(n):
        lr, mask, count = 10 ** draw.uniform(-5, -3), draw.uniform(0, 0.4), draw.choice(["two", "four"])
        value = 0.85 - effect * (math.log10(lr) + 4) ** 2 + draw.gauss(0, 0.01)
        point = {"learner.policy.lr": f"{lr:.4g}", "gates.mask_pct": f"{mask:.3f}", "critic_count": count}
        trials.append(trial(point, 1, value, name=f"t{number}"))
    return study(trials, kind="search", **more)


def test_the_best_are_ranked_and_counted_against_the_default() -> None:
    asked = study(
        [trial({"k": str(i)}, 1, value, name=f"t{i}") for i, value in enumerate([0.7, 0.9, 0.8, 0.6])]
        + [trial({}, 1, 0.75), trial({"k": "9"}, 1, state="failed", reason="no")],
        kind="search",
    )
    settings = settings_of(asked)
    said = search_result(settings, "default", MORE)
    assert [s.name for s in said.best] == ["k=1", "k=2", "default", "k=0", "k=3"]
    assert (said.known, said.beating) == (5, 2)
    assert [s.name for s in search_result(settings, None, Objective(ACCURACY, "minimize")).best][:2] == ["k=3", "k=0"]
    words = answer_study(asked).findings()
    assert words[0].startswith("5 settings were tried, one seed each, default among them.")
    assert "The best of 5 settings is k=1 with 90.0 %; 2 of the 4 others beat default; chosen as the best" in words[1]


def brute_front(points: list[tuple[float, ...]]) -> set[int]:
    """Less is better: the definition itself."""
    return {
        i
        for i, p in enumerate(points)
        if not any(q != p and all(a <= b for a, b in zip(q, p, strict=True)) for q in points)
    }


def points_of(trials: list[StudyTrial], objectives: list[Objective]) -> list[FrontPoint]:
    found = study(trials, objectives=objectives)
    return front_points([settings_of(found, n) for n in range(len(objectives))])


@pytest.mark.parametrize("size", [2, 3])
def test_the_front_is_that_of_its_definition(size: int) -> None:
    draw = random.Random(size)
    objectives = [Objective(f"m{i}", "maximize" if i else "minimize") for i in range(size)]
    for _ in range(30):
        # Few values, so that there are ties.
        points = [tuple(float(draw.randint(0, 4)) for _ in range(size)) for _ in range(12)]
        trials = [
            trial({"k": str(i)}, 1, *(p if not n else -p for n, p in enumerate(point)))
            for i, point in enumerate(points)
        ]
        draw.shuffle(trials)
        kept = {int(point.name.removeprefix("k=")) for point in front(points_of(trials, objectives), objectives)}
        assert kept == brute_front(points)


def test_a_setting_without_a_number_of_each_is_not_on_the_front() -> None:
    trials = [trial({"k": "1"}, 1, 0.9, math.nan), trial({"k": "2"}, 1, 0.8, 2.0), trial({"k": "3"}, 1, state="failed")]
    assert [point.name for point in front(points_of(trials, [MORE, LESS]), [MORE, LESS])] == ["k=2"]


def test_what_matters_is_found_and_nothing_else() -> None:
    pytest.importorskip("optuna")
    said = importances(settings_of(searched(120, 0.03)), MORE)
    assert {one.key: one.significant for one in said.keys} == {
        "learner.policy.lr": True,
        "gates.mask_pct": False,
        "critic_count": False,
    }
    assert said.keys[0].key == "learner.policy.lr" and sum(one.share for one in said.keys) == pytest.approx(1.0)
    assert "what decides on eval/accuracy is lr (" in importance_sentence(said)
    assert "cannot be told from chance" in importance_sentence(said)


def test_noise_is_seldom_taken_for_something() -> None:
    pytest.importorskip("optuna")
    said = [importances(settings_of(searched(30, 0.0, seed)), MORE) for seed in range(20)]
    assert sum(any(one.significant for one in found.keys) for found in said) <= 3
    assert "no key can be told from one that does nothing" in importance_sentence(said[0])


def test_too_few_say_nothing() -> None:
    few = importances(settings_of(searched(9, 0.03)), MORE)
    assert few.keys == () and importance_sentence(few).endswith("importance needs 10 settings, and 9 have a number.")
    same = study([trial({"k": str(i)}, 1, 0.5) for i in range(12)], kind="search")
    assert importances(settings_of(same), MORE).why == "nothing varies, so nothing is important"


def test_the_default_has_no_place_on_the_scales() -> None:
    pytest.importorskip("optuna")
    asked = searched(60, 0.03)
    with_default = study([*asked.trials, trial({}, 1, 0.2)], kind="search")
    assert importances(settings_of(with_default), MORE) == importances(settings_of(asked), MORE)


def test_the_share_explained_is_that_of_groups_by_hand() -> None:
    # Means 1 and 3 of two groups of two, total mean 2: between 4 of 5 in all, corrected 1 - 0.2 * 3 / 2.
    losses = np.array([0.5, 1.5, 3.0, 3.0])
    mixed = np.array(list(itertools.permutations(losses)))
    share, chance = explained(np.array([0, 0, 1, 1]), losses, mixed)
    total = ((losses - 2) ** 2).sum()
    assert share == pytest.approx(1 - (1 - 4 / total) * 3 / 2)
    # Of 24 orders 8 put the same two together; and the order itself counts once more.
    assert chance == pytest.approx(9 / 25)


def test_groups_are_of_like_size() -> None:
    assert list(groups_of(["1", "2", "2", "1"])) == [0, 1, 1, 0]
    assert sorted(np.bincount(groups_of([str(i / 7) for i in range(40)]))) == [8] * 5
    # Rare words are one group.
    assert len(set(groups_of(["a"] * 5 + ["b"] * 5 + ["c", "d"]))) == 3
    assert set(groups_of([str(x) for x in [0.0] * 30 + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])) == {0, 1}


def test_ped_anova_is_optunas_own() -> None:
    optuna = pytest.importorskip("optuna")
    draw = random.Random(1)
    column = [str(draw.uniform(0, 1)) for _ in range(40)]
    other = [draw.choice("ab") for _ in range(40)]
    losses = [float(x) ** 2 + draw.gauss(0, 0.1) for x in column]
    before = optuna.logging.get_verbosity()
    shares = ped_anova({"x": column, "c": other}, losses)
    assert optuna.logging.get_verbosity() == before
    assert shares["x"] > 0.7 and shares["x"] + shares["c"] == pytest.approx(1.0)


def test_without_optuna_a_notice_says_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    said = with_importance(answer_study(searched(20, 0.03)))
    (notice,) = said.notices
    assert said.objectives[0].importances is None and pip_install("optuna") in notice
    assert said.findings()[-1] == notice


def test_seeds_of_a_search_are_averaged() -> None:
    trials = [trial({"k": k}, s, v + s / 100) for k, v in (("1", 0.7), ("2", 0.8)) for s in (1, 2, 3)]
    said = answer_study(study(trials, kind="search", baseline="k=1"))
    assert "k=2 (+10.0 points) is better than k=1." in said.objectives[0].verdict
    search = said.objectives[0].search
    assert search is not None and search.best[0].mean == said.objectives[0].settings[1].mean
