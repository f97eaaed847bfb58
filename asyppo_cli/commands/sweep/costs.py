"""The cost of a sweep: trials, steps, responses, and seconds where runs of the same shape have finished."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from asyppo_cli.config.load import Loaded
from asyppo_cli.config.schema import Config
from asyppo_cli.keys import flatten
from asyppo_cli.runs.directory import last_active, run_directories
from asyppo_cli.runs.listing import read_config, summarise

# Keys with little or no effect on the seconds of a step.
IRRELEVANT = (
    *("seed", "max_steps", "gates.", "policy_loss.", "logging.", "checkpoints.", "learner.threads", "advantage."),
    *("learner.policy.", "learner.critics.", "critics.warmup_steps", "critics.aggregation", "critics.split"),
)
# Only the newest runs are searched for their seconds.
MAX_RUNS = 200


@dataclass
class Cost:
    """Of all trials: steps, responses sampled for training and for evaluation, and steps by shape of the run."""

    trials: int = 0
    steps: int = 0
    responses: int = 0
    evaluated: int = 0
    shapes: Counter[str] = field(default_factory=Counter)

    def add(self, loaded: Loaded[Config]) -> None:
        """Count one trial."""
        config = loaded.config
        self.trials += 1
        self.steps += config.max_steps
        self.responses += config.max_steps * config.rollout.prompts * config.rollout.responses
        self.evaluated += evaluations(config) * config.evaluation.problems * config.evaluation.samples
        self.shapes[shape(loaded.resolved)] += config.max_steps

    def scaled(self, trials: int) -> Cost:
        """The cost of ``trials`` trials of the mean cost."""
        ratio = trials / self.trials
        return replace(
            self,
            trials=trials,
            steps=round(self.steps * ratio),
            responses=round(self.responses * ratio),
            evaluated=round(self.evaluated * ratio),
            shapes=Counter({shape: round(steps * ratio) for shape, steps in self.shapes.items()}),
        )


def evaluations(config: Config) -> int:
    """The number of evaluations: before the first step, at every interval, and after the last step."""
    every = config.evaluation.every
    return 2 if not every else 1 + math.ceil(config.max_steps / every)


def shape(resolved: Mapping[str, Any]) -> str:
    """The part of a configuration that determines the seconds of a step, as text."""
    return json.dumps({key: value for key, value in flatten(resolved).items() if not key.startswith(IRRELEVANT)})


def seconds(cost: Cost, runs_dir: Path) -> float | None:
    """Seconds of all trials one after another, by finished runs of the same shapes; None if a shape is unknown."""
    known = known_seconds(runs_dir)
    if any(each not in known for each in cost.shapes):
        return None
    return sum(steps * known[each] for each, steps in cost.shapes.items())


def known_seconds(runs_dir: Path) -> dict[str, float]:
    """Seconds per step, evaluations included, of the newest finished runs of the folder and its studies, by shape."""
    folders = [runs_dir, *(path for path in runs_dir.iterdir() if path.is_dir())] if runs_dir.is_dir() else []
    runs = [run for folder in folders for run in run_directories(folder)]
    found: dict[str, float] = {}
    for run in sorted(runs, key=last_active)[-MAX_RUNS:]:
        try:
            summary = summarise(run)
            if summary.state == "finished" and summary.step:
                found[shape(read_config(run))] = summary.seconds / summary.step
        except ValueError:
            # asyppo runs ls reports runs with damaged files.
            continue
    return found
