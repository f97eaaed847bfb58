"""Trials that another study has run already: the same configuration, finished, is taken over and not trained again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from asyppo_cli.keys import flatten
from asyppo_cli.runs.directory import LOCK, RunDirectory, run_directories
from asyppo_cli.runs.files.atomic import replace_text
from asyppo_cli.runs.listing import read_config
from asyppo_cli.runs.status import read_status
from sweeps.definition.grid import Trial
from sweeps.execution.trial_directory import THREADS, run_of

# A finished run is read, not resumed: its weights stay where they are.
LEFT = shutil.ignore_patterns("checkpoints", "figures", LOCK, "*.partial")


class Finished:
    """Finished runs of some folders, by their configuration; of several equal ones the first.

    Raises:
        ValueError: a folder holds no run, or a run's configuration is damaged.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._runs: dict[str, RunDirectory] = {}
        for folder in folders:
            runs = run_directories(folder)
            if not runs:
                raise ValueError(f"--reuse {folder}: there is no run in this folder")
            for run in runs:
                status = read_status(run.status)
                if status is not None and status.state == "finished":
                    self._runs.setdefault(_key(read_config(run)), run)

    def like(self, resolved: Mapping[str, Any]) -> RunDirectory | None:
        """The run of this very configuration, seed included; how many threads it had does not matter."""
        return self._runs.get(_key(resolved))


def take_over(trial: Trial, finished: RunDirectory, folder: Path) -> None:
    """Copy a finished run, but for its weights, to where a trial of the study in ``folder`` belongs.

    It keeps its times, its machine and the command that made it; its overrides become the trial's, by which a study
    knows its settings. Whole or not at all.
    """
    run = run_of(folder, trial.name)
    partial = folder / f"{trial.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(finished.path, partial, ignore=LEFT)
    replace_text(RunDirectory(partial).overrides, yaml.safe_dump(list(trial.overrides)))
    partial.rename(run.path)


def _key(resolved: Mapping[str, Any]) -> str:
    flat = {key: value for key, value in flatten(resolved).items() if key != THREADS}
    return json.dumps(flat, sort_keys=True, default=str)
