"""A ROLL-style YAML file as flat keys, with ``${...}`` resolved within the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

# A file with none of these configures something else.
MARKS = ("rollout_batch_size", "actor_train", "actor_infer", "adv_estimator", "pretrain", "critic_1", "critic")


def read_roll(path: Path) -> dict[str, Any]:
    """Every leaf by dotted name, in the file's order; what ``${...}`` cannot be resolved to stays as it is written.

    Raises:
        ValueError: the file cannot be read, is no YAML mapping, or has none of ROLL's keys.
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is no UTF-8 text'}") from error
    try:
        tree = OmegaConf.create(text)
    except (YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(tree, DictConfig) or not any(mark in tree for mark in MARKS):
        raise ValueError(f"{path} has none of the keys of a ROLL configuration, such as {', '.join(MARKS[:4])}")
    return dict(_leaves(tree, ""))


def refers(value: Any) -> bool:
    """Whether a value is a reference that the file cannot resolve."""
    return isinstance(value, str) and value.startswith("${")


def _leaves(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    from omegaconf import DictConfig, OmegaConf

    for key in node:
        # A mapping that is referred to stays one value: it may hold itself.
        referred = OmegaConf.is_interpolation(node, key)
        value = _resolved(node, key)
        if isinstance(value, DictConfig) and value and not referred:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _plain(value)


def _resolved(node: Any, key: Any) -> Any:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return node[key]
    except (OmegaConfBaseException, RecursionError):
        as_written: Any = OmegaConf.to_container(node, resolve=False)
        return as_written[key]


def _plain(value: Any) -> Any:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not OmegaConf.is_config(value):
        return value
    try:
        return OmegaConf.to_container(value, resolve=True)
    except (OmegaConfBaseException, RecursionError):
        return OmegaConf.to_container(value, resolve=False)
