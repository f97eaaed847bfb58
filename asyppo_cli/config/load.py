"""From overrides on the command line to a validated configuration: Hydra composes, the schema checks.

Every mistake of the user is a ValueError of one line that names the key, the value and what is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from asyppo_cli.config.overrides import Vocabulary
from asyppo_cli.config.schema import Config, Section, WarmstartConfig
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
    resolved = _compose(primary, translated, config_dir)
    try:
        return Loaded(schema.model_validate(resolved), resolved, tuple(overrides))
    except ValidationError as error:
        raise ValueError(explain(error, known.settings)) from error


def _compose(primary: str, overrides: Sequence[str], config_dir: Path | None) -> dict[str, Any]:
    """Hydra's composition as plain data, interpolations resolved."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = compose(primary, overrides=[*overrides, *_search(config_dir)])
        plain: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ValueError(f"{error.full_key} has no value: set it with {error.full_key}=VALUE") from error
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise ValueError(f"the configuration cannot be composed: {' '.join(str(error).split())}") from error
    return dict(plain)


def _search(config_dir: Path | None) -> list[str]:
    """The override that makes Hydra look into the user's folder too, its path quoted."""
    if config_dir is None:
        return []
    path = str(config_dir.resolve()).replace("\\", "\\\\").replace("'", "\\'")
    return [f"hydra.searchpath=['file://{path}']"]
