"""Where a model is: a folder, a hub id, or a model that the package carries; and plain words when it is not there."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

EMBEDDED = "embedded:"


def locate(model: str, key: str) -> str:
    """Folder or hub id of a model; ``embedded:NAME`` becomes the folder inside the package.

    ``key`` is the setting to name in an error.
    """
    if model.startswith(EMBEDDED):
        folder = Path(str(resources.files("asyppo_cli"))) / "embedded" / model.removeprefix(EMBEDDED)
        if not (folder / "config.json").is_file():
            carried = ", ".join(EMBEDDED + path.parent.name for path in sorted(folder.parent.glob("*/config.json")))
            raise ValueError(f"{key}={model}: the package carries no such model; it has {carried or 'none'}")
        return str(folder)
    looks_like_path = model.startswith(("/", ".", "~")) or model.count("/") > 1
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(f"{key}={model}: the folder holds no config.json, so it is not a Hugging Face model")
        return str(folder)
    if looks_like_path or folder.exists():
        raise ValueError(f"{key}={model}: no such folder")
    return model


def read_or_explain(
    read: Callable[..., Any], model: str, revision: str | None, key: str, what: str, **options: Any
) -> Any:
    """Call one of transformers' ``from_pretrained`` and say in one line what is missing if it fails.

    Code that a repository brings along is never run (``trust_remote_code`` is off).
    """
    silence_transformers()
    try:
        return read(locate(model, key), revision=revision, trust_remote_code=False, **options)
    except (OSError, KeyError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if str(error).startswith(key):
            raise
        raise ValueError(f"{key}={model}: its {what} cannot be loaded: {reason}") from error


def silence_transformers() -> None:
    """No progress bars and reports on the terminal: what matters is checked and said by whoever loads or saves."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
