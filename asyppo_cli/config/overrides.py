"""Overrides as typed, checked against what there is and put into the form that Hydra takes.

A number for a group that takes one becomes the settings it stands for; all else of Hydra's grammar stays as it is: a
key goes before an option, wherever they stand, and of two that are alike the later counts.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from asyppo_cli.config.groups import NUMERIC_GROUPS, Group, option_values, unknown_option
from asyppo_cli.config.settings import Settings
from asyppo_cli.keys import flatten, nearest


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
            raise ValueError(f"{text}: one value is wanted for {key}; several are for asyppo sweep {shlex.quote(text)}")
        if override.package is not None:
            raise ValueError(f"{text}: an option belongs to one place; write {key}={override.value()}")
        if key in self.groups:
            return self._choose(self.groups[key], override, text)
        self._check_names(key, override, text)
        # Added by force, since the names are checked: a key in an open mapping may be new.
        return [text if override.is_delete() else "++" + text.lstrip("+")]

    def origins(self, overrides: Sequence[str], config_dir: Path | None) -> dict[str, str]:
        """Where a key has its value from if not by its own name: the number typed for a group, or the user's file."""
        found: dict[str, str] = {}
        for override in map(self._parse, overrides):
            name, value = override.key_or_group, override.value()
            file = self.groups[name].options.get(str(value)) if name in self.groups else None
            if file is None:
                keys = [template.partition("=")[0] for template in NUMERIC_GROUPS.get(name, (name,))]
                found |= dict.fromkeys(keys, "" if name in keys else override.input_line or "")
            elif config_dir is not None and file.is_relative_to(config_dir):
                found = dict.fromkeys(option_values(name, file), str(file)) | found
        return found

    def _parse(self, text: str) -> Override:
        named = re.match(r"[~+]*[\w./@-]+=", text)
        try:
            if named or text.startswith("~"):
                return OverridesParser.create().parse_override(text)
            raise ValueError(f"{text!r} is not an override: write key=value or group=option")
        except HydraException as error:
            example = named.group() + quoted(text[named.end() :]) if named else "~key"
            raise ValueError(
                f"{text!r} cannot be read: put a value with special characters in quotes, and the whole in another "
                f'pair for the shell: "{example}"'
            ) from error

    def _choose(self, group: Group, override: Override, text: str) -> list[str]:
        """An option of a group, or a number for one that takes it."""
        if override.is_delete():
            raise ValueError(f"{text}: {group.name} cannot be left out; it takes {group.offer}")
        value = override.value()
        if str(value) in group.options:
            return [
                f"{'+' if group.default is None else ''}{group.name}={value}",
                *_restated(group, group.options[str(value)]),
            ]
        if isinstance(value, int | float) and not isinstance(value, bool) and group.takes_number:
            return [setting.format(value) for setting in NUMERIC_GROUPS[group.name]]
        raise ValueError(f"{text}: {unknown_option(group, str(value))}")

    def _check_names(self, key: str, override: Override, text: str) -> None:
        if override.is_delete():
            if key in self.settings and key not in self.settings.keys:
                return
            raise ValueError(f"{text}: {key} cannot be deleted, every key needs a value")
        value = override.value()
        if value == {}:
            raise ValueError(f"{text}: a mapping is merged key by key, so {{}} changes nothing: delete with ~KEY")
        for name in flatten({key: value}) if key in self.settings.sections else [key]:
            if name not in self.settings:
                raise ValueError(f"{text}: {self._unknown(name)}")

    def _unknown(self, name: str) -> str:
        if name.startswith(("hydra.", "hydra/")):
            return "Hydra only composes here, its own settings have no effect; leave it out"
        if name in self.settings.sections:
            example = self.settings.within(name)[0].key
            return f"{name} is a section; set a key of it, as in {example}=VALUE"
        options = {option: f"{group.name}={option}" for group in self.groups.values() for option in group.options}
        near = nearest(name, [*self.groups, *self.settings.keys, *options])
        named = ", ".join(options.get(found, found) for found in near) or "none (asyppo config show lists all keys)"
        return f"there is no key or group {name!r}; nearest: {named}"


def quoted(value: str) -> str:
    """Text in quotes of Hydra's grammar."""
    # A backslash is itself, except in front of a quotation mark.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value)
    return f"'{escaped}'"


def _restated(group: Group, file: Path) -> list[str]:
    """What an option sets of the keys that a number would set: so that the later of option and number counts."""
    values = option_values(group.name, file)
    keys = [template.partition("=")[0] for template in NUMERIC_GROUPS.get(group.name, ())]
    return [f"++{key}={typed(values[key])}" for key in keys if key in values]


def typed(value: Any) -> str:
    """A value as one writes it in an override."""
    return quoted(value) if isinstance(value, str) else "null" if value is None else str(value)
