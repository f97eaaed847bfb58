"""What a study is and how its trials stand: the records between those who run sweeps and those who draw them.

A study is a folder of runs with a definition: what is asked, which settings are tried with which seeds, and by which
metrics they are judged. Its trials are ordinary run directories in that folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Direction = Literal["maximize", "minimize"]
TrialState = Literal["waiting", "running", "finished", "failed", "interrupted", "pruned"]
DEFAULT_SETTING = "default"


@dataclass(frozen=True)
class Objective:
    """A metric that trials are judged by: its last value of a run, and which way is better."""

    metric: str
    direction: Direction


@dataclass(frozen=True)
class PaperAblation:
    """What the paper reports for the settings of a study: ``values`` by setting (as :attr:`StudyTrial.setting`)."""

    metric: str
    source: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class StudyTrial:
    """One run of a study.

    ``point`` holds the swept keys with their values as typed, the seed left out. ``values`` has one number for each
    objective where the trial is finished, and is empty elsewhere. ``seconds`` of all attempts, where known.
    """

    name: str
    point: Mapping[str, str]
    seed: int | None
    state: TrialState
    values: tuple[float, ...] = ()
    reason: str | None = None
    seconds: float | None = None
    label: str | None = None

    @property
    def setting(self) -> str:
        """The label of its setting where the study gives one, else the point as typed."""
        typed = " ".join(f"{key}={value}" for key, value in self.point.items())
        return self.label or typed or DEFAULT_SETTING


@dataclass(frozen=True)
class Study:
    """A study as it stands. ``baseline`` names the setting that others are compared with; None: the first."""

    name: str
    kind: Literal["grid", "search"]
    objectives: tuple[Objective, ...]
    trials: tuple[StudyTrial, ...]
    question: str | None = None
    baseline: str | None = None
    paper: PaperAblation | None = None
    overrides: tuple[str, ...] = ()
