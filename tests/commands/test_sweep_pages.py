"""What the commands of a sweep check, place and show, without a trial."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from studies import grid

from asyppo_cli.commands.sweep import checking, places
from asyppo_cli.commands.sweep.telling import losses, pareto
from asyppo_cli.commands.sweep.watching import Watcher
from asyppo_cli.config.load import load
from asyppo_cli.display.trials import LiveTrials, SweepBoard, TrialRow
from asyppo_cli.runs.studies import Objective, Study, StudyTrial
from sweeps.grid import grid_trials
from sweeps.jobs import Outcome
from sweeps.standing import Progress


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
    monkeypatch.setattr(checking, "load", lambda *args: composed.append(args) or load(*args))
    checked = list(checking.check(grid(*words), None))
    assert len(checked) > checking.FULL and len(composed) < len(checked) / 2
    for one in (*checked[:3], *checked[-3:], checked[len(checked) // 2]):
        assert one.resolved == load(one.trial.overrides).resolved, one.trial.name


def test_a_wrong_combination_among_thousands_is_found() -> None:
    definition = grid("mask_pct=0.1,0.5", "entropy_filter_pct=0.2,0.6", "seed=range(0,2000)")
    with pytest.raises(ValueError, match=r"trial mask_pct-0.5_entropy_filter_pct-0.6_seed-0: .*at most 1"):
        list(checking.check(definition, None))
    assert len(list(grid_trials(definition))) == 8000


def test_a_ray_cluster_holds_so_many_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = {"CPU": 64.0, "GPU": 32.0}
    monkeypatch.setattr(places, "ray_resources", lambda address: offered)
    paper = load(["experiment=paper/qwen3_4b", "cluster.cpus_per_rank=1"]).config
    places.check_room(1, paper)
    with pytest.raises(
        ValueError, match=r"--jobs 2: the Ray cluster has 64 cores and 32 GPUs, and a trial needs .* 16"
    ):
        places.check_room(2, paper)
    with pytest.raises(ValueError, match="cluster.cpus_per_rank=null takes all cores: set it"):
        places.check_room(2, load(["experiment=paper/qwen3_4b"]).config)
    offered["CPU"] = 256.0
    places.check_room(2, paper)
    assert [share.threads for share in places.shares(2, [paper])] == [None, None]


VALUES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=20)


@given(VALUES)
def test_the_front_is_what_nothing_beats(values: list[tuple[int, int]]) -> None:
    goals = (Objective("a", "maximize"), Objective("b", "minimize"))
    trials = [StudyTrial(str(n), {}, None, "finished", tuple(map(float, pair))) for n, pair in enumerate(values)]
    study = Study("s", "search", goals, tuple(trials))

    def beaten(trial: StudyTrial) -> bool:
        mine = losses(study, trial)
        others = [losses(study, other) for other in trials]
        return any(all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine for other in others)

    assert {trial.name for trial in pareto(study, trials)} == {trial.name for trial in trials if not beaten(trial)}


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
    watcher = Watcher("s", "eval/accuracy", jobs=2, clock=lambda: now)
    watcher.stands({"finished": 1, "waiting": 3})
    trial = next(grid_trials(grid("a=1,2")))
    watcher.started(trial, resumed=False)
    now = 10.0
    watcher.progress(trial, Progress(5, 10, 5, 0.5))
    assert watcher.board.seconds_left == pytest.approx(20 * 2.5 / 2)
    now = 20.0
    watcher.ended(Outcome(trial, "finished", values=(0.75,)))
    watcher.stopping(1)
    watcher.close()
    assert capsys.readouterr().out.splitlines() == [
        "1 of 4 trials were over before, and are not repeated",
        "[1/4]  a-1  starts",
        "[1/4]  a-1  step 5 of 10, eval/accuracy 0.5",
        "[2/4]  a-1  finished with 0.75",
        "1 trial is finishing its step and saving; once more to stop at once",
    ]
