"""How long it takes to say what 10,000 trials say: means, intervals, differences, words and tables.

    python benchmarks/studies.py [--trials 10000]

Three seconds are promised for listing such a study and summing it up. Printed are the wall clock and the processor's
seconds of the summing up, for few and many seeds, for a search, and for what writing the files adds to it.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import Any

from analysis.study.findings import StudyAnswer, answer_study, with_importance
from analysis.study.record import answer_json, settings_csv, trials_csv
from asyppo_cli.runs.studies import Objective, Study, StudyTrial

PROMISED = 3.0


def grid(trials: int, seeds: int) -> Study:
    """Settings with so many seeds each."""
    draw = random.Random(0)
    made = [
        StudyTrial(f"t{i}-{seed}", {"k": str(i)}, seed, "finished", (draw.gauss(0.8, 0.02),), seconds=60.0)
        for i in range(trials // seeds)
        for seed in range(1, seeds + 1)
    ]
    return Study("grid", "grid", (Objective("eval/accuracy", "maximize"),), tuple(made))


def search(trials: int) -> Study:
    """Points of three keys with one seed each, two objectives."""
    draw = random.Random(0)
    points = [
        {"lr": f"{10 ** draw.uniform(-5, -3):.4g}", "mask": f"{draw.random():.4f}", "b": draw.choice("xy")}
        for _ in range(trials)
    ]
    made = [
        StudyTrial(f"t{i}", point, 1, "finished", (draw.gauss(0.8, 0.02), draw.uniform(1, 3)))
        for i, point in enumerate(points)
    ]
    return Study(
        "search", "search", (Objective("eval/accuracy", "maximize"), Objective("time/step", "minimize")), tuple(made)
    )


def summed_up(study: Study) -> StudyAnswer:
    """What the terminal shows."""
    said = answer_study(study)
    said.findings(), said.differences(), said.tables()
    return said


def timed(name: str, call: Callable[[], Any]) -> Any:
    """The result, its seconds printed."""
    wall, worked = time.perf_counter(), time.process_time()
    found = call()
    wall, worked = time.perf_counter() - wall, time.process_time() - worked
    print(f"{name:<52} {wall:6.2f} s ({worked:5.2f} s of the processor), {wall / PROMISED:5.1%} of the promise")
    return found


def main() -> None:
    """Print the seconds of each kind of study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    trials = parser.parse_args().trials
    summed_up(grid(100, 5))
    for seeds in (1, 3, 5, 8):
        study = grid(trials, seeds)
        said = timed(f"{trials:,} trials, {seeds} seeds of each setting", lambda study=study: summed_up(study))
    timed("its trials.csv, settings.csv and answer.json", lambda: files(said))
    study = search(trials)
    said = timed(f"a search of {trials:,} trials, two objectives", lambda: summed_up(study))
    timed("the importance of its keys", lambda: with_importance(said))


def files(said: StudyAnswer) -> None:
    """The texts, unwritten."""
    trials_csv(said.study), settings_csv(said), answer_json(said)


if __name__ == "__main__":
    main()
