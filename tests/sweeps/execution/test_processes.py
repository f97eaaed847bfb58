"""Run directories, processes, devices, and who counts as alive."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from studies import grid

from asyppo_cli.runs.directory import RunDirectory
from sweeps.definition.grid import grid_trials
from sweeps.definition.objectives import make_objectives, measure
from sweeps.execution.attempts import Attempt
from sweeps.execution.devices import ResourceShare, divide, visible_gpus
from sweeps.execution.jsonl_tail import JsonlTail
from sweeps.execution.liveness import LivenessTracker, is_gone, new_owner
from sweeps.execution.process import TrainLauncher, with_threads
from sweeps.execution.trial_directory import check_same, standing

TRIAL = next(grid_trials(grid("a=1,2")))


def test_how_a_run_stands(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "r")
    assert standing(run) == "new"
    run.path.mkdir()
    run.overrides.write_text("[]")
    assert standing(run) == "new"
    run.config.write_text("seed: 1")
    assert standing(run) == "begun"
    check_same(run, {"seed": 1, "learner": {"threads": 2}})
    with pytest.raises(ValueError, match="another seed: choose another --name"):
        check_same(run, {"seed": 2})


def test_a_command_resumes_what_has_begun_and_divides_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = TrainLauncher(tmp_path, "my-study")
    command = launcher.command(TRIAL, ResourceShare(3))
    assert command[:6] == [sys.executable, "-P", "-m", "asyppo_cli", "train", "--name"]
    assert command[-2:] == ["a=1", "learner.threads=3"] and launcher.command(TRIAL, ResourceShare(None))[-1] == "a=1"
    (tmp_path / TRIAL.name).mkdir()
    (tmp_path / TRIAL.name / "config.yaml").write_text(json.dumps({}))
    resumed = launcher.command(TRIAL, ResourceShare(3))
    assert resumed[-1] == "--resume" and "a=1" not in resumed
    assert with_threads(("++learner.threads=1",), 3) == ["++learner.threads=1"]
    monkeypatch.delenv("WANDB_RUN_GROUP", raising=False)
    environment = launcher.environment(ResourceShare(1, ("2", "3")))
    assert environment["CUDA_VISIBLE_DEVICES"] == "2,3" and environment["WANDB_RUN_GROUP"] == "my-study"
    monkeypatch.setenv("WANDB_RUN_GROUP", "mine")
    assert launcher.environment(ResourceShare(1))["WANDB_RUN_GROUP"] == "mine"


def test_devices_are_divided_and_more_jobs_than_devices_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert divide(2, 5, (), needs_gpu=False) == [ResourceShare(2), ResourceShare(2)]
    assert divide(2, 8, ("0", "1", "2"), needs_gpu=True) == [ResourceShare(4, ("0",)), ResourceShare(4, ("1",))]
    assert divide(1, 8, ("4", "6"), needs_gpu=True) == [ResourceShare(8, ("4", "6"))]
    with pytest.raises(ValueError, match="--jobs 3: every trial needs a core, and there are 2"):
        divide(3, 2, (), needs_gpu=False)
    with pytest.raises(ValueError, match="--jobs 2: every trial needs a GPU, and there are 1"):
        divide(2, 8, ("0",), needs_gpu=True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, GPU-7")
    assert visible_gpus() == ("1", "GPU-7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == ()


def test_a_file_of_metrics_is_followed_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tail = JsonlTail(path)
    assert tail.rows() == []
    with path.open("w") as file:
        for text in ('{"step": 0, "a": 1}\n', '{"step": 1, "a": null}\n{"st', 'ep": 2}\n'):
            file.write(text)
            file.flush()
            rows = tail.rows()
            assert len(rows) == 1 and tail.rows() == []
    assert rows == [{"step": 2.0}]
    # A resumed run writes the file anew.
    (tmp_path / "new").write_text('{"step": 0, "a": 3}\n{"step": 1, "a": 4}\n{"step": 2, "a": 5}\n')
    (tmp_path / "new").rename(path)
    assert [row["a"] for row in tail.rows()] == [3.0, 4.0, 5.0]


def test_what_a_run_is_judged_by(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.metrics.write_text(
        '{"step": 0, "eval/accuracy": 0.1, "time/evaluate": 2}\n{"step": 1, "time/step": 3}\n'
        '{"step": 2, "time/step": 4, "eval/accuracy": 0.5, "memory/peak_bytes": null}\n'
    )
    both = make_objectives(("eval/accuracy", "seconds"), ("maximize", "minimize"), search=True)
    assert measure(run, both) == ((0.5, 9.0), 9.0)
    for metric, said in [("memory/peak_bytes", "not a number after step 2"), ("policy/kl", "the run has no policy/kl")]:
        with pytest.raises(ValueError, match=said):
            measure(run, make_objectives((metric,), ("minimize",), search=True))


def running(number: int, heartbeat: int, owner: str | None = None) -> Attempt:
    return Attempt(number=number, trial="r", state="running", params={}, heartbeat=heartbeat, owner=owner)


def test_silence_is_death_by_the_observers_own_clock() -> None:
    now = 0.0
    lookout = LivenessTracker(clock=lambda: now, timeout=90.0, gone=lambda owner: owner == "gone")
    assert lookout.lost([running(1, 1), running(2, 1)]) == []
    now = 80.0
    assert lookout.lost([running(1, 1), running(2, 2)]) == []
    now = 100.0
    assert [attempt.number for attempt in lookout.lost([running(1, 1), running(2, 2)])] == [1]
    assert [attempt.number for attempt in lookout.lost([running(3, 1, "gone"), running(4, 1, "alive")])] == [3]


@pytest.mark.skipif(sys.platform != "linux", reason="the dead are told from the living by /proc")
def test_a_process_of_this_machine_is_known_to_be_gone() -> None:
    script = (
        "import sys; from sweeps.execution.liveness import new_owner; print(new_owner(), flush=True); "
        "sys.stdin.readline()"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    owner = process.stdout.readline().strip()
    assert not is_gone(owner) and not is_gone(new_owner())
    process.communicate()
    assert is_gone(owner)
    # Another process may have the number by now; and of another machine nothing is known.
    parts = new_owner().split("/")
    assert is_gone("/".join([*parts[:4], "1", parts[5]]))
    assert not is_gone("/".join(["elsewhere", *owner.split("/")[1:]])) and not is_gone("nonsense")


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell children of a death")
def test_a_trial_stops_with_its_sweep(tmp_path: Path) -> None:
    driver = f"""
import sys, time
from pathlib import Path
from sweeps.execution.devices import ResourceShare
from sweeps.definition.grid import Trial
from sweeps.execution.process import TrainLauncher
class Sleeper(TrainLauncher):
    def command(self, trial, share): return [sys.executable, "-c", "import time; time.sleep(60)"]
process = Sleeper(Path({str(tmp_path)!r}), "g").start(Trial("t", (), {{}}, {{}}), ResourceShare(1))
print(process.pid, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-P", "-c", driver], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
