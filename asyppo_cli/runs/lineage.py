"""Where a run comes from: a checkpoint of another run (fork), or its recorded rollouts (replay)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from asyppo_cli.runs.directory import RunDirectory, name_in
from asyppo_cli.runs.files.atomic import replace_text
from asyppo_cli.runs.files.disk import unusable
from asyppo_cli.runs.status import read_status

Kind = Literal["fork", "replay"]


@dataclass(frozen=True)
class Lineage:
    """The parent of a run, and the step after which the run leaves it.

    ``run`` is the parent as commands take it: RUN or STUDY/TRIAL of the same folder of runs, else an absolute path.
    ``started`` is when the parent was first started, which tells it from a later run of that name.
    """

    kind: Kind
    run: str
    step: int
    started: str | None = None

    def __str__(self) -> str:
        """As in ``fork of RUN@STEP``."""
        return f"{self.kind} of {self.run}@{self.step}"


def descend(kind: Kind, parent: RunDirectory, step: int, runs_dir: Path) -> Lineage:
    """The lineage of a new run in ``runs_dir``."""
    name = name_in(runs_dir.absolute(), RunDirectory(parent.path.absolute()))
    return Lineage(kind, name, step, _started(parent))


def write_lineage(run: RunDirectory, lineage: Lineage) -> None:
    """Put it into the run's directory."""
    replace_text(run.lineage, json.dumps(asdict(lineage), indent=1) + "\n")


def read_lineage(run: RunDirectory) -> Lineage | None:
    """The lineage of a run; None if it began from a base model.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        text = run.lineage.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(run.lineage, error) from error
    try:
        lineage = Lineage(**json.loads(text))
        if lineage.kind not in get_args(Kind) or not isinstance(lineage.run, str) or not isinstance(lineage.step, int):
            raise ValueError("a value of another kind")
    except (ValueError, TypeError) as error:
        raise unusable(run.lineage, error, "delete it, the run itself does not need it") from error
    return lineage


def find_parent(run: RunDirectory, lineage: Lineage) -> RunDirectory | None:
    """The parent's directory; None if it is gone, or another run has its name now."""
    # A trial of a study lies one folder deeper than other runs.
    for folder in run.path.absolute().parents[:2]:
        parent = RunDirectory(folder / lineage.run)
        if parent.exists() and _started(parent) == lineage.started:
            return parent
    return None


def _started(run: RunDirectory) -> str | None:
    status = read_status(run.status)
    return None if status is None else status.started
