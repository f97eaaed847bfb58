"""From overrides on the command line to a validated configuration: Hydra composes, the schema checks.

Every mistake of the user is a ValueError of one line that names the key, the value and what is allowed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from asyppo_cli.config.groups import NUMERIC_GROUPS, config_folder, read_groups
from asyppo_cli.config.schema import Config, Section, WarmstartConfig
from asyppo_cli.config.validation import explain

C = TypeVar("C", bound=Section)

# Mappings with keys of the task's or the model's own: any key may be set in them.
OPEN_MAPPINGS = ("task.params.", "architecture.")


@dataclass(frozen=True)
class Loaded(Generic[C]):
    """A configuration: validated, as plain data for ``config.yaml``, and the overrides as typed."""

    config: C
    resolved: dict[str, Any]
    overrides: tuple[str, ...]


def load(overrides: Sequence[str], config_dir: Path | None = None) -> Loaded[Config]:
    """Compose and check the configuration of a training run.

    Raises:
        ValueError: an override that is not one, an unknown key or option, or a value that is not allowed.
    """
    return _load(Config, "config", overrides, config_dir)


def load_warmstart(overrides: Sequence[str], config_dir: Path | None = None) -> Loaded[WarmstartConfig]:
    """Compose and check the configuration of a warm start; errors as for :func:`load`."""
    return _load(WarmstartConfig, "warmstart", overrides, config_dir)


def _load(schema: type[C], primary: str, overrides: Sequence[str], config_dir: Path | None) -> Loaded[C]:
    if config_dir is not None and not config_dir.is_dir():
        raise ValueError(f"--config-dir {config_dir}: no such folder")
    known = Vocabulary(flatten(_compose(primary, [], None)), read_groups(config_dir))
    translated = [part for text in overrides for part in known.translate(text)]
    resolved = _compose(primary, translated, config_dir)
    try:
        return Loaded(schema.model_validate(resolved), resolved, tuple(overrides))
    except ValidationError as error:
        raise ValueError(explain(error)) from error


def _compose(primary: str, overrides: Sequence[str], config_dir: Path | None) -> dict[str, Any]:
    """Hydra's composition as plain data, interpolations resolved."""
    search = [] if config_dir is None else [f"hydra.searchpath=[file://{config_dir.resolve()}]"]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = compose(primary, overrides=[*overrides, *search])
        plain: Any = OmegaConf.to_container(composed, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(f"the configuration cannot be composed: {' '.join(str(error).split())}") from error
    return dict(plain)


@dataclass(frozen=True)
class Vocabulary:
    """What an override can be about: flattened keys with their values, and groups with their options."""

    keys: Mapping[str, Any]
    groups: Mapping[str, Mapping[str, Path]]

    def translate(self, text: str) -> list[str]:
        """An override in the form Hydra takes; a number for a group becomes the settings it stands for."""
        override = self._parse(text)
        key = override.key_or_group
        if override.is_sweep_override():
            raise ValueError(f"{text}: train takes one value for {key}; several are for asyppo sweep {text}")
        if override.is_delete():
            raise ValueError(f"{text}: nothing can be deleted, every key is needed")
        if key in self.groups:
            return self._choose(key, override, text)
        if key.startswith(OPEN_MAPPINGS):
            return ["++" + text.lstrip("+")]
        if key not in self.keys and not any(name.startswith(f"{key}.") for name in self.keys):
            raise ValueError(f"{text}: there is no key or group {key!r}; nearest: {self._nearest(key)}")
        return [text.lstrip("+")]

    def _parse(self, text: str) -> Override:
        try:
            return OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise ValueError(f"{text!r} is not an override: write key=value or group=option") from error

    def _choose(self, group: str, override: Override, text: str) -> list[str]:
        """An option of a group, or a number for one that takes it."""
        value, options = override.value(), self.groups[group]
        if str(value) in options:
            return [f"{group}={value}"]
        if isinstance(value, int | float) and not isinstance(value, bool) and group in NUMERIC_GROUPS:
            return [setting.format(value) for setting in NUMERIC_GROUPS[group]]
        number = " or a number" if group in NUMERIC_GROUPS else ""
        near = difflib.get_close_matches(str(value), options, n=1, cutoff=0.5)
        hint = f"; nearest: {near[0]}" if near else ""
        raise ValueError(f"{text}: {group} takes {', '.join(options)}{number}{hint}")

    def _nearest(self, key: str) -> str:
        """Names like a wrong one: of a whole key, or of its last part anywhere."""
        names = [*self.groups, *self.keys]
        near = difflib.get_close_matches(key, names, n=3, cutoff=0.6)
        last = key.rsplit(".", 1)[-1]
        ends = {name: name.rsplit(".", 1)[-1] for name in names}
        alike = set(difflib.get_close_matches(last, set(ends.values()), n=2, cutoff=0.7))
        near += [name for name, end in ends.items() if end in alike and name not in near]
        return ", ".join(near[:4]) or "none (asyppo config show lists all keys)"


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; an empty mapping stays a value."""
    flat: dict[str, Any] = {}
    for name, value in _items(tree):
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _items(tree: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((str(name), value) for name, value in tree.items())
