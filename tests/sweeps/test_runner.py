"""The runner with small scripts in place of training: it knows processes and run directories only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from asyppo_cli.runs.directory import RunDirectory
from sweeps.grid import Trial, expand
from sweeps.process import TrainLauncher, with_threads
from sweeps.runner import Outcome, Place, run_trials
from sweeps.standing import Progress, check_same, clear_preamble, standing

# A run that takes a moment, counts its starts, saves when told to, and fails where a file called "broken" says so.
SCRIPT = """
import json, signal, sys, time
from pathlib import Path
run = Path(sys.argv[1]); run.mkdir(exist_ok=True)
with (run / "starts").open("a") as file: file.write("x")
def status(state): (run / "status.json").write_text(json.dumps(dict(state=state, pid=0, step=1, max_steps=2,
    started="", updated="2026-01-01T00:00:00+00:00", ended=None, message=None)))
def stop(number, frame): status("interrupted"); sys.exit(1)
signal.signal(signal.SIGTERM, stop)
(run / "config.yaml").write_text("seed: 1")
(run / "metrics.jsonl").write_text('{"step": 0, "eval/accuracy": 0.25}\\n')
if (run.parent / "broken").exists() and (run.parent / "broken").read_text() == run.name:
    sys.exit("first line\\nerror: it broke")
(run / "ready").touch()
time.sleep(float(sys.argv[2]))
status("finished")
"""


class Recorder:
    """A watch that remembers, and how many ran at once."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, bool]] = []
        self.scores: list[float] = []
        self.over: list[Outcome] = []
        self.most = 0
        self.stops = 0

    def started(self, trial: Trial, resumed: bool) -> None:
        self.begun.append((trial.name, resumed))
        self.most = max(self.most, len(self.begun) - len(self.over))

    def progress(self, trial: Trial, progress: Progress) -> None:
        self.scores.append(progress.accuracy)

    def ended(self, outcome: Outcome) -> None:
        self.over.append(outcome)

    def stopping(self, running: int) -> None:
        self.stops += running


def place(folder: Path, seconds: float = 0.0) -> Place:
    def launch(trial: Trial) -> subprocess.Popen[bytes]:
        with (folder / f"{trial.name}.err").open("wb") as errors:
            command = [sys.executable, "-c", SCRIPT, str(folder / trial.name), str(seconds)]
            return subprocess.Popen(command, stderr=errors, start_new_session=True)

    def why(trial: Trial) -> str | None:
        lines = (folder / f"{trial.name}.err").read_text().splitlines()
        return lines[-1] if lines else None

    return Place(folder, launch, why)


def starts(folder: Path) -> dict[str, int]:
    return {path.parent.name: len(path.read_text()) for path in folder.glob("*/starts")}


TRIALS = expand(["a=1,2,3"], None)


def test_all_are_run_so_many_at_once_and_none_again(tmp_path: Path) -> None:
    watch = Recorder()
    outcomes = run_trials(TRIALS, place(tmp_path, 0.3), 2, watch)
    assert [outcome.state for outcome in outcomes] == ["finished"] * 3
    assert watch.most == 2 and watch.scores.count(0.25) >= 3
    again = run_trials(TRIALS, place(tmp_path), 2, Recorder())
    assert [(outcome.state, outcome.repeated) for outcome in again] == [("finished", False)] * 3
    assert starts(tmp_path) == {"a-1": 1, "a-2": 1, "a-3": 1}


def test_a_failure_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("a-2")
    outcomes = run_trials(TRIALS, place(tmp_path), 1, Recorder())
    assert [(o.trial.name, o.state, o.reason) for o in outcomes] == [
        ("a-1", "finished", None),
        ("a-2", "failed", "error: it broke"),
        ("a-3", "finished", None),
    ]
    (tmp_path / "broken").unlink()
    watch = Recorder()
    run_trials(TRIALS, place(tmp_path), 1, watch)
    assert watch.begun == [("a-2", True)]


def test_a_signal_is_handed_on_once_and_nothing_else_begins(tmp_path: Path) -> None:
    def interrupt() -> None:
        while not all((tmp_path / name / "ready").exists() for name in ("a-1", "a-2")):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    watch, before = Recorder(), signal.getsignal(signal.SIGTERM)
    threading.Thread(target=interrupt, daemon=True).start()
    outcomes = run_trials(TRIALS, place(tmp_path, 60), 2, watch)
    assert sorted((o.trial.name, o.state) for o in outcomes) == [("a-1", "interrupted"), ("a-2", "interrupted")]
    assert watch.stops == 2 and "a-3" not in starts(tmp_path)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_that_another_process_holds_is_waited_for_and_then_gone_on_with(tmp_path: Path) -> None:
    hold = """
import sys, time
from pathlib import Path
from asyppo_cli.runs.lock import lock_run
run = Path(sys.argv[1])
with lock_run(run, run / ".lock"):
    print("held", flush=True)
    time.sleep(1.0)
(run / "released").touch()
"""
    run = RunDirectory(tmp_path / "a-1")
    run.path.mkdir()
    run.config.write_text("seed: 1")
    holder = subprocess.Popen([sys.executable, "-P", "-c", hold, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    assert standing(run) == "held"
    watch = Recorder()
    outcomes = run_trials(TRIALS[:1], place(tmp_path), 1, watch)
    assert holder.wait() == 0
    holder.stdout.close()
    assert [o.state for o in outcomes] == ["finished"] and watch.begun == [("a-1", True)]


def test_a_killed_process_says_by_what(tmp_path: Path) -> None:
    def launch(trial: Trial) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])

    outcomes = run_trials(TRIALS[:1], Place(tmp_path, launch, lambda trial: None), 1, Recorder())
    assert outcomes[0].reason == "killed by SIGKILL"


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
    clear_preamble(run)
    assert run.exists()


def test_only_the_beginnings_of_a_run_are_cleared_away(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "r")
    run.path.mkdir()
    run.overrides.write_text("[]")
    clear_preamble(run)
    assert not run.path.exists()
    run.path.mkdir()
    (run.path / "thesis.tex").write_text("years of work")
    clear_preamble(run)
    assert (run.path / "thesis.tex").exists()


def test_a_command_resumes_what_has_begun_and_divides_the_cores(tmp_path: Path) -> None:
    launcher, trial = TrainLauncher(tmp_path, 3), TRIALS[0]
    command = launcher.command(trial)
    assert command[:6] == [sys.executable, "-P", "-m", "asyppo_cli", "train", "--name"]
    assert command[-2:] == ["learner.threads=3", "a=1"] or command[-2:] == ["a=1", "learner.threads=3"]
    (tmp_path / trial.name).mkdir()
    (tmp_path / trial.name / "config.yaml").write_text(json.dumps({}))
    assert launcher.command(trial)[-1] == "--resume" and "a=1" not in launcher.command(trial)
    assert with_threads(("++learner.threads=1",), 3) == ["++learner.threads=1"]


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell children of a death")
def test_a_trial_stops_with_its_sweep(tmp_path: Path) -> None:
    driver = f"""
import sys, time
from pathlib import Path
from sweeps.grid import expand
from sweeps.process import TrainLauncher
class Sleeper(TrainLauncher):
    def command(self, trial): return [sys.executable, "-c", "import time; time.sleep(60)"]
process = Sleeper(Path({str(tmp_path)!r}), 1)(expand(["a=1,2"], None)[0])
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
