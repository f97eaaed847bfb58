"""What came out of runs that are compared: accuracy by step, seconds, seed and setting, read from run directories."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.listing import lookup, read_config
from asyppo_cli.runs.metric_log import read_metrics
from asyppo_cli.runs.status import read_status


@dataclass(frozen=True)
class Result:
    """A finished run; ``accuracy`` in [0, 1] after each of ``steps``, from step 0 to the last.

    ``seconds`` of training and evaluation, ``step_seconds`` of the median training step, held-out ``problems`` behind
    each accuracy.
    """

    setting: str
    seed: int
    steps: tuple[int, ...]
    accuracy: tuple[float, ...]
    seconds: float
    step_seconds: float
    problems: int

    @property
    def before(self) -> float:
        """Accuracy before the first step."""
        return self.accuracy[0]

    @property
    def after(self) -> float:
        """Accuracy after the last step."""
        return self.accuracy[-1]


def read_result(run: RunDirectory, setting: str) -> Result:
    """The result of a finished run under the name of its setting.

    Raises:
        ValueError: the run is not finished, was not evaluated twice, or a file of it is damaged.
    """
    status, metrics, config = read_status(run.status), read_metrics(run.metrics), read_config(run)
    if status is None or status.state != "finished":
        raise ValueError(f"run {run.name} is not finished: go on with asyppo train --resume, or leave it out")
    scored = [row for row in metrics.rows if names.ACCURACY in row]
    if len(scored) < 2:
        raise ValueError(f"run {run.name} has {len(scored)} evaluations, and two are needed for a change")
    times = metrics.series(names.STEP_TIME)
    return Result(
        setting=setting,
        seed=int(lookup(config, "seed", 0)),
        steps=tuple(int(row[names.STEP]) for row in scored),
        accuracy=tuple(row[names.ACCURACY] for row in scored),
        seconds=metrics.seconds(),
        step_seconds=statistics.median(times),
        problems=int(lookup(config, "evaluation.problems", 0)),
    )


def read_overrides(run: RunDirectory) -> dict[str, str]:
    """The overrides of a run by key, values as typed.

    Raises:
        ValueError: the file cannot be read.
    """
    import yaml

    try:
        typed: Any = yaml.safe_load(run.overrides.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{run.overrides} cannot be read: {str(error).splitlines()[0]}") from error
    pairs = (str(text).lstrip("+").partition("=") for text in typed or [])
    return {key: value for key, _, value in pairs}


def varying(overrides: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Keys that do not have the same value in all runs, with their values in the order met (left out: an empty one)."""
    keys = dict.fromkeys(key for run in overrides for key in run)
    values = {key: list(dict.fromkeys(run.get(key, "") for run in overrides)) for key in keys}
    return {key: found for key, found in values.items() if len(found) > 1}


def by_setting(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Results of each setting by seed; settings in the order met.

    Raises:
        ValueError: two runs have the same setting and seed.
    """
    groups: dict[str, dict[int, Result]] = {}
    for result in results:
        seeds = groups.setdefault(result.setting, {})
        if result.seed in seeds:
            raise ValueError(f"two runs of {result.setting} have seed {result.seed}: leave one out")
        seeds[result.seed] = result
    return {setting: [seeds[seed] for seed in sorted(seeds)] for setting, seeds in groups.items()}
