"""A hundred kills at random moments: training, sweeps and evaluations end as if they had never been interrupted."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess, Popen, TimeoutExpired
from typing import Any

import pytest
from run_files import assert_same_run, rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

Command = Callable[..., CompletedProcess[str]]
Start = Callable[[Sequence[str], Path], Popen[str]]

# A hundred in all. A killed process of training is resumed and killed again while it resumes.
KILLS = {"train": 40, "sweep": 30, "eval": 30}
SEED = 40177
# Of a command that nothing kills.
TIMEOUT = 600.0
TRIALS = ("mask_pct-0.1", "mask_pct-0.3")
EVALUATE = ["eval", "sums.jsonl", "--model", "paced", "--samples", "2", "--json", "--output"]


@dataclass
class Moments:
    """Random moments for a kill, within a window that follows the machine's speed: most should hit a live process."""

    draw: random.Random
    seconds: float

    def next(self) -> float:
        """Seconds from a command's start to its kill."""
        return self.draw.uniform(0.0, self.seconds)

    def adapt(self, hit: bool) -> None:
        """Widen the window after a hit, narrow it after a command that ended first."""
        self.seconds *= 1.1 if hit else 0.8


def until_it_ends(start: Callable[[], Popen[str]], moments: Moments, most: int) -> int:
    """Start a command, kill its process group at a random moment, and repeat until it ends by itself.

    Returns:
        How many kills hit a live process; at most ``most``.
    """
    kills = 0
    while True:
        process = start()
        try:
            process.wait(moments.next() if kills < most else TIMEOUT)
        except TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        printed, _ = process.communicate(timeout=TIMEOUT)
        hit = process.returncode == -signal.SIGKILL
        moments.adapt(hit)
        if not hit:
            assert process.returncode == 0, printed
            return kills
        assert kills < most, printed
        kills += 1


def rounds(
    kind: str, start: Callable[[Path], Callable[[], Popen[str]]], folder: Path, longest: float
) -> Iterator[Path]:
    """The folder of each command that was brought to its end, until all kills of this kind have hit a process."""
    moments, hit, finished = Moments(random.Random(f"{SEED} {kind}"), longest), 0, 0
    while hit < KILLS[kind]:
        finished += 1
        place = folder / str(finished)
        place.mkdir()
        hit += until_it_ends(start(place), moments, KILLS[kind] - hit)
        yield place
    assert hit == KILLS[kind]
    print(f"{kind}: {hit} kills over {finished} commands")


def timed(run: Callable[[], CompletedProcess[str]]) -> float:
    """Seconds of a command that nothing kills."""
    begun = time.monotonic()
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - begun


def test_training_and_resuming(asyppo: Command, start_asyppo: Start, small: list[str], tmp_path: Path) -> None:
    command = ["train", "--name", "run", "max_steps=6", "checkpoints.every=1", *small]
    longest = timed(lambda: asyppo(command, tmp_path, timeout=TIMEOUT))

    def start(place: Path) -> Callable[[], Popen[str]]:
        begun = place / "runs" / "run" / "config.yaml"
        return lambda: start_asyppo(["train", "--resume", "--name", "run"] if begun.exists() else command, place)

    whole = tmp_path / "runs" / "run"
    for place in rounds("train", start, tmp_path, longest):
        run = place / "runs" / "run"
        assert_same_run(run, whole)
        for kind in ("samples", "records"):
            names = sorted(path.name for path in (whole / kind).iterdir())
            assert names and names == sorted(path.name for path in (run / kind).iterdir())
        for file in (whole / "samples").iterdir():
            assert file.read_bytes() == (run / "samples" / file.name).read_bytes(), file.name


def study(asyppo: Command, folder: Path) -> list[dict[str, Any]]:
    """The trials of the study, without what a clock measured."""
    done = asyppo(["sweep", "show", "s", "--json"], folder)
    assert done.returncode == 0, done.stderr
    return [{key: trial[key] for key in ("name", "state", "values")} for trial in json.loads(done.stdout)["trials"]]


def test_sweeps(asyppo: Command, start_asyppo: Start, small: list[str], tmp_path: Path) -> None:
    command = ["sweep", "mask_pct=0.1,0.3", "max_steps=2", "checkpoints.every=1", "--name", "s", *small]
    longest = timed(lambda: asyppo(command, tmp_path, timeout=TIMEOUT))
    expected = study(asyppo, tmp_path)
    assert [trial["state"] for trial in expected] == ["finished"] * 2
    for place in rounds("sweep", lambda place: lambda: start_asyppo(command, place), tmp_path, longest):
        assert study(asyppo, place) == expected
        for trial in TRIALS:
            assert rows(place / "runs" / "s" / trial) == rows(tmp_path / "runs" / "s" / trial)
        assert (place / "runs" / "s" / "answer" / "report.html").is_file()


def evaluation(output: Path) -> tuple[dict[str, Any], list[str], list[str]]:
    """Scores, samples and verdicts."""
    [scores] = output.rglob("scores.json")
    samples, verdicts = scores.with_name("samples.jsonl"), scores.with_name("verdicts.jsonl")
    return json.loads(scores.read_text())["scores"], samples.read_text().splitlines(), verdicts.read_text().splitlines()


def test_evaluations(asyppo: Command, start_asyppo: Start, small: list[str], tmp_path: Path) -> None:
    done = asyppo(["train", "--name", "paced", "max_steps=2", *small], tmp_path, timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    config = tmp_path / "runs" / "paced" / "config.yaml"
    # Batches of eight, so that there is something to be lost.
    config.write_text(config.read_text().replace("batch_size: 1024", "batch_size: 8"))
    problems = [{"id": str(i), "problem": f"{i} + {2 * i + 1} = ?", "answer": str(3 * i + 1)} for i in range(96)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(problem) + "\n" for problem in problems))
    longest = timed(lambda: asyppo([*EVALUATE, "whole"], tmp_path, timeout=TIMEOUT))
    expected = evaluation(tmp_path / "whole")
    assert len(expected[1]) == 2 * len(problems)
    for place in rounds(
        "eval", lambda place: lambda: start_asyppo([*EVALUATE, str(place)], tmp_path), tmp_path, longest
    ):
        assert evaluation(place) == expected
