"""What may follow on the command line, for the shell: groups, keys, and the values of either that can be listed."""

from __future__ import annotations

from collections.abc import Sequence

from asyppo_cli.config.groups import Group, read_groups
from asyppo_cli.config.schema import Config, WarmstartConfig
from asyppo_cli.config.section import Section
from asyppo_cli.config.settings import Settings, read_settings

SCHEMAS: dict[str, type[Section]] = {"config": Config, "warmstart": WarmstartConfig}


def complete_override(incomplete: str, primary: str = "config") -> list[str]:
    """Overrides that begin with what is typed: names first, and values once there is an ``=``."""
    settings, groups = read_settings(SCHEMAS[primary]), read_groups(primary, None)
    name, equals, _ = incomplete.partition("=")
    if not equals:
        return [f"{key}=" for key in (*groups, *settings.keys) if key.startswith(incomplete)]
    return [f"{name}={value}" for value in _values(name, settings, groups) if f"{name}={value}".startswith(incomplete)]


def complete_words(words: Sequence[str], incomplete: str, primary: str = "config") -> list[str]:
    """As :func:`complete_override` after earlier words of the line; bash cuts a word in three at its ``=``."""
    prefix = ""
    if len(words) > 1 and words[-1] == "=":
        prefix = f"{words[-2]}="
    elif words and "=" not in words[-1]:
        prefix = f"{words[-1]}="
    return [found.removeprefix(prefix) for found in complete_override(prefix + incomplete, primary)]


def complete_key(incomplete: str, primary: str = "config") -> list[str]:
    """Keys, sections and groups that begin with what is typed, and a group's options once there is an ``=``."""
    settings, groups = read_settings(SCHEMAS[primary]), read_groups(primary, None)
    group, equals, _ = incomplete.partition("=")
    if equals and group in groups:
        return [f"{group}={option}" for option in groups[group].options if f"{group}={option}".startswith(incomplete)]
    names = dict.fromkeys([*groups, *settings.sections, *settings.keys])
    return [name for name in names if name.startswith(incomplete)]


def _values(name: str, settings: Settings, groups: dict[str, Group]) -> list[str]:
    if name in groups:
        return list(groups[name].options)
    setting = settings.find(name)
    return [] if setting is None else list(setting.choices)
