"""Checking all trials of a sweep before any of them starts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asyppo_cli.commands.sweep.costs import Cost, evaluations
from asyppo_cli.config.inert import effective, only_warms_up, scored_by_verifier
from asyppo_cli.runs import metrics as names

if TYPE_CHECKING:
    from asyppo_cli.commands.sweep.validate import Configured
    from asyppo_cli.config.schema import Config
    from asyppo_cli.runs.directory import RunDirectory
    from sweeps.definition.definition import StudyDefinition
    from sweeps.definition.grid import Trial

# Only the first trials of a kind are named.
MAX_NAMES = 4
# Metrics of the policy's update.
UPDATE_METRICS = {
    *(names.CLIP_SHARE, names.KL, names.REFERENCE_KL, names.POLICY_GRAD_NORM, names.POLICY_SKIPPED),
    *(names.POLICY_LOSS, names.POLICY_LR),
}


@dataclass
class SweepPlan:
    """A checked definition with the cost of what is still to be run, how many trials are over, trials that have been
    run elsewhere, one configuration for each set of devices and for each set of models, trials by what they
    compute, and the texts of the user's files.
    """

    definition: StudyDefinition
    over: frozenset[str] = frozenset()
    cost: Cost = field(default_factory=Cost)
    reused: list[tuple[Trial, RunDirectory]] = field(default_factory=list)
    by_devices: dict[str, Config] = field(default_factory=dict)
    by_models: dict[str, Config] = field(default_factory=dict)
    by_result: dict[str, list[str]] = field(default_factory=dict)
    extensions: dict[str, str] = field(default_factory=dict)
    max_steps: int = 0
    warm_up: str | None = None

    def add(self, configured: Configured, run: RunDirectory | None) -> None:
        """Count a trial; ``run`` is its finished run in another folder."""
        trial, loaded = configured
        config = loaded.config
        check_measurable(self.definition, trial, config)
        if run is not None:
            self.reused.append((trial, run))
        elif trial.name not in self.over:
            self.cost.add(loaded)
        self.max_steps = max(self.max_steps, config.max_steps)
        self.by_devices.setdefault(
            repr((config.cluster, config.learner.device, config.learner.threads, config.critics.count)), config
        )
        self.by_models.setdefault(repr((config.policy, config.critics.model, config.critics.depth)), config)
        key = json.dumps(effective(config, loaded.resolved), sort_keys=True, default=str)
        self.by_result.setdefault(key, []).append(trial.name)
        self.warm_up = self.warm_up or only_warms_up(config)

    @property
    def warnings(self) -> list[str]:
        """What would waste time: warm-ups as long as a trial, and trials that compute the same."""
        equal = [of_result for of_result in self.by_result.values() if len(of_result) > 1]
        found = [f"{listed(of_result)} compute the same: the values that differ have no effect" for of_result in equal]
        more = [f"and {len(found) - MAX_NAMES:,} more groups"] if len(found) > MAX_NAMES else []
        return [*([self.warm_up] if self.warm_up else []), *found[:MAX_NAMES], *more]


def listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def make_plan(
    definition: StudyDefinition,
    runs_dir: Path,
    config_dir: Path | None,
    storage: str | None = None,
    reuse: Sequence[Path] = (),
) -> SweepPlan:
    """Check every trial, and the study if it exists already.

    Raises:
        ValueError: a trial is wrong, its folder holds a run of another configuration, or the storage another study.
    """
    from asyppo_cli.commands.sweep.resources import existing_study
    from asyppo_cli.commands.sweep.validate import check
    from asyppo_cli.extensions.files import check_same_files, file_texts, find_extensions
    from asyppo_cli.runs.directory import check_name, check_no_run, check_runs_dir
    from sweeps.definition.definition import extended
    from sweeps.execution.finished_runs import FinishedRunIndex
    from sweeps.execution.trial_directory import check_same, run_of

    check_runs_dir(runs_dir)
    folder = runs_dir / definition.name
    check_no_run(folder)
    if reuse and definition.search is not None:
        raise ValueError("--reuse is for grids: the trials of a search are not known in advance")
    # A worker that joins may start in any folder: it has a definition with the texts of the files.
    joined = bool(definition.extensions)
    existing = existing_study(definition.name, runs_dir, storage)
    if existing is not None:
        definition = extended(existing.definition, definition)
    plan = SweepPlan(definition, frozenset() if existing is None else existing.over())
    copies = definition.extensions
    finished = FinishedRunIndex(reuse)
    folders = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    for trial, loaded in check(definition, config_dir):
        if definition.search is None:
            check_name(trial.name)
        if trial.name in folders:
            check_same(run_of(folder, trial.name), loaded.resolved)
        own = find_extensions(loaded.resolved, copies)
        if not joined:
            check_same_files(own, find_extensions(loaded.resolved, spare=copies), "study")
        texts = file_texts(own.values())
        plan.extensions |= texts
        plan.add((trial, loaded), finished.find(loaded.resolved, texts) if trial.name not in folders else None)
    plan.definition = definition = replace(definition, extensions=plan.extensions)
    if definition.search is not None:
        plan.cost = plan.cost.scaled(definition.search.trials - len(plan.over))
        plan.definition = replace(definition, search=replace(definition.search, max_steps=plan.max_steps))
    return plan


def check_measurable(definition: StudyDefinition, trial: Trial, config: Config) -> None:
    """ValueError if a trial cannot measure an objective, or measures it too seldom for the pruner."""
    for objective in definition.objectives:
        if not is_measured(objective.metric, config):
            raise ValueError(f"trial {trial.name}: its configuration does not measure --metric {objective.metric}")
    search, metric = definition.search, definition.objectives[0].metric
    # The first evaluation is before training, the last when a trial is over anyway.
    if search is not None and search.pruner != "none" and metric.startswith("eval/") and evaluations(config) < 3:
        raise ValueError(
            f"trial {trial.name}: --pruner {search.pruner} needs evaluations during training, and evaluation.every="
            f"{config.evaluation.every} gives none in {config.max_steps} steps: lower it, or use --pruner none"
        )


def is_measured(metric: str, config: Config) -> bool:
    """Whether a run of this configuration has the metric, which is known to exist."""
    critics = config.critics.count
    if metric in (names.DISAGREEMENT, names.CORRELATION):
        return critics > 1
    if metric == names.EXPLAINED_VARIANCE:
        return critics > 0
    if metric == names.REFERENCE_KL and (config.policy_loss.kl_coef == 0 or config.policy_loss.kl_in == "reward"):
        return False
    if metric in (names.EVAL_REWARD, names.REWARD_FAILED):
        return not scored_by_verifier(config)
    if metric in UPDATE_METRICS:
        return only_warms_up(config) is None
    return metric != names.SUPERVISED_LOSS and (not metric.startswith("critic_") or metric in names.known(critics))
