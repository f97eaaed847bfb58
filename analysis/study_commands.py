"""How a study is repeated: the sweep that makes its runs, from what they were started with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.results import read_overrides, varying
from analysis.study_folder import SEED, carried_out
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.studies import Study


def sweep_commands(study: Study, folder: Path) -> list[str]:
    """The command as typed where the study knows it; else one for a full grid, or one for each setting.

    Raises:
        ValueError: the overrides of a run cannot be read.
    """
    name = shlex.quote(study.name)
    if study.overrides:
        return [f"asyppo sweep {shlex.join(study.overrides)} --name {name}"]
    runs = [RunDirectory(folder / trial.name) for trial in study.trials]
    typed = [read_overrides(run) for run in runs if run.overrides.exists()]
    kept = [{key: value for key, value in one.items() if key == SEED or not carried_out(key)} for one in typed]
    groups = [kept] if _whole(kept) else list(_by_setting(kept).values())
    return [f"asyppo sweep {shlex.join(_grid(group))} --name {name}" for group in groups]


def _whole(typed: Sequence[Mapping[str, str]]) -> bool:
    """Whether the runs are all combinations of what varies between them."""
    swept, size = varying(typed), 1
    for values in swept.values():
        size *= len(values)
    return len(typed) == size and all("" not in values for values in swept.values())


def _by_setting(typed: Sequence[Mapping[str, str]]) -> dict[str, list[Mapping[str, str]]]:
    groups: dict[str, list[Mapping[str, str]]] = {}
    for one in typed:
        groups.setdefault(str({key: value for key, value in one.items() if key != SEED}), []).append(one)
    return groups


def _grid(typed: Sequence[Mapping[str, str]]) -> list[str]:
    keys = dict.fromkeys(key for one in typed for key in one)
    return [f"{key}={','.join(dict.fromkeys(one[key] for one in typed if key in one))}" for key in keys]
