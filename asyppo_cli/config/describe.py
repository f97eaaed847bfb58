"""What can be said of a key, a section or a group: the material of ``asyppo config describe``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asyppo_cli.config.groups import NUMERIC_GROUPS, Group, description, option_choices, option_values, unknown_option
from asyppo_cli.config.settings import Setting, Settings
from asyppo_cli.config.validation import shown
from asyppo_cli.keys import did_you_mean


@dataclass(frozen=True)
class KeyDescription:
    """A key with its present value and the options of groups that set it, as ``group=option`` by value."""

    setting: Setting
    value: str
    set_by: Mapping[str, str]


def describe_key(
    key: str, settings: Settings, groups: Mapping[str, Group], resolved: Mapping[str, Any]
) -> KeyDescription:
    """All that is known of one key, which must be there."""
    setting = settings.find(key)
    assert setting is not None, key
    set_by = {}
    for group in groups.values():
        for option, file in group.options.items():
            values = option_values(group.name, file)
            if key in values:
                set_by[f"{group.name}={option}"] = shown(values[key])
        if any(template.startswith(f"{key}={{") for template in NUMERIC_GROUPS.get(group.name, ())):
            set_by[f"{group.name}=NUMBER"] = "NUMBER"
    return KeyDescription(setting, value_of(key, resolved), set_by)


@dataclass(frozen=True)
class OptionDescription:
    """An option of a group: what it is, what it builds on and chooses elsewhere, the keys it sets itself."""

    meaning: str
    chooses: tuple[str, ...]
    sets: Mapping[str, str]


def describe_option(group: Group, option: str) -> OptionDescription:
    """All that is known of one option.

    Raises:
        ValueError: the group has no such option.
    """
    if option not in group.options:
        raise ValueError(f"{group.name}={option}: {unknown_option(group, option)}")
    file = group.options[option]
    sets = {key: shown(value) for key, value in option_values(group.name, file).items()}
    return OptionDescription(description(file), tuple(option_choices(file)), sets)


def value_of(key: str, resolved: Mapping[str, Any]) -> str:
    """The value of a key in a resolved configuration, as one would type it; empty if it has none."""
    value: Any = resolved
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return ""
        value = value[part]
    return shown(value)


def unknown(name: str, settings: Settings, groups: Mapping[str, Group]) -> ValueError:
    """The error for a name that is neither key nor section nor group."""
    near = did_you_mean(name, [*groups, *settings.sections, *settings.keys])
    return ValueError(f"there is no key, section or group {name!r}; {near} (asyppo config ls lists groups)")


def meaning_of_number(group: Group) -> str:
    """The settings that a number given to a group stands for."""
    return ", ".join(template.format("NUMBER") for template in NUMERIC_GROUPS[group.name])


def keys_set(group: Group) -> list[str]:
    """The keys that any option of a group sets, sorted."""
    return sorted({key for option, file in group.options.items() for key in option_values(group.name, file)})
