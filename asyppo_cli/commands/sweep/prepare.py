"""Checking all trials of a sweep before any of them starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyppo_cli.commands.sweep.costs import Cost
    from asyppo_cli.config.schema import Config
    from asyppo_cli.runs.directory import RunDirectory
    from sweeps.definition.definition import StudyDefinition
    from sweeps.definition.grid import Trial

# Only the first reused trials are named.
MAX_NAMES = 4


@dataclass(frozen=True)
class SweepPlan:
    """A checked definition, the cost of what is to be run, one configuration for each set of devices that trials
    need, and trials that have been run elsewhere, with their runs.
    """

    definition: StudyDefinition
    cost: Cost
    configs: list[Config]
    reused: list[tuple[Trial, RunDirectory]]

    @property
    def reused_names(self) -> str:
        """The first of the reused trials, and how many more there are."""
        names = [trial.name for trial, _ in self.reused[:MAX_NAMES]]
        more = len(self.reused) - len(names)
        return ", ".join(names) + (f" and {more:,} more" if more else "")


def make_plan(
    definition: StudyDefinition, runs_dir: Path, config_dir: Path | None, reuse: Sequence[Path] = ()
) -> SweepPlan:
    """Check every trial.

    Raises:
        ValueError: a trial is wrong, or its folder holds a run of another configuration.
    """
    from asyppo_cli.commands.sweep.costs import Cost
    from asyppo_cli.commands.sweep.validate import check
    from asyppo_cli.runs.directory import check_name, check_no_run, check_runs_dir
    from sweeps.execution.finished_runs import FinishedRunIndex
    from sweeps.execution.trial_directory import check_same, run_of

    check_runs_dir(runs_dir)
    if reuse and definition.search is not None:
        raise ValueError("--reuse is for grids: the trials of a search are not known in advance")
    folder = runs_dir / definition.name
    check_no_run(folder)
    existing = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    finished = FinishedRunIndex(reuse)
    reused: list[tuple[Trial, RunDirectory]] = []
    cost, max_steps = Cost(), 0
    by_devices: dict[str, Config] = {}
    for trial, loaded in check(definition, config_dir):
        config = loaded.config
        if definition.search is None:
            check_name(trial.name)
        if trial.name in existing:
            check_same(run_of(folder, trial.name), loaded.resolved)
        run = finished.find(loaded.resolved) if trial.name not in existing else None
        if run is not None:
            reused.append((trial, run))
        else:
            cost.add(loaded)
        max_steps = max(max_steps, config.max_steps)
        by_devices.setdefault(repr((config.cluster, config.learner.device, config.critics.count)), config)
    if definition.search is not None:
        cost = cost.scaled(definition.search.trials)
        definition = replace(definition, search=replace(definition.search, max_steps=max_steps))
    return SweepPlan(definition, cost, list(by_devices.values()), reused)
