"""Overrides as typed, checked against what there is and put into the form that Hydra takes.

A number for a group that takes one becomes the settings it stands for; all else of Hydra's grammar stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from asyppo_cli.config.groups import NUMERIC_GROUPS, Group, flatten
from asyppo_cli.config.settings import Settings, nearest


@dataclass(frozen=True)
class Vocabulary:
    """What an override can be about."""

    settings: Settings
    groups: Mapping[str, Group]

    def translate(self, text: str) -> list[str]:
        """The overrides for Hydra that one typed override stands for.

        Raises:
            ValueError: it is none, is about nothing known, or is a sweep.
        """
        override = self._parse(text)
        key = override.key_or_group
        if override.is_sweep_override():
            raise ValueError(f"{text}: one value is wanted for {key}; several are for asyppo sweep {text}")
        if override.package is not None:
            raise ValueError(f"{text}: an option belongs to one place; write {key}={override.value()}")
        if key in self.groups:
            return self._choose(self.groups[key], override, text)
        self._check_names(key, override, text)
        # Added by force, since the names are checked: a key in an open mapping may be new.
        return [text if override.is_delete() else "++" + text.lstrip("+")]

    def _parse(self, text: str) -> Override:
        try:
            return OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise ValueError(
                f"{text!r} is not an override: write key=value or group=option, a value with special characters in "
                f"quotes, as in \"key='a=b'\""
            ) from error

    def _choose(self, group: Group, override: Override, text: str) -> list[str]:
        """An option of a group, or a number for one that takes it."""
        if override.is_delete():
            raise ValueError(f"{text}: {group.name} cannot be left out; it takes {_offer(group)}")
        value = override.value()
        if str(value) in group.options:
            return [f"{'+' if group.default is None else ''}{group.name}={value}"]
        if isinstance(value, int | float) and not isinstance(value, bool) and group.takes_number:
            return [setting.format(value) for setting in NUMERIC_GROUPS[group.name]]
        near = nearest(str(value), group.options, limit=1)
        hint = f"; nearest: {near[0]}" if near else ""
        raise ValueError(f"{text}: {group.name} takes {_offer(group)}{hint}")

    def _check_names(self, key: str, override: Override, text: str) -> None:
        if override.is_delete():
            if key in self.settings and key not in self.settings.keys:
                return
            raise ValueError(f"{text}: {key} cannot be deleted, every key needs a value")
        value = override.value()
        for name in flatten({key: value}) if key in self.settings.sections else [key]:
            if name not in self.settings:
                raise ValueError(f"{text}: {self._unknown(name)}")

    def _unknown(self, name: str) -> str:
        if name in self.settings.sections:
            example = self.settings.within(name)[0].key
            return f"{name} is a section; set a key of it, as in {example}=VALUE"
        options = {option: f"{group.name}={option}" for group in self.groups.values() for option in group.options}
        near = nearest(name, [*self.groups, *self.settings.keys, *options])
        named = ", ".join(options.get(found, found) for found in near) or "none (asyppo config show lists all keys)"
        return f"there is no key or group {name!r}; nearest: {named}"


def _offer(group: Group) -> str:
    return ", ".join(group.options) + (" or a number" if group.takes_number else "")
