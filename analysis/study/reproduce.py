"""How a study is repeated: the sweeps that make its runs, and the machines and versions they ran on."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.stats.effects import Seed, seed_order
from analysis.study.axes import grid_axes
from analysis.study.findings import StudyAnswer
from analysis.study.settings import StudySetting
from asyppo_cli.runs.directory import RunDirectory
from asyppo_cli.runs.files.disk import unusable
from asyppo_cli.runs.studies import Study

SEEDS_TO_TRUST = 5
PACKAGES = ("torch", "transformers", "numpy", "reasoning-gym", "sympy")


def sweep_commands(answer: StudyAnswer) -> list[str]:
    """One command for a grid, one for each setting of a list; for a search its best setting with more seeds."""
    study, first = answer.study, answer.objectives[0]
    if first.search is not None:
        best = first.search.best[:1]
        return [_command(study, s.point, f"--seeds {SEEDS_TO_TRUST}", f"{study.name}-best") for s in best]
    axes = grid_axes(first.settings)
    if axes:
        fixed = {key: value for key, value in first.settings[0].point.items() if key not in axes}
        point = fixed | {key: ",".join(values) for key, values in axes.items()}
        return [_command(study, point, _seeds(first.settings), study.name)]
    return [_command(study, setting.point, _seeds([setting]), study.name) for setting in first.settings]


def _command(study: Study, point: Mapping[str, str], seeds: str, name: str) -> str:
    typed = shlex.join([*study.overrides, *(f"{key}={value}" for key, value in point.items())])
    return " ".join(part for part in ("asyppo sweep", typed, seeds, f"--name {shlex.quote(name)}") if part)


def _seeds(settings: Sequence[StudySetting]) -> str:
    seeds = {trial.seed for setting in settings for trial in setting.trials}
    known: list[Seed] = sorted(seeds, key=seed_order)
    if None in seeds or not seeds:
        return ""
    return f"--seeds {len(known)}" if known == list(range(1, len(known) + 1)) else f"seed={','.join(map(str, known))}"


def machines(runs: Sequence[RunDirectory]) -> list[str]:
    """A line for each kind of machine, and one for the commits; runs without ``environment.json`` are left out.

    Raises:
        ValueError: a file is damaged.
    """
    known = [_read(run) for run in runs if run.environment.exists()]
    described = dict.fromkeys(describe(environment) for environment in known)
    found = [environment["git"] for environment in known if environment.get("git")]
    commits = dict.fromkeys(git["commit"][:12] + (" with changes" if git["changed"] else "") for git in found)
    return [*described, f"Commit {', '.join(commits) or 'unknown'}"]


def _read(run: RunDirectory) -> dict[str, Any]:
    try:
        known = json.loads(run.environment.read_text(encoding="utf-8"))
        describe(known)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise unusable(run.environment, error) from error
    return dict(known)


def describe(environment: Mapping[str, Any]) -> str:
    """One line: processor, memory, versions; no host name and no path."""
    hardware, packages = environment["hardware"], environment["packages"]
    parts = [f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['memory_bytes'] / 2**30:.0f} GiB"]
    parts += [", ".join(hardware["gpus"]) or "no GPU", f"Python {environment['python']}"]
    return ", ".join([*parts, *(f"{name} {packages[name]}" for name in PACKAGES if name in packages)])
