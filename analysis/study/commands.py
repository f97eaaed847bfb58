"""How a study is repeated: the sweeps that make its runs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from analysis.study.axes import grid_axes
from analysis.study.settings import Seed, Setting, seed_order
from asyppo_cli.runs.studies import Study

SEEDS_TO_TRUST = 5


def sweep_commands(study: Study, settings: Sequence[Setting]) -> list[str]:
    """Of a grid one command, of a list of settings one for each. Of a search what repeats its best with more seeds.

    The settings of a search come best first.
    """
    name = study.name
    if study.kind == "search":
        found = [setting for setting in settings if setting.means[0] is not None][:1]
        return [_command(study, setting.point, f"--seeds {SEEDS_TO_TRUST}", f"{name}-best") for setting in found]
    axes = grid_axes(settings)
    if axes:
        fixed = {key: value for key, value in settings[0].point.items() if key not in axes}
        point = fixed | {key: ",".join(values) for key, values in axes.items()}
        return [_command(study, point, _seeds(settings), name)]
    return [_command(study, setting.point, _seeds([setting]), name) for setting in settings]


def _command(study: Study, point: Mapping[str, str], seeds: str, name: str) -> str:
    typed = shlex.join([*study.overrides, *(f"{key}={value}" for key, value in point.items())])
    return " ".join(part for part in ("asyppo sweep", typed, seeds, f"--name {shlex.quote(name)}") if part)


def _seeds(settings: Sequence[Setting]) -> str:
    seeds = {trial.seed for setting in settings for trial in setting.trials}
    known: list[Seed] = sorted(seeds, key=seed_order)
    if None in seeds or not seeds:
        return ""
    return f"--seeds {len(known)}" if known == list(range(1, len(known) + 1)) else f"seed={','.join(map(str, known))}"
