"""What a sweep costs, before it runs: trials, steps, responses, and seconds where runs of the same shape are known."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyppo_cli.commands.sweep.validate import Checked
from asyppo_cli.config.schema import Config
from asyppo_cli.keys import flatten
from asyppo_cli.runs.directory import last_active, run_directories
from asyppo_cli.runs.listing import read_config, summarise

# What does not change how long a step takes, or hardly.
IRRELEVANT = (
    *("seed", "max_steps", "gates.", "policy_loss.", "logging.", "checkpoints.", "learner.threads", "advantage."),
    *("learner.policy.", "learner.critics.", "critics.warmup_steps", "critics.aggregation", "critics.split"),
)
# The newest runs that are looked at for their seconds.
NEWEST = 200


@dataclass
class Cost:
    """Of all trials together: steps, responses sampled to train on and to evaluate, steps by shape of the run."""

    trials: int = 0
    steps: int = 0
    responses: int = 0
    evaluated: int = 0
    shapes: Counter[str] = field(default_factory=Counter)

    def add(self, checked: Checked) -> None:
        """Count one trial."""
        config = checked.config
        self.trials += 1
        self.steps += config.max_steps
        self.responses += config.max_steps * config.rollout.prompts * config.rollout.responses
        self.evaluated += evaluations(config) * config.evaluation.problems * config.evaluation.samples
        self.shapes[shape(checked.resolved)] += config.max_steps


def evaluations(config: Config) -> int:
    """How often a run is evaluated: before the first step, every so many, and after the last."""
    every = config.evaluation.every
    return 2 if not every else 1 + math.ceil(config.max_steps / every)


def shape(resolved: Mapping[str, Any]) -> str:
    """All of a configuration that a step's seconds depend on, as text."""
    return json.dumps({key: value for key, value in flatten(resolved).items() if not key.startswith(IRRELEVANT)})


def seconds(cost: Cost, runs_dir: Path) -> float | None:
    """Seconds of all trials one after another, by finished runs of the same shapes; None if one shape is unknown."""
    known = known_seconds(runs_dir)
    if any(each not in known for each in cost.shapes):
        return None
    return sum(steps * known[each] for each, steps in cost.shapes.items())


def known_seconds(runs_dir: Path) -> dict[str, float]:
    """Seconds per step, evaluations included, of the newest finished runs of the folder and of its sweeps."""
    folders = [runs_dir, *(path for path in runs_dir.iterdir() if path.is_dir())] if runs_dir.is_dir() else []
    runs = [run for folder in folders for run in run_directories(folder)]
    found: dict[str, float] = {}
    for run in sorted(runs, key=last_active)[-NEWEST:]:
        try:
            facts = summarise(run)
            if facts.state == "finished" and facts.step:
                found[shape(read_config(run))] = facts.seconds / facts.step
        except ValueError:
            # A run with a damaged file only has nothing to say here; asyppo runs ls tells of it.
            continue
    return found


def total(checked: Iterable[Checked]) -> Cost:
    """The cost of all trials."""
    cost = Cost()
    for one in checked:
        cost.add(one)
    return cost
