"""What the commands of a sweep check, place and show, without a trial."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console
from studies import grid

from asyppo_cli.commands.sweep import resources, validate
from asyppo_cli.commands.sweep.output import print_results
from asyppo_cli.commands.sweep.progress import SweepProgress
from asyppo_cli.config.load import load
from asyppo_cli.display.trials import LiveTrials, SweepBoard, TrialRow
from asyppo_cli.runs.studies import Objective, Study, StudyTrial
from sweeps.definition.grid import grid_trials


@pytest.mark.parametrize(
    "words",
    [
        ["algorithm=asyppo,ppo,grpo", "utd=one,4", "seed=range(1,6)"],
        # Both say what the critics are: composed together.
        ["critic_size=third,half,0.4", "critics.depth=0.5,1.0", "seed=range(1,6)"],
        ["learner.policy.lr=1e-5,1e-4,1e-3", "task.params.min_digits=1,2", "seed=range(1,11)"],
    ],
)
def test_what_is_put_together_is_what_would_be_composed(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    composed = []
    monkeypatch.setattr(validate, "load", lambda *args: composed.append(args) or load(*args))
    checked = list(validate.check(grid(*words), None))
    assert len(checked) > validate.MAX_COMPOSED and len(composed) < len(checked) / 2
    for trial, loaded in (*checked[:3], *checked[-3:], checked[len(checked) // 2]):
        assert loaded.resolved == load(trial.overrides).resolved, trial.name


def test_a_wrong_combination_among_thousands_is_found() -> None:
    definition = grid("mask_pct=0.1,0.5", "entropy_filter_pct=0.2,0.6", "seed=range(0,2000)")
    with pytest.raises(ValueError, match=r"trial mask_pct-0.5_entropy_filter_pct-0.6_seed-0: .*at most 1"):
        list(validate.check(definition, None))
    assert len(list(grid_trials(definition))) == 8000


def test_a_ray_cluster_holds_so_many_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = {"CPU": 64.0, "GPU": 32.0}
    monkeypatch.setattr(resources, "ray_resources", lambda address: offered)
    paper = load(["experiment=paper/qwen3_4b", "cluster.cpus_per_rank=1"]).config
    resources.check_fits_cluster(1, paper)
    with pytest.raises(
        ValueError, match=r"--jobs 2: the Ray cluster has 64 cores and 32 GPUs, and a trial needs .* 16"
    ):
        resources.check_fits_cluster(2, paper)
    with pytest.raises(ValueError, match="cluster.cpus_per_rank=null takes all cores: set it"):
        resources.check_fits_cluster(2, load(["experiment=paper/qwen3_4b"]).config)
    offered["CPU"] = 256.0
    resources.check_fits_cluster(2, paper)
    assert [share.threads for share in resources.shares(2, [paper])] == [None, None]


def told(study: Study, capsys: pytest.CaptureFixture[str]) -> str:
    print_results(study, Path("nowhere"))
    return capsys.readouterr().out


def test_a_study_is_told_with_its_question_its_table_and_what_may_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"a": [0.50, 0.52, 0.51], "b": [0.60, 0.62, 0.61]}
    trials = [
        StudyTrial(f"x-{x}_seed-{seed}", {"x": x}, seed, "finished", (value,))
        for x, values in scores.items()
        for seed, value in enumerate(values, 1)
    ]
    failed = StudyTrial("x-b_seed-4", {"x": "b"}, 4, "failed", reason="it broke")
    study = Study("s", "grid", (Objective("eval/accuracy", "maximize"),), (*trials, failed), question="Is b better?")
    text = told(study, capsys)
    assert "Is b better?" in text and "1 failed (x-b_seed-4: it broke)" in text and "s: 6 finished, 1 failed" in text
    assert "x=b (+10.0 points) is better than x=a." in text and "+10.0" in text.split("x=b", 2)[1]
    assert "could be seen" not in text


def test_of_a_search_the_best_and_the_front_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    goals = (Objective("eval/accuracy", "maximize"), Objective("seconds", "minimize"))
    values = [(0.5, 10.0), (0.6, 20.0), (0.4, 30.0)]
    trials = [StudyTrial(f"t{n}", {"x": str(n)}, None, "finished", pair) for n, pair in enumerate(values)]
    text = told(Study("s", "search", goals, tuple(trials)), capsys)
    assert "2 settings are not beaten in eval/accuracy and seconds together: x=1 (60.0, 20) and x=0 (50.0, 10)." in text
    assert "The best of 3 settings is x=1 with 60.0 %" in text


def test_a_table_of_thousands_shows_those_that_run() -> None:
    board = SweepBoard("big", "eval/accuracy", counts={"finished": 8000, "running": 40, "waiting": 1960})
    board.rows = {f"t{n}": TrialRow(f"t{n}", f"x={n}", "running", n, 40, n / 40) for n in range(40)}
    board.seconds_left = 3600.0
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=24, record=True)
    live = LiveTrials(board, console)
    live.note("\x1b[31mt7 failed: it broke")
    live.close()
    text = console.export_text()
    assert "8000 finished  40 running  1960 waiting" in text and "and 22 more are running" in text
    assert "t0" in text and "x=17" in text and "x=18 " not in text and "left" in text
    assert "\\x1b[31mt7 failed: it broke" in text


def test_plain_lines_say_what_happens(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    progress = SweepProgress("s", "eval/accuracy", jobs=2, clock=lambda: now)
    progress.polled({"finished": 1, "waiting": 3})
    trial = next(grid_trials(grid("a=1,2")))
    progress.started(trial, resumed=False)
    now = 10.0
    progress.progressed(trial, 5, 10, (5, 0.5))
    assert progress.board.seconds_left == pytest.approx(20 * 2.5 / 2)
    now = 20.0
    progress.ended(trial.record("finished", values=(0.75,)))
    progress.stopping(1)
    progress.close()
    assert capsys.readouterr().out.splitlines() == [
        "1 of 4 trials are finished and are not repeated",
        "[1/4]  a-1  started",
        "[1/4]  a-1  step 5 of 10, eval/accuracy 0.5",
        "[2/4]  a-1  finished with 0.75",
        "1 trial is finishing its step and saving; press Ctrl-C again to stop at once",
    ]


def test_what_goes_on_is_counted_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = SweepProgress("s", "eval/accuracy", jobs=1)
    progress.polled({"finished": 1, "interrupted": 1})
    progress.started(next(grid_trials(grid("a=1,2"))), resumed=True)
    assert capsys.readouterr().out.splitlines()[-1] == "[1/2]  a-1  resumed"


def test_what_another_study_has_run_is_counted_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = SweepProgress("s", "eval/accuracy", jobs=2)
    progress.polled({"waiting": 3})
    first, reused, last = grid_trials(grid("a=1,2,3"))
    progress.started(first, resumed=False)
    progress.ended(reused.record("finished", values=(0.5,)))
    progress.started(last, resumed=False)
    progress.ended(first.record("finished", values=(0.25,)))
    progress.ended(last.record("finished", values=(0.75,)))
    assert capsys.readouterr().out.splitlines()[-1] == "[3/3]  a-3  finished with 0.75"
    assert progress.board.counts["finished"] == 3 and sum(progress.board.counts.values()) == 3
