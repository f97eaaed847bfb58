"""Studies that come with the package: a question of the paper's each, as a short YAML file in ``studies/``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from asyppo_cli.keys import did_you_mean
from asyppo_cli.runs.studies import Direction, Objective, PaperAblation

Scale = Literal["embedded", "paper"]
SCALES: tuple[Scale, ...] = ("embedded", "paper")
KEYS = {"question", "metric", "direction", "seeds", "embedded", "paper", "reported"}
PARTS = {"fixed", "axes", "settings", "baseline"}


@dataclass(frozen=True)
class Part:
    """A study at one scale: overrides that all trials share, and either axes (key to values) or settings (label to
    overrides); ``baseline`` is the setting that others are compared with.
    """

    fixed: tuple[str, ...]
    axes: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, tuple[str, ...]]
    baseline: str | None


@dataclass(frozen=True)
class Spec:
    """A named study."""

    name: str
    question: str
    objective: Objective
    seeds: int
    parts: Mapping[Scale, Part]
    reported: PaperAblation | None

    def overrides(self, scale: Scale, typed: list[str]) -> list[str]:
        """What the study sweeps and sets, as if it were typed; what is typed counts instead of an axis of its key."""
        from sweeps.definition.grammar import key_of

        part, said = self.parts[scale], set(map(key_of, typed))
        axes = [f"{key}={','.join(values)}" for key, values in part.axes.items() if key not in said]
        return [*part.fixed, *axes, *typed]


def spec_names() -> list[str]:
    """The names of all studies, in order."""
    return sorted(Path(path.name).stem for path in _folder().iterdir() if path.name.endswith(".yaml"))


def read_spec(name: str) -> Spec:
    """The study of that name.

    Raises:
        ValueError: there is none, with what is near.
    """
    import yaml

    if name not in spec_names():
        raise ValueError(unknown(name))
    text = (_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    return _spec(name, yaml.safe_load(text))


def unknown(name: str) -> str:
    """What to say of a name that no study has."""
    return f"there is no study {name!r}, and an override is key=value; {did_you_mean(name, spec_names())}"


def _folder() -> Any:
    return resources.files("sweeps") / "studies"


def _spec(name: str, tree: Mapping[str, Any]) -> Spec:
    assert tree.keys() <= KEYS, f"{name}: {tree.keys() - KEYS}"
    direction: Direction = tree["direction"]
    parts = {scale: _part(name, tree[scale]) for scale in SCALES}
    reported = tree.get("reported")
    return Spec(
        name=name,
        question=tree["question"],
        objective=Objective(tree["metric"], direction),
        seeds=tree["seeds"],
        parts=parts,
        reported=None
        if reported is None
        else PaperAblation(reported["metric"], reported["source"], {str(k): v for k, v in reported["values"].items()}),
    )


def _part(name: str, tree: Mapping[str, Any]) -> Part:
    assert tree.keys() <= PARTS, f"{name}: {tree.keys() - PARTS}"
    assert ("axes" in tree) != ("settings" in tree), f"{name}: axes or settings"
    return Part(
        fixed=tuple(tree.get("fixed", ())),
        axes={key: tuple(map(str, values)) for key, values in tree.get("axes", {}).items()},
        settings={str(label): tuple(chosen) for label, chosen in tree.get("settings", {}).items()},
        baseline=tree.get("baseline"),
    )
