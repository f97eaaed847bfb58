"""Reusing finished runs: a trial whose configuration has been run elsewhere is copied instead of trained again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from asyppo_cli.extensions.files import read_copies
from asyppo_cli.keys import flatten
from asyppo_cli.runs.directory import LOCK, RunDirectory, run_directories
from asyppo_cli.runs.files.atomic import replace_text
from asyppo_cli.runs.listing import read_config
from asyppo_cli.runs.status import read_status
from sweeps.definition.grid import Trial
from sweeps.execution.trial_directory import THREADS

# An adopted run is read, not resumed, so its weights are not copied.
NOT_COPIED = shutil.ignore_patterns("checkpoints", "figures", LOCK, "*.partial")


class FinishedRunIndex:
    """The finished runs of some folders by configuration; of several equal ones the first.

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
                    key = configuration_key(read_config(run), read_copies(run.extensions))
                    self._runs.setdefault(key, run)

    def find(self, resolved: Mapping[str, Any], files: Mapping[str, str]) -> RunDirectory | None:
        """The run of exactly this configuration, seed and texts of the user's files included; threads do not count."""
        return self._runs.get(configuration_key(resolved, files)) if self._runs else None


def adopt_run(trial: Trial, finished: RunDirectory, folder: Path) -> None:
    """Copy a finished run without its weights to the trial's place in ``folder``, all of it or nothing.

    It keeps its times, its machine and its command; its overrides become the trial's, which define its setting.
    """
    partial = folder / f"{trial.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(finished.path, partial, ignore=NOT_COPIED)
    replace_text(RunDirectory(partial).overrides, yaml.safe_dump(list(trial.overrides)))
    partial.rename(folder / trial.name)


def configuration_key(resolved: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """Equal for two configurations exactly if they compute the same, given the texts of the user's files."""
    flat = {key: value for key, value in flatten(resolved).items() if key != THREADS}
    return json.dumps([flat, dict(files)], sort_keys=True, default=str)
