"""The paper's ablations as named studies: a short YAML file each in ``studies/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from asyppo_cli.keys import did_you_mean
from asyppo_cli.runs.studies import Objective, PaperAblation
from sweeps.definition.grammar import key_of

Scale = Literal["embedded", "paper"]
SCALES: tuple[Scale, ...] = ("embedded", "paper")
KEYS = {"question", "metric", "direction", "seeds", "embedded", "paper", "reported"}
SCALE_KEYS = {"fixed", "axes", "settings", "baseline"}


@dataclass(frozen=True)
class StudyAtScale:
    """A study at one scale: the overrides of all trials, and either axes (key to values) or settings (label to
    overrides); ``baseline`` is the setting that others are compared with.
    """

    fixed: tuple[str, ...]
    axes: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, tuple[str, ...]]
    baseline: str | None

    def overrides(self, typed: Sequence[str]) -> list[str]:
        """The study's overrides followed by the typed ones; a typed key replaces the axis of that key."""
        replaced = set(map(key_of, typed))
        axes = [f"{key}={','.join(values)}" for key, values in self.axes.items() if key not in replaced]
        return [*self.fixed, *axes, *typed]


@dataclass(frozen=True)
class NamedStudy:
    """A study that comes with the package; ``reported`` is what the paper found."""

    name: str
    question: str
    objective: Objective
    seeds: int
    scales: Mapping[Scale, StudyAtScale]
    reported: PaperAblation | None


def study_names() -> list[str]:
    """The names of all studies, sorted."""
    return sorted(Path(path.name).stem for path in _folder().iterdir() if path.name.endswith(".yaml"))


def read_study(name: str) -> NamedStudy:
    """The study of that name.

    Raises:
        ValueError: there is none, with similar names.
    """
    if name not in study_names():
        raise ValueError(unknown(name))
    return read_study_file(_folder() / f"{name}.yaml")


def read_study_file(file: Traversable) -> NamedStudy:
    """The study that a YAML file defines, named after the file.

    Raises:
        ValueError: the file cannot be read, or defines no study.
    """
    import yaml

    try:
        return _study(Path(file.name).stem, yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ValueError(f"{file} is no definition of a study: {str(error).splitlines()[0]}") from error


def unknown(word: str) -> str:
    """The error for a word that is neither a study nor an override."""
    return f"there is no study {word!r}, and an override is key=value; {did_you_mean(word, study_names())}"


def _folder() -> Traversable:
    return resources.files("sweeps") / "studies"


def _study(name: str, tree: Mapping[str, Any]) -> NamedStudy:
    _check_keys(tree, KEYS)
    reported = tree.get("reported")
    if reported is not None:
        values = {str(setting): value for setting, value in reported["values"].items()}
        reported = PaperAblation(reported["metric"], reported["source"], values)
    return NamedStudy(
        name=name,
        question=tree["question"],
        objective=Objective(tree["metric"], tree["direction"]),
        seeds=tree["seeds"],
        scales={scale: _at_scale(tree[scale]) for scale in SCALES},
        reported=reported,
    )


def _check_keys(tree: Mapping[str, Any], known: set[str]) -> None:
    if tree.keys() - known:
        raise ValueError(f"unknown keys {', '.join(sorted(tree.keys() - known))}")


def _at_scale(tree: Mapping[str, Any]) -> StudyAtScale:
    _check_keys(tree, SCALE_KEYS)
    if ("axes" in tree) == ("settings" in tree):
        raise ValueError("either axes or settings, in each scale")
    return StudyAtScale(
        fixed=tuple(tree.get("fixed", ())),
        axes={key: tuple(map(str, values)) for key, values in tree.get("axes", {}).items()},
        settings={str(label): tuple(chosen) for label, chosen in tree.get("settings", {}).items()},
        baseline=tree.get("baseline"),
    )
