"""Where runs were carried out: processors, versions and commits, from what each has written down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from asyppo_cli.runs.directory import RunDirectory

PACKAGES = ("torch", "transformers", "numpy", "reasoning-gym", "math-verify")


def machines(runs: Sequence[RunDirectory]) -> list[str]:
    """A line for each kind of machine, and one for the commits; runs without that file say nothing.

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
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{run.environment} is damaged: delete it") from error
    return dict(known)


def describe(environment: Mapping[str, Any]) -> str:
    """One line: processor, memory, versions. No host and no path."""
    hardware, packages = environment["hardware"], environment["packages"]
    parts = [f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['memory_bytes'] / 2**30:.0f} GiB"]
    parts += [", ".join(hardware["gpus"]) or "no GPU", f"Python {environment['python']}"]
    return ", ".join([*parts, *(f"{name} {packages[name]}" for name in PACKAGES if name in packages)])
