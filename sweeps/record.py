"""``sweep.json``: what a sweep was asked for and how each of its trials ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asyppo_cli.runs.atomic import replace_text
from sweeps.grid import Trial
from sweeps.runner import Outcome

FILE = "sweep.json"


def write_record(folder: Path, overrides: Sequence[str], trials: Sequence[Trial], ended: Mapping[str, Outcome]) -> None:
    """Write the record; a trial without an outcome waits, or runs."""
    record = {"overrides": list(overrides), "trials": [_entry(trial, ended.get(trial.name)) for trial in trials]}
    replace_text(folder / FILE, json.dumps(record, indent=1) + "\n")


def _entry(trial: Trial, outcome: Outcome | None) -> dict[str, Any]:
    state, reason = (outcome.state, outcome.reason) if outcome is not None else ("waiting", None)
    return {"name": trial.name, "point": dict(trial.point), "state": state, "reason": reason}
