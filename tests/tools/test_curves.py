from __future__ import annotations

import csv
import io
import json
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from analysis.stats.results import Result, read_overrides, read_result, varying
from asyppo_cli.runs.directory import RunDirectory
from tools.results.curves import curves_csv, learning_curves, save_curves, spread


def result(setting: str, seed: int, accuracy: dict[int, float]) -> Result:
    return Result(setting, seed, tuple(accuracy), tuple(accuracy.values()), 60.0, 2.0, 64)


RESULTS = [
    result("a", 1, {0: 0.4, 10: 0.6, 20: 0.8}),
    result("a", 2, {0: 0.4, 10: 0.7, 15: 0.1, 20: 0.9}),
    result("b", 1, {0: 0.4, 20: 0.5}),
]


def test_a_curve_is_the_mean_over_seeds_at_common_steps() -> None:
    a, b = learning_curves(RESULTS)
    assert (a.setting, a.steps) == ("a", (0, 10, 20))
    assert [at.mean for at in a.accuracy] == pytest.approx([0.4, 0.65, 0.85])
    # 12.706 * 0.0707 / sqrt(2)
    assert a.accuracy[1].halfwidth == pytest.approx(0.6353, abs=1e-4)
    assert b.steps == (0, 20) and not b.accuracy[0].known


def test_the_table_has_every_point() -> None:
    rows = list(csv.DictReader(io.StringIO(curves_csv({"left": learning_curves(RESULTS)}))))
    assert len(rows) == 5
    assert rows[1]["setting"] == "a" and rows[1]["step"] == "10" and float(rows[1]["accuracy"]) == pytest.approx(0.65)
    assert rows[1]["seeds"] == "2" and float(rows[1]["low"]) == pytest.approx(0.65 - 0.6353, abs=1e-4)
    assert (rows[3]["low"], rows[3]["high"], rows[3]["seeds"]) == ("", "", "1")


def test_the_figure_shows_what_the_data_say(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from tools.results.curves import draw_curves

    figure = draw_curves({"UTD 1": learning_curves(RESULTS), "UTD 4": learning_curves(RESULTS[:2])})
    left, right = figure.axes
    assert [list(line.get_ydata()) for line in left.lines] == [
        pytest.approx([40.0, 65.0, 85.0]),
        pytest.approx([40.0, 50.0]),
    ]
    assert len({line.get_color() for line in left.lines}) == 2 and len(right.lines) == 1
    assert left.lines[0].get_color() == right.lines[0].get_color()
    assert (left.get_xlabel(), left.get_ylabel()) == ("training step", "held-out accuracy (%)")
    assert [text.get_text() for text in left.texts] == ["a", "b"]
    assert len(left.collections) == 1, "a band without an interval was drawn"


def test_files_are_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    panels = {"": learning_curves(RESULTS)}
    first = [path.read_bytes() for path in save_curves(panels, tmp_path / "one")]
    second = [path.read_bytes() for path in save_curves(panels, tmp_path / "two")]
    assert first == second
    assert first[0].startswith(b"\x89PNG") and b"<svg" in first[1] and b"held-out accuracy" in first[1]


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"asyppo\[plots\]"):
        save_curves({"": learning_curves(RESULTS)}, tmp_path / "x")


def test_labels_keep_apart_in_order() -> None:
    assert spread([5.0, 1.0], 1.0) == [5.0, 1.0]
    assert spread([5.0, 5.0, 5.0], 1.0) == pytest.approx([4.0, 5.0, 6.0])
    moved = spread([1.0, 1.2, 2.1, 9.0], 1.0)
    assert moved == sorted(moved) and moved[3] == 9.0
    assert min(b - a for a, b in pairwise(moved)) == pytest.approx(1.0)


def made(folder: Path, state: str, overrides: list[str]) -> RunDirectory:
    run = RunDirectory(folder)
    run.path.mkdir()
    run.overrides.write_text(yaml.safe_dump(overrides))
    run.config.write_text(yaml.safe_dump({"seed": 3, "evaluation": {"problems": 64}}))
    fields = {"pid": 1, "step": 3, "max_steps": 3, "message": None}
    fields |= {"started": "2026-01-01T00:00:00+00:00", "updated": "2026-01-01T00:00:00+00:00", "ended": None}
    run.status.write_text(json.dumps({"state": state, **fields}))
    rows = [
        {"step": 0, "eval/accuracy": 0.25, "time/evaluate": 1.0},
        {"step": 1, "time/step": 2.0},
        {"step": 2, "time/step": 9.0},
        {"step": 3, "time/step": 3.0, "eval/accuracy": 0.75, "time/evaluate": 1.0},
    ]
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


def test_a_run_is_read(tmp_path: Path) -> None:
    run = made(tmp_path / "r", "finished", ["algorithm=grpo", "+policy.model='a=b'", "seed=3"])
    assert read_result(run, "x") == Result("x", 3, (0, 3), (0.25, 0.75), 16.0, 3.0, 64)
    assert read_overrides(run) == {"algorithm": "grpo", "policy.model": "'a=b'", "seed": "3"}
    with pytest.raises(ValueError, match="not finished"):
        read_result(made(tmp_path / "s", "interrupted", []), "x")


def test_what_varies() -> None:
    runs = [{"a": "1", "b": "x", "seed": "1"}, {"a": "1", "b": "y", "seed": "2"}, {"b": "x", "seed": "1"}]
    assert varying(runs) == {"a": ["1", ""], "b": ["x", "y"], "seed": ["1", "2"]}
