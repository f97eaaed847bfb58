"""The configuration groups: which there are, which options they have, and which of them take a number.

A group is a folder of ``conf/`` (or of the user's own ``--config-dir``), an option a YAML file in it or below it
(``paper/qwen3_4b``). Its first comment line is its description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from asyppo_cli.keys import flatten, nearest

# Groups whose name takes a preset or any valid number, and the settings that the number stands for.
NUMERIC_GROUPS: Mapping[str, tuple[str, ...]] = {
    "critic_count": ("critics.count={}",),
    "critic_size": ("critics.model=null", "critics.depth={}"),
    "mask_pct": ("gates.mask_pct={}",),
    "entropy_filter_pct": ("gates.entropy_filter_pct={}",),
    "utd": ("training.utd={}",),
}


@dataclass(frozen=True)
class Group:
    """A choice to make: files by option, the option taken by default (None: the user's own group, none)."""

    name: str
    options: Mapping[str, Path]
    default: str | None

    @property
    def takes_number(self) -> bool:
        """Whether a number may stand in place of an option."""
        return self.name in NUMERIC_GROUPS

    @property
    def offer(self) -> str:
        """What may be chosen, in words."""
        return ", ".join(self.options) + (" or a number" if self.takes_number else "")


def unknown_option(group: Group, option: str) -> str:
    """What to say of an option that a group does not have."""
    near = nearest(option, group.options, limit=1)
    return f"{group.name} takes {group.offer}" + (f"; nearest: {near[0]}" if near else "")


def config_folder() -> Path:
    """The folder of YAML files that the package ships."""
    return Path(str(resources.files("conf")))


def read_groups(primary: str, config_dir: Path | None) -> dict[str, Group]:
    """The groups of a primary configuration (``config`` or ``warmstart``) and the user's own, by name.

    Raises:
        ValueError: the user's folder is not there, has an option of the same name as one of ours, or a file that is
            none of settings.
    """
    defaults = _defaults(primary)
    ours = _files(config_folder())
    groups = {name: Group(name, ours[name], option) for name, option in defaults.items()}
    for name, options in _files(config_dir).items() if config_dir is not None else ():
        twice = sorted(options.keys() & ours.get(name, {}).keys())
        if twice:
            raise ValueError(f"{options[twice[0]]}: {name}={twice[0]} is there already; give yours another name")
        for file in options.values():
            _check_defaults(file)
        if name in groups or name not in ours:
            known = groups.get(name, Group(name, {}, None))
            groups[name] = Group(name, {**known.options, **options}, known.default)
    return groups


def description(file: Path) -> str:
    """The first comment of a YAML file that is not an instruction to Hydra."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.removeprefix("#").strip()
    return ""


def option_values(group: str, file: Path) -> dict[str, Any]:
    """The keys that an option sets itself, by dotted name, with their values."""
    text, tree = _read(file)
    tree.pop("defaults", None)
    return flatten(tree, "" if "@package _global_" in text else f"{group}.")


def option_choices(file: Path) -> list[str]:
    """What an option builds on and chooses in other groups: ``["asyppo", "critic_count=one"]``."""
    chosen: list[str] = []
    for entry in _read(file)[1].get("defaults", []):
        parts = entry.items() if isinstance(entry, dict) else [("", entry)]
        chosen += [f"{name.rpartition('/')[2]}={option}".removeprefix("=") for name, option in parts]
    return chosen


def _defaults(primary: str) -> dict[str, str]:
    """Groups and default options as the primary configuration lists them."""
    _, tree = _read(config_folder() / f"{primary}.yaml")
    return {
        name: str(option) for entry in tree["defaults"] if isinstance(entry, dict) for name, option in entry.items()
    }


def _read(file: Path) -> tuple[str, dict[str, Any]]:
    """A file of settings as text and as data."""
    import yaml

    try:
        text = file.read_text(encoding="utf-8")
        tree = yaml.safe_load(text)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    match tree:
        case None | dict():
            return text, tree or {}
        case _:
            raise ValueError(f"{file}: settings are written as key: value, but this is a {type(tree).__name__}")


def _check_defaults(file: Path) -> None:
    """What Hydra would refuse without naming the file."""
    _, tree = _read(file)
    match tree.get("defaults", []):
        case list() as entries if all(isinstance(entry, str | dict) for entry in entries):
            choices = [choice for entry in entries if isinstance(entry, dict) for choice in entry.items()]
        case wrong:
            raise ValueError(f"{file}: defaults must be a list of options, or of group: option, but is {wrong!r}")
    wrong = {group: option for group, option in choices if isinstance(option, bool | int | float)}
    for group, option in wrong.items():
        raise ValueError(
            f"{file}: {group}: {option!r} is no option: write off, on, yes and no in quotes, and instead of a number "
            "the key that it is for"
        )


def _files(folder: Path) -> dict[str, dict[str, Path]]:
    if not folder.is_dir():
        raise ValueError(f"--config-dir {folder}: no such folder")
    for file in folder.glob("*/**/*.yml"):
        raise ValueError(f"{file}: a file of settings must end in .yaml: rename it")
    found: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.glob("*/**/*.yaml")):
        group, *option = file.relative_to(folder).with_suffix("").parts
        found.setdefault(group, {})["/".join(option)] = file
    return found
