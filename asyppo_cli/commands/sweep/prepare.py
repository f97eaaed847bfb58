"""A sweep's trials before anything starts: checked, counted, and looked up among runs that are finished."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyppo_cli.commands.sweep.costs import Cost
    from asyppo_cli.commands.sweep.validate import Checked
    from asyppo_cli.config.schema import Config
    from asyppo_cli.runs.directory import RunDirectory
    from sweeps.definition.definition import Definition
    from sweeps.definition.grid import Trial

# Of trials that are taken over, so many are named.
SHOWN = 4


@dataclass(frozen=True)
class Examined:
    """A definition with the steps of a trial, the cost of what is to be run, the configurations that want different
    devices, and trials that have been run elsewhere, with their runs.
    """

    definition: Definition
    cost: Cost
    configs: list[Config]
    known: list[tuple[Trial, RunDirectory]]

    @property
    def known_names(self) -> str:
        """The first of the trials that have been run elsewhere, and how many more there are."""
        names = [trial.name for trial, _ in self.known[:SHOWN]]
        more = len(self.known) - len(names)
        return ", ".join(names) + (f" and {more:,} more" if more else "")


def examine(definition: Definition, runs_dir: Path, config_dir: Path | None, reuse: Sequence[Path] = ()) -> Examined:
    """Check every trial, before anything starts.

    Raises:
        ValueError: a trial is wrong, or its folder holds another run.
    """
    from asyppo_cli.commands.sweep.costs import Cost
    from asyppo_cli.commands.sweep.validate import check
    from asyppo_cli.runs.directory import check_name, check_runs_dir
    from sweeps.execution.finished_runs import Finished
    from sweeps.execution.trial_directory import run_of

    check_runs_dir(runs_dir)
    if reuse and definition.search is not None:
        raise ValueError("--reuse is for grids: which trials a search makes is not known before it runs")
    finished = Finished(reuse)
    known: list[tuple[Trial, RunDirectory]] = []
    cost, steps = Cost(), 0
    different: dict[str, Config] = {}
    for one in vacant(check(definition, config_dir), runs_dir / definition.name):
        if definition.search is None:
            check_name(one.trial.name)
        twin = finished.like(one.resolved)
        if twin is not None and not run_of(runs_dir / definition.name, one.trial.name).path.exists():
            known.append((one.trial, twin))
        else:
            cost.add(one)
        steps = max(steps, one.config.max_steps)
        different.setdefault(
            repr((one.config.cluster, one.config.learner.device, one.config.critics.count)), one.config
        )
    if definition.search is not None:
        cost = scaled(cost, definition.search.trials)
        definition = replace(definition, search=replace(definition.search, max_steps=steps))
    return Examined(definition, cost, list(different.values()), known)


def vacant(checked: Iterable[Checked], folder: Path) -> Iterable[Checked]:
    """The same, each looked at whether its folder holds another run; ValueError if one does."""
    from sweeps.execution.trial_directory import check_same, run_of

    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    for one in checked:
        if one.trial.name in there:
            check_same(run_of(folder, one.trial.name), one.resolved)
        yield one


def scaled(cost: Cost, trials: int) -> Cost:
    """The cost of so many trials like those looked at."""
    from collections import Counter

    share = trials / cost.trials
    return replace(
        cost,
        trials=trials,
        steps=round(cost.steps * share),
        responses=round(cost.responses * share),
        evaluated=round(cost.evaluated * share),
        shapes=Counter({shape: round(steps * share) for shape, steps in cost.shapes.items()}),
    )
