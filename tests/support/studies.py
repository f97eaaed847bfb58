"""Small studies, and a trial that is a few lines of Python in place of training."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from asyppo_cli.runs.studies import StudyTrial, TrialState
from sweeps.definition.definition import StudyDefinition
from sweeps.definition.grid import Trial
from sweeps.definition.request import SweepRequest, define
from sweeps.execution.devices import ResourceShare
from sweeps.execution.worker import End

# A run that counts its starts, evaluates itself three times, saves when told to, and fails where a file says so.
# What it scores is its x where it has one; the first argument is its folder, the second how long it takes.
SCRIPT = """
import json, signal, sys, time
from pathlib import Path
run, seconds = Path(sys.argv[1]), float(sys.argv[2])
swept = dict(word.split("=") for word in sys.argv[3:] if "=" in word)
score = float(swept.get("x", 0.25))
run.mkdir(parents=True, exist_ok=True)
with (run / "starts").open("a") as file: file.write("x")
def status(state, step):
    (run / "aside").write_text(json.dumps(dict(state=state, pid=0, step=step, max_steps=2, started="",
        updated="2026-01-01T00:00:00+00:00", ended=None, message=None)))
    (run / "aside").replace(run / "status.json")
def stop(number, frame): status("interrupted", 1); sys.exit(1)
signal.signal(signal.SIGTERM, stop)
(run / "config.yaml").write_text("seed: 1")
if (run.parent / "broken").exists() and (run.parent / "broken").read_text() == run.name:
    sys.exit("first line\\nerror: it broke")
if (run.parent / "full").exists(): sys.exit("error: the disk is full (1 MiB free): the run has stopped")
value = "null" if (run.parent / "nan").exists() else score
(run / "metrics.jsonl").write_text("")
(run / "ready").touch()
for step in range(3):
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": %d, "eval/accuracy": %s, "time/step": 1.5}\\n' % (step, value))
    status("running", step)
    time.sleep(seconds / 3)
status("finished", 2)
"""


def grid(*words: str, seeds: int | None = None, name: str = "s") -> StudyDefinition:
    """A grid as typed."""
    return define(SweepRequest(words=words, seeds=seeds, name=name))


def search(
    *words: str, trials: int, directions: Sequence[str] = ("maximize",), name: str = "s", **options: object
) -> StudyDefinition:
    """A search as typed."""
    return define(SweepRequest(words=words, trials=trials, directions=directions, name=name, **options))  # type: ignore[arg-type]


class ScriptLauncher:
    """Starts the small trials in ``folder``; each takes ``seconds``."""

    def __init__(self, folder: Path, seconds: float = 0.0) -> None:
        self.folder, self._seconds = folder, seconds

    def start(self, trial: Trial, share: ResourceShare) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-S", "-c", SCRIPT, str(self.folder / trial.name), str(self._seconds)]
        with (self.folder / f"{trial.name}.err").open("wb") as errors:
            return subprocess.Popen([*command, *trial.overrides], stderr=errors, start_new_session=True)

    def last_error(self, trial: Trial) -> str | None:
        lines = (self.folder / f"{trial.name}.err").read_text().splitlines()
        return lines[-1].removeprefix("error: ") if lines else None


def shares(jobs: int = 1) -> list[ResourceShare]:
    """A core for each simultaneous trial."""
    return [ResourceShare(1) for _ in range(jobs)]


def starts(folder: Path) -> dict[str, int]:
    """How often each trial was started."""
    return {path.parent.name: len(path.read_text()) for path in folder.glob("*/starts")}


class Recorder:
    """An observer that remembers, and how many trials ran at once."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, bool]] = []
        self.values: list[float] = []
        self.over: list[StudyTrial] = []
        self.counts: dict[str, int] = {}
        self.most = 0
        self.stops = 0
        self.end: End | None = None

    def polled(self, counts: Mapping[TrialState, int]) -> None:
        self.counts = dict(counts)

    def started(self, trial: Trial, resumed: bool) -> None:
        self.begun.append((trial.name, resumed))
        self.most = max(self.most, len(self.begun) - len(self.over))

    def progressed(self, trial: Trial, step: int, max_steps: int, evaluation: tuple[int, float] | None) -> None:
        self.values += [] if evaluation is None else [evaluation[1]]

    def ended(self, trial: StudyTrial) -> None:
        self.over.append(trial)

    def stopping(self, running: int) -> None:
        self.stops += running
