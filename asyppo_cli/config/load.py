"""From overrides on the command line to a validated configuration: Hydra composes, the schema checks.

Every mistake of the user is a ValueError of one line that names the key, the value and what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import ValidationError
from yaml import YAMLError

from asyppo_cli.config.groups import config_folder, read_groups
from asyppo_cli.config.overrides import Vocabulary, quoted
from asyppo_cli.config.schema import Config, WarmstartConfig
from asyppo_cli.config.section import Section
from asyppo_cli.config.settings import read_settings
from asyppo_cli.config.validation import explain

C = TypeVar("C", bound=Section)


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
    known = Vocabulary(read_settings(schema), read_groups(primary, config_dir))
    translated = [part for text in overrides for part in known.translate(text)]
    composed = _compose(primary, translated, config_dir)
    try:
        config = schema.model_validate(composed)
    except ValidationError as error:
        raise ValueError(explain(error, known.settings, known.origins(overrides, config_dir))) from error
    # As validated: in the schema's order, and 1 where 1.0 is meant as 1.0.
    return Loaded(config, config.model_dump(), tuple(overrides))


def restore(saved: Mapping[str, Any], overrides: Sequence[str], source: Path) -> Loaded[Config]:
    """The configuration that a run wrote to ``source``, as it is: nothing is composed anew.

    Raises:
        ValueError: it has been damaged, or was written by another version.
    """
    try:
        config = Config.model_validate(saved)
    except ValidationError as error:
        why = explain(error, read_settings(Config), {})
        raise ValueError(f"{source} is not a configuration of this version: {why}") from error
    return Loaded(config, config.model_dump(), tuple(overrides))


def _compose(primary: str, overrides: Sequence[str], config_dir: Path | None) -> dict[str, Any]:
    """Hydra's composition as plain data, interpolations resolved."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = compose(primary, overrides=[*overrides, *_search(config_dir)])
        plain: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ValueError(f"{error.full_key} has no value: set it with {error.full_key}=VALUE") from error
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        raise ValueError(f"{key}{_one_line(error, 'full_key:')}") from error
    except (HydraException, YAMLError) as error:
        # What follows is where Hydra looked, four lines of it.
        reason = _one_line(error, "Config search path:")
        raise ValueError(f"the configuration cannot be composed: {reason}") from error
    return dict(plain)


def _one_line(error: Exception, end: str) -> str:
    """A message up to what would only confuse."""
    return " ".join(str(error).partition(end)[0].split())


def _search(config_dir: Path | None) -> list[str]:
    """The override that makes Hydra look into the user's folder too, its path quoted."""
    if config_dir is None:
        return []
    return [f"hydra.searchpath=[{quoted(f'file://{config_dir.resolve()}')}]"]
