"""What a sweep costs beside its trials, and what running them side by side gains.

    python benchmarks/sweeping.py [overhead] [jobs] [listing]

``overhead``: the driver's own seconds a trial, with trials that only sleep, against a trial of 100 seconds.
``jobs``: trials in an hour with --jobs 2 and one thread each against --jobs 1 with two, real short runs of the embedded
model, alternately. ``listing``: a study of 10,000 trials in a journal, read and summarised. Each is a ratio with what
was promised; exit 1 if a promise is broken.
"""

from __future__ import annotations

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from silent import Silent

from asyppo_cli.commands.sweep.output import print_states
from asyppo_cli.commands.sweep.validate import check
from sweeps.definition.definition import StudyDefinition
from sweeps.definition.grid import Trial
from sweeps.definition.request import SweepRequest, define
from sweeps.execution.attempts import current
from sweeps.execution.devices import ResourceShare
from sweeps.execution.listing import study_of
from sweeps.execution.storage import open_storage
from sweeps.execution.study_store import StudyStore, create, find
from sweeps.execution.worker import run_worker

# Seconds of a trial of the default size on two cores.
TRIAL = 100.0
LARGE = 10_000
# A trial that does nothing but be there, and writes what a run writes.
SLEEPER = """
import json, sys, time
from pathlib import Path
from typing import Any
run = Path(sys.argv[1]); run.mkdir()
(run / "config.yaml").write_text("seed: 1")
with (run / "metrics.jsonl").open("w") as file:
    for step in range(81):
        file.write(json.dumps({"step": step, "eval/accuracy": 0.5} | {f"m{i}": 0.1 for i in range(50)}) + "\\n")
time.sleep(float(sys.argv[2]))
(run / "status.json").write_text(json.dumps(dict(state="finished", pid=0, step=80, max_steps=80, started="",
    updated="2026-01-01T00:00:00+00:00", ended=None, message=None)))
"""


@dataclass
class SleepLauncher:
    """Starts trials that only sleep, and remembers when."""

    folder: Path
    launched: list[float]

    def start(self, trial: Trial, share: ResourceShare) -> subprocess.Popen[bytes]:
        """Start one."""
        self.launched.append(time.time())
        return subprocess.Popen([sys.executable, "-S", "-c", SLEEPER, str(self.folder / trial.name), "3"])

    def last_error(self, trial: Trial) -> str | None:
        """None of them fails."""
        return None


def grid(*words: str) -> StudyDefinition:
    """A grid as typed."""
    return define(SweepRequest(words=words, name="s"))


def opened(folder: Path, definition: StudyDefinition) -> StudyStore:
    """A study in a journal."""
    return create(open_storage(str(folder / "study.journal")), definition)


def overhead(folder: Path) -> bool:
    """From the end of a trial to the start of the next, and the driver's work meanwhile, of 12 trials of 3 seconds."""
    launcher = SleepLauncher(folder, [])
    definition = grid("seed=range(1,13)", "mask_pct=0.2", "learner.policy.lr=1e-4")
    worked = own_seconds()
    list(check(definition, None))
    checked, began = (own_seconds() - worked) / 12, own_seconds()
    run_worker(opened(folder, definition), launcher, [ResourceShare(1)], Silent())
    ended = sorted(path.stat().st_mtime for path in folder.glob("*/status.json"))
    gap = statistics.median(start - end for start, end in zip(launcher.launched[1:], ended, strict=False))
    pace = (own_seconds() - began) / (ended[-1] - launcher.launched[0])
    share = (checked + gap + pace * TRIAL) / TRIAL
    print(
        f"a trial is checked in {checked:.3f} s and begins {gap:.3f} s after another's end; "
        f"while it runs the driver works {1000 * pace:.1f} ms a second"
    )
    return promised("the driver's share of a trial of 100 s", 100 * share, "%", share <= 0.02, "at most 2 %")


def own_seconds() -> float:
    """Processor seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def jobs(folder: Path, rounds: int = 3) -> bool:
    """Four short runs by each way, again and again; the best of each."""
    best = {1: float("inf"), 2: float("inf")}
    for number in range(rounds):
        for at_once in best:
            place = folder / f"{number}-{at_once}"
            words = ["seed=1,2,3,4", "max_steps=6", "evaluation.every=0", "evaluation.problems=64", "records.every=0"]
            line = ["sweep", *words, "--jobs", str(at_once), "--name", "s", "--runs-dir", str(place)]
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-P", "-m", "asyppo_cli", *line], check=True, capture_output=True)
            best[at_once] = min(best[at_once], time.perf_counter() - begin)
            shutil.rmtree(place)
    print(f"four runs: --jobs 1 with two threads {best[1]:.1f} s, --jobs 2 with one thread each {best[2]:.1f} s")
    gain = best[1] / best[2]
    return promised("throughput of --jobs 2 against --jobs 1", gain, "x", gain >= 1.15, "at least 1.15 x")


def listing(folder: Path) -> bool:
    """A study of 10,000 finished trials: written as workers would have, then read by a fresh process."""
    definition = grid(f"seed=range(0,{LARGE // 4})", "algorithm=asyppo,ppo,grpo,gspo")
    store = opened(folder, definition)
    first = dict([next(iter(store.attempts().items()))])
    store.add_attempts(first)
    claimed = store.claim(current(store.attempts()[next(iter(first))]), "me")  # type: ignore[arg-type]
    assert claimed is not None
    store.heartbeat(claimed)
    store.finish(claimed, [0.5])
    multiply(folder / "study.journal", definition)
    timed: dict[str, float] = {}
    store = clocked(timed, "open", lambda: find(open_storage(str(folder / "study.journal")), "s"))
    study = clocked(timed, "list", lambda: study_of(store))
    assert sum(trial.state == "finished" for trial in study.trials) == LARGE
    clocked(timed, "summarise", lambda: print_states(study))
    print(", ".join(f"{name} {seconds:.2f} s" for name, seconds in timed.items()))
    whole = sum(timed.values())
    kept = promised(f"list and summarise {LARGE:,} trials", whole, "s", whole <= 3.0, "at most 3 s")
    count = clocked(timed, "check", lambda: sum(1 for _ in check(definition, None)))
    print(f"checking {count:,} configurations: {timed['check']:.2f} s\n")
    return kept


def multiply(path: Path, definition: StudyDefinition) -> None:
    """Write what one trial wrote, for all others."""
    from sweeps.definition.grid import grid_trials
    from sweeps.definition.optuna_samplers import distribution, to_stored

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    begin = next(number for number, line in enumerate(lines) if line["op_code"] == 4)
    kinds = {key: distribution(axis) for key, axis in definition.axes.items()}
    with path.open("a") as file:
        for number, trial in enumerate(grid_trials(definition)):
            params = {k: kinds[k].to_internal_repr(to_stored(definition.axes[k], v)) for k, v in trial.axes.items()}
            for line in lines[begin:] if number else ():
                own = {"params": params, "user_attrs": {"run": trial.name}} if line["op_code"] == 4 else {}
                place = {} if own else {"trial_id": number}
                file.write(json.dumps({**line, **own, **place}) + "\n")


def clocked(timed: dict[str, float], name: str, do: Callable[[], Any]) -> Any:
    """Do it, and keep the processor seconds it took: nothing here waits, and the machine may be shared."""
    begin = own_seconds()
    result = do()
    timed[name] = own_seconds() - begin
    return result


def promised(what: str, value: float, unit: str, kept: bool, promise: str) -> bool:
    """Print a number beside what was promised."""
    print(f"{what:<45} {value:6.2f} {unit}   promised: {promise}{'' if kept else '   BROKEN'}\n")
    return kept


def main() -> int:
    """Measure what is asked for, or everything."""
    parts = {"overhead": overhead, "listing": listing, "jobs": jobs}
    kept = True
    for name in sys.argv[1:] or parts:
        with tempfile.TemporaryDirectory() as folder:
            kept = parts[name](Path(folder)) and kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
