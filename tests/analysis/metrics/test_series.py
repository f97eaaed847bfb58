"""Metrics of several runs: names, groups, smoothing by hand, axes, intervals, figures against their CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.figures.units import unit_of
from analysis.metrics.curves import curves, curves_csv, curves_findings, draw_metrics
from analysis.metrics.run_groups import find_metrics, group_by_setting
from analysis.metrics.series import moving_mean, series, smoothed_at
from analysis.metrics.summary_bars import draw_summary, summary_bars, summary_csv, summary_findings
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.metric_log import metrics_line

MakeRun = Callable[..., RunDirectory]


@pytest.fixture
def make(tmp_path: Path) -> MakeRun:
    def make_run(name: str, seed: int, rows: list[Mapping[str, float]], **config: Any) -> RunDirectory:
        run = RunDirectory(tmp_path / name)
        run.path.mkdir()
        whole: dict[str, Any] = {
            "seed": seed,
            "rollout": {"prompts": 4, "responses": 1},
            "advantage": {"estimator": "grpo"},
        }
        run.config.write_text(yaml.safe_dump(whole | config))
        run.metrics.write_text("".join(map(metrics_line, rows)))
        return run

    return make_run


def rising(first: float, steps: int = 4) -> list[Mapping[str, float]]:
    rows: list[Mapping[str, float]] = []
    for step in range(1, steps + 1):
        row = {"step": step, "reward/mean": first + step / 10, "time/step": 1800.0, "response/length_mean": 10.0}
        row |= {"response/sampling_rounds": 2.0, "memory/peak_bytes": 2.0**30 * step}
        rows.append(row | ({"eval/accuracy": first + step / 10} if step % 2 == 0 else {}))
    return rows


def test_moving_means_by_hand() -> None:
    assert moving_mean([1, 2, 3], [1.0, 2.0, 6.0], 2) == [1.0, 1.5, 4.0]
    # 0.5^0 and 0.5^1: (2 + 0.5 * 1) / 1.5.
    assert moving_mean([1, 2], [1.0, 2.0], 11, 0.5) == pytest.approx([1.0, 2.5 / 1.5])
    # Windows count steps: what is measured every 20 steps is left alone, what is 11 steps old is forgotten.
    assert moving_mean([0, 20, 40], [1.0, 5.0, 2.0], 11, 0.6) == [1.0, 5.0, 2.0]
    assert moving_mean([0, 10, 11], [8.0, 4.0, 2.0], 11) == [8.0, 6.0, 3.0]


def test_the_papers_smoothing_is_three_means_in_turn() -> None:
    steps, values = list(range(1, 31)), [float(step % 7) for step in range(1, 31)]
    table = dict(zip(steps, values, strict=True))
    expected = moving_mean(steps, moving_mean(steps, moving_mean(steps, values, 11, 0.6), 4), 2)
    assert smoothed_at(steps, table, "paper") == expected
    assert smoothed_at(steps, table, "none") == values and smoothed_at(steps, table, "1") == values
    level = smoothed_at(steps, dict.fromkeys(steps, 3.0), "paper")
    assert level == pytest.approx([3.0] * 30), "weights sum to one"
    for wrong in ("0", "-3", "gauss", ""):
        with pytest.raises(ValueError, match="is no smoothing: write paper, none, or a number of steps"):
            smoothed_at(steps, table, wrong)


def test_runs_that_differ_by_seed_only_are_one_setting(make: MakeRun) -> None:
    a, b = make("a", 1, rising(0.1)), make("b", 2, rising(0.3), learner={"threads": 4})
    other = make("c", 1, rising(0.5), advantage={"estimator": "rloo"})
    groups = group_by_setting([a, other, b])
    assert [(group.label, list(group.runs)) for group in groups] == [("grpo", [1, 2]), ("rloo", [1])]
    found = series(groups[0], "reward/mean", "step", "none")
    assert found.raw.tolist() == pytest.approx([0.3, 0.4, 0.5, 0.6])
    # 12.706 * 0.1414 / sqrt(2): Student's t with one degree of freedom.
    assert found.means[0].halfwidth == pytest.approx(1.2706, abs=1e-4)


def test_settings_are_called_by_what_differs(make: MakeRun) -> None:
    runs = [make(f"run{k}", 1, rising(0.1), gates={"mask_pct": k}) for k in (0.1, 0.2)]
    assert [group.label for group in group_by_setting(runs)] == ["mask_pct 0.1", "mask_pct 0.2"]
    with pytest.raises(ValueError, match=r"runs run0\.1 and again have one setting and seed 1: leave one out"):
        group_by_setting([runs[0], make("again", 1, rising(0.1), gates={"mask_pct": 0.1})])


def test_settings_of_one_method_are_called_as_they_were_typed(make: MakeRun) -> None:
    runs = [make(f"{name}-seed1", 1, rising(0.1), a=n, b=n, c=n) for n, name in enumerate(("single", "ppo"))]
    for run, name in zip(runs, ("single", "ppo"), strict=True):
        run.overrides.write_text(yaml.safe_dump([f"algorithm={name}", "seed=1"]))
    assert [group.label for group in group_by_setting(runs)] == ["single", "ppo"]


@pytest.mark.parametrize(
    ("axis", "places"),
    [
        ("step", [1, 2, 3, 4]),
        ("samples", [8, 16, 24, 32]),
        ("tokens", [80, 160, 240, 320]),
        ("hours", [0.5, 1, 1.5, 2]),
    ],
)  # fmt: skip
def test_axes(make: MakeRun, axis: Any, places: list[float]) -> None:
    (group,) = group_by_setting([make("a", 1, rising(0.1))])
    found = series(group, "reward/mean", axis, "paper")
    assert found.x.tolist() == pytest.approx(places)


def test_metrics_are_found_by_parts_of_their_names(make: MakeRun) -> None:
    groups = group_by_setting([make("a", 1, rising(0.1))])
    assert find_metrics(["accuracy", "reward/mean", "peak"], groups) == [
        "eval/accuracy",
        "reward/mean",
        "memory/peak_bytes",
    ]
    assert find_metrics([], groups) == ["eval/accuracy", "reward/mean", "response/length_mean"]
    with pytest.raises(ValueError, match="there is no metric 'eval/acuracy' in these runs; nearest: eval/accuracy"):
        find_metrics(["eval/acuracy"], groups)
    with pytest.raises(ValueError, match="metric 'response' may be response/length_mean, response/sampling_rounds"):
        find_metrics(["response"], groups)
    with pytest.raises(ValueError, match="has no metrics yet"):
        find_metrics([], group_by_setting([make("empty", 1, [])]))


def test_the_curves_are_their_csv(make: MakeRun) -> None:
    groups = group_by_setting(
        [make("a", 1, rising(0.1)), make("b", 2, rising(0.3)), make("c", 1, rising(0.2), seeds=3)]
    )
    data = curves(groups, ["reward", "accuracy"], "step", "paper")
    left, right = draw_metrics(data).axes
    rows = list(csv.DictReader(io.StringIO(curves_csv(data))))
    for ax, metric, scale in ((left, "reward/mean", 1), (right, "eval/accuracy", 100)):
        for label in data.labels:
            chosen = [row for row in rows if (row["metric"], row["setting"]) == (metric, label)]
            line = next(line for line in ax.lines if line.get_label() == label)
            assert list(line.get_ydata()) == pytest.approx([scale * float(row["smooth"]) for row in chosen], rel=1e-6)
            assert list(line.get_xdata()) == pytest.approx([float(row["step_x"]) for row in chosen])
    assert (
        right.get_title(loc="left") == "held-out accuracy (%)" and left.get_title(loc="left") == "mean reward (reward)"
    )
    bands = right.collections[0].get_paths()[0].vertices[:, 1]
    assert bands.min() >= 0 and bands.max() <= 100
    assert all(tick == round(tick) for tick in right.get_xticks())
    said = " ".join(curves_findings(data))
    assert "no difference" not in said and "on one common seed; one seed allows no conclusion, add seeds" in said


def test_evaluations_are_not_smoothed(make: MakeRun) -> None:
    (group,) = group_by_setting([make("a", 1, rising(0.1, 8))])
    accuracy, reward = (series(group, metric, "step", "paper") for metric in ("eval/accuracy", "reward/mean"))
    assert [at.mean for at in accuracy.means] == accuracy.raw.tolist() and accuracy.means[-1].mean == 0.9
    assert reward.means[-1].mean < reward.raw[-1] - 0.05


def test_a_seed_that_stopped_early_is_told(make: MakeRun) -> None:
    groups = group_by_setting([make("a", 1, rising(0.1, 4)), make("b", 2, rising(0.3, 2)), make("c", 3, [], other=1)])
    said = curves_findings(curves(groups, ["reward"], "step", "none"))
    assert "at step 2 (" in said[0] and "while seeds go on to step 4" in said[0]
    assert said[1] == f"reward/mean, {groups[1].label}: no value at a step that all its seeds have."


def test_differences_are_told_only_where_they_are(make: MakeRun) -> None:
    near = [make(f"n{seed}", seed, rising(0.1 * seed), kind="near") for seed in (1, 2, 3)]
    same = [make(f"s{seed}", seed, rising(0.1 * seed + 0.01 * (-1) ** seed), kind="same") for seed in (1, 2, 3)]
    best = [make(f"b{seed}", seed, rising(0.1 * seed + 0.2 + 0.001 * seed), kind="best") for seed in (1, 2, 3)]
    said = curves_findings(curves(group_by_setting([*near, *same, *best]), ["accuracy"], "step", "none"))
    assert len(said) == 5 and "no difference at this number of seeds" in said[2]
    assert "is higher than" in said[4] and "+20.2 points" in said[4] and "3 common seeds" in said[4]


@pytest.mark.parametrize(
    ("metric", "sign", "scale"),
    [
        ("gate/advantage_masked_share", "%", 100),
        ("time/step", "s", 1),
        ("memory/peak_bytes", "GiB", 2**-30),
        ("policy/loss", "", 1),
    ],
)  # fmt: skip
def test_units(metric: str, sign: str, scale: float) -> None:
    assert (unit_of(metric).sign, unit_of(metric).scale) == (sign, scale)


def test_the_summary_by_hand(make: MakeRun) -> None:
    groups = group_by_setting(
        [make("a", 1, rising(0.1)), make("b", 2, rising(0.3)), make("c", 1, rising(0.2), extra=1)]
    )
    data = summary_bars(groups)
    assert [at.mean for at in data.quantities["eval/accuracy"] if at] == pytest.approx([0.6, 0.6])
    assert [at.mean for at in data.quantities["memory/peak_bytes"] if at] == [2.0**32, 2.0**32]
    axes = draw_summary(data).axes
    rows = list(csv.DictReader(io.StringIO(summary_csv(data))))
    for ax, metric, scale in zip(axes, data.quantities, (100, 1, 2**-30), strict=True):
        drawn = [patch.get_width() for patch in ax.patches]
        assert drawn == pytest.approx([scale * float(row["mean"]) for row in rows if row["metric"] == metric])
    assert "held-out accuracy after training 60 ± 1.3e+02 %" in summary_findings(data)[0]
    with pytest.raises(ValueError, match="no accuracy, step time or memory yet"):
        summary_bars(group_by_setting([make("empty", 1, [])]))
