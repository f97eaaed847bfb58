"""What the figures of a study draw is what its numbers say, and nothing is clipped or lies on anything else."""

from __future__ import annotations

import csv
import io
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from study_cases import ACCURACY, grid, study, trial

from analysis.figures.labels import shortened
from analysis.figures.style import styled
from analysis.study.axes import grid_axes
from analysis.study.figures.curves import draw_study_curves, study_curves, study_curves_csv
from analysis.study.figures.effects import draw_main_effects, main_effects, main_effects_csv
from analysis.study.figures.heatmap import draw_interactions, interactions, interactions_csv
from analysis.study.figures.parallel import draw_parallel, parallel, parallel_axis, parallel_csv, ticks
from analysis.study.figures.pareto import draw_pareto, pareto, pareto_csv
from analysis.study.settings import settings_of
from asyppo_cli.runs.studies import Objective, PaperAblation, Study

pytest.importorskip("matplotlib")
MORE, LESS = Objective(ACCURACY, "maximize"), Objective("time/step", "minimize")


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def two_axes(**more: Any) -> Study:
    values = {("1", "a"): 0.5, ("1", "b"): 0.6, ("2", "a"): 0.7, ("2", "b"): 0.9}
    return study([trial({"x.n": n, "w": w}, s, v + s / 100) for (n, w), v in values.items() for s in (1, 2, 3)], **more)


def test_a_main_effect_averages_over_the_other_axes_seed_by_seed() -> None:
    settings = settings_of(two_axes())
    assert grid_axes(settings) == {"x.n": ["1", "2"], "w": ["a", "b"]}
    data = main_effects(settings, MORE, "x.n=1 w=a", None)
    assert [effect.axis for effect in data.axes] == ["n", "w"] and data.baseline is None
    one, two = data.axes[0].values
    assert one.seeds == pytest.approx({1: 0.56, 2: 0.57, 3: 0.58})
    assert two.mean is not None and two.mean.mean == pytest.approx(0.82)
    found = rows(main_effects_csv(data))
    assert len(found) == 4 * 4 and found[0]["seed"] == "mean" and float(found[0][ACCURACY]) == pytest.approx(0.57)
    figure = draw_main_effects(data)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["n", "w"]


def test_seeds_that_lack_a_setting_are_not_averaged() -> None:
    asked = two_axes()
    fewer = study([t for t in asked.trials if not (t.setting == "x.n=2 w=b" and t.seed == 3)])
    data = main_effects(settings_of(fewer), MORE, None, None)
    assert list(data.axes[0].values[1].seeds) == [1, 2] and list(data.axes[0].values[0].seeds) == [1, 2, 3]


def test_a_list_of_settings_is_one_axis_of_names() -> None:
    asked = study([trial({"a": "1"}, 1, 0.5), trial({"b": "2"}, 1, 0.6), trial({"a": "1", "b": "2"}, 1, 0.7)])
    data = main_effects(settings_of(asked), MORE, None, None)
    assert [value.value for value in data.axes[0].values] == ["a=1", "b=2", "a=1 b=2"] and data.axes[
        0
    ].axis == "setting"


def test_the_papers_numbers_stand_beside_on_their_own_scale() -> None:
    asked = grid({"1": [0.5, 0.6], "2": [0.7, 0.8]})
    paper = PaperAblation("score in %", "the paper", {"k=2": 51.2})
    data = main_effects(settings_of(asked), MORE, "k=1", paper)
    assert [value.paper for value in data.axes[0].values] == [None, 51.2]
    ours, theirs = draw_main_effects(data).axes
    assert theirs.get_title(loc="left").startswith("the paper") and theirs.get_xlabel() == "score in %"
    assert list(theirs.lines[0].get_xdata()) == [51.2] and ours.get_xlim()[1] > 60 > theirs.get_xlim()[1]
    assert "the paper" not in [
        ax.get_title(loc="left") for ax in draw_main_effects(main_effects(settings_of(asked), MORE, "k=1", None)).axes
    ]


def test_a_map_has_every_pair_and_says_where_there_is_none() -> None:
    asked = two_axes()
    trials = [t if t.setting != "x.n=2 w=b" else trial(t.point, t.seed, state="failed") for t in asked.trials]
    data = interactions(settings_of(study(trials)), MORE)
    (only,) = data.maps
    assert only.cells[1][1] is None and only.cells[1][0] is not None
    assert only.cells[1][0].mean == pytest.approx(0.72)
    assert [text.get_text() for text in draw_interactions(data).axes[0].texts][2:] == [
        "72.0\n± 2.5",
        "no number",
    ]
    assert [row["seeds"] for row in rows(interactions_csv(data))] == ["3", "3", "3", "0"]
    assert interactions(settings_of(grid({"1": [0.5]})), MORE).maps == ()


def test_parallel_axes_are_scales_of_numbers_or_words() -> None:
    assert parallel_axis("lr", ["0.001", "0.1", "0.01"]).places == pytest.approx((0.0, 1.0, 0.5))
    assert parallel_axis("k", ["1", "3", "2"]).places == pytest.approx((0.0, 1.0, 0.5))
    assert parallel_axis("k", ["1", "3", "2"]).marks == ((0.0, "1"), (0.5, "2"), (1.0, "3"))
    assert parallel_axis("w", ["b", "a", "c"]).places == pytest.approx((0.5, 0.0, 1.0))
    some = parallel_axis("k", ["1", "not set", "3", "2"])
    assert some.places == pytest.approx((0.14, 0.0, 1.0, 0.57)) and some.marks[0] == (0.0, "not set")
    assert parallel_axis("k", ["not set", "not set"]).marks == ((0.0, "not set"),)


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ([3.0, 1.0], [1.0, 3.0]),
        ([0.006, 0.1, 0.11, 0.2, 0.3, 0.399], [0.1, 0.2, 0.3]),
        ([81.8, 82, 83, 84, 85, 87.1], [82, 83, 84, 85, 86, 87]),
        ([-3.0, -1.0, 0.5, 1.0, 2.0, 7.0], [-2.0, 0.0, 2.0, 4.0, 6.0]),
        ([1.1e-5, 2e-5, 1e-4, 2e-4, 3e-4, 9.4e-4], [2e-5, 5e-5, 1e-4, 2e-4, 5e-4]),
        ([1e-9, 1e-8, 1e-7, 1e-4, 1e-3, 1e-2], None),
        ([5.0, 5.0, 5.0, 5.0, 5.0, 5.0], [5.0]),
        ([1e6 + i / 1e4 for i in range(9)], None),
    ],
)
def test_marks_are_round_and_few(numbers: list[float], found: list[float] | None) -> None:
    marks = ticks(numbers)
    assert found is None or marks == pytest.approx(found)
    assert 1 <= len(marks) <= 7 and min(numbers) <= marks[0] and marks[-1] <= max(numbers)


def test_lines_cross_at_their_values_and_the_best_comes_last() -> None:
    asked = study([trial({"a": str(i), "w": "xy"[i % 2]}, 1, i / 10, name=f"t{i}") for i in range(5)], kind="search")
    data = parallel(settings_of(asked), MORE, ["w", "a"])
    assert [one.name for one in data.axes] == ["w", "a", "held-out accuracy (%)"]
    assert data.settings[-1].name == "a=4 w=x" and data.scores[-1] == 1.0
    lines = draw_parallel(data).axes[0].lines
    assert list(lines[4].get_ydata()) == [0.0, 1.0, 1.0] and lines[4].get_linewidth() > lines[0].get_linewidth()
    assert rows(parallel_csv(data))[0]["a"] == "4"
    assert parallel(settings_of(asked), Objective(ACCURACY, "minimize"), []).settings[-1].name == "a=0 w=x"


def test_the_front_is_drawn_in_order() -> None:
    trials = [trial({"k": str(i)}, 1, x, y) for i, (x, y) in enumerate([(0.9, 3.0), (0.8, 1.0), (0.7, 2.0)])]
    found = study([*trials, trial({}, 1, 0.6, 4.0)], objectives=[MORE, LESS])
    data = pareto([settings_of(found, n) for n in (0, 1)], [MORE, LESS], "default")
    assert data.front == ("k=1", "k=0")
    ax = draw_pareto(data).axes[0]
    assert list(ax.lines[1].get_xdata()) == pytest.approx([80.0, 90.0]) and len(ax.lines[0].get_xdata()) == 2
    assert [row["on_front"] for row in rows(pareto_csv(data))] == ["1", "1", "0", "0"]


def write_metrics(folder: Path, name: str, values: dict[int, float | None]) -> None:
    (folder / name).mkdir(parents=True)
    lines = [json.dumps({"step": step, ACCURACY: value}) + "\n" for step, value in values.items()]
    (folder / name / "metrics.jsonl").write_text("".join(lines))


def test_curves_are_read_from_the_runs_of_finished_trials(tmp_path: Path) -> None:
    trials = [trial({"k": "1"}, s, 0.8, name=f"a{s}") for s in (1, 2)] + [trial({"k": "2"}, 1, 0.9, name="b1")]
    trials += [trial({"k": "2"}, 2, state="failed", name="b2"), trial({"k": "3"}, 1, 0.5, name="gone")]
    write_metrics(tmp_path, "a1", {0: 0.4, 5: 0.5, 10: 0.8})
    write_metrics(tmp_path, "a2", {0: 0.4, 5: None, 10: 0.6})
    write_metrics(tmp_path, "b1", {0: 0.3, 10: 0.9})
    write_metrics(tmp_path, "b2", {0: 0.3, 10: 0.1})
    data = study_curves(settings_of(study(trials)), tmp_path, ACCURACY, "k=2")
    first, second = data.curves
    assert (first.setting, second.setting, data.left_out) == ("k=2", "k=1", 1)
    assert second.steps == (0, 10) and [at.mean for at in second.means] == pytest.approx([0.4, 0.7])
    assert list(first.seeds) == [1] and second.seeds[1] == {0: 0.4, 5: 0.5, 10: 0.8}
    assert len(rows(study_curves_csv(data))) == 4 + 2 + 3 + 2
    figure = draw_study_curves(data)
    left, right = figure.axes
    assert list(right.lines[-1].get_ydata()) == pytest.approx([40.0, 70.0]) and len(right.collections) == 1
    assert not left.collections, "a band without an interval was drawn"


def test_names_are_cut_where_they_are_alike() -> None:
    assert shortened("critic_count=1 policy.model=/a/b/c/model-1", 21) == "critic_cou…/c/model-1"
    assert shortened("a\nb", 9) == "a↵b" and len(shortened("x" * 99, 12)) == 12


def overlapping(figure: Any) -> list[str]:
    """Texts of a figure that lie on each other, or run out of it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    with styled():
        FigureCanvasAgg(figure).draw()
    shown_texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t.axes is not None]
    boxes = [(t.get_text(), t.get_window_extent()) for t in shown_texts if t.get_window_extent().width > 1]
    wide, high = figure.bbox.width, figure.bbox.height
    bad = [f"{text!r} out" for text, b in boxes if b.x0 < -1 or b.y0 < -1 or b.x1 > wide + 1 or b.y1 > high + 1]
    for i, (one, a) in enumerate(boxes):
        bad += [
            f"{one!r} on {other!r}"
            for other, b in boxes[i + 1 :]
            if min(a.x1, b.x1) - max(a.x0, b.x0) > 2 and min(a.y1, b.y1) - max(a.y0, b.y0) > 2
        ]
    return bad


@pytest.mark.parametrize("count", [1, 2, 12])
@pytest.mark.parametrize("name", ["short", "learner.policy.a_rather_long_name_of_a_key"])
def test_nothing_lies_on_anything_else(count: int, name: str, tmp_path: Path) -> None:
    draw = random.Random(count)
    values = {f"{i}{'-and-more' * (len(name) > 9)}": [draw.gauss(0.8, 0.03) for _ in range(3)] for i in range(count)}
    asked = grid(values, name)
    settings = settings_of(asked)
    for one in asked.trials:
        write_metrics(tmp_path, one.name, {0: 0.4, 10: one.values[0]})
    paper = PaperAblation("score", "the paper", {setting.name: 0.5 + i / 50 for i, setting in enumerate(settings)})
    assert overlapping(draw_main_effects(main_effects(settings, MORE, settings[0].name, paper))) == []
    assert overlapping(draw_study_curves(study_curves(settings, tmp_path, ACCURACY, settings[0].name))) == []


@pytest.mark.parametrize("values", [[0.5, 0.5, 0.5], [math.nan, 0.5, math.inf], [0.7]])
def test_numbers_that_are_equal_or_none_are_drawn(values: list[float]) -> None:
    settings = settings_of(grid({"1": values, "2": values}))
    assert overlapping(draw_main_effects(main_effects(settings, MORE, "k=1", None))) == []
    assert overlapping(draw_parallel(parallel(settings, MORE, []))) == []
    both = study([trial({"k": "1"}, 1, 0.5, 2.0), trial({"k": "2"}, 1, 0.5, 2.0)], objectives=[MORE, LESS])
    draw_pareto(pareto([settings_of(both, n) for n in (0, 1)], [MORE, LESS], None))
    maps = interactions(settings_of(study([trial({"a": a, "b": b}, 1, 0.5) for a in "12" for b in "12"])), MORE)
    assert overlapping(draw_interactions(maps)) == []
