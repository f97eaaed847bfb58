"""Where a model is: a folder, a hub id, or a model that the package carries; and plain words when it is not there."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

EMBEDDED = "embedded:"
LONGEST_REASON = 300
CONNECT_SECONDS = 10.0


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
    place = locate(model, key)
    if not Path(place).is_dir():
        check_hub(place, revision, key)
    try:
        return read(place, revision=revision, trust_remote_code=False, **options)
    except Exception as error:
        # Broad on purpose: what a stranger's files hold decides what transformers, tokenizers and torch raise.
        reason = " ".join(str(error).split()) or type(error).__name__
        shown = reason if len(reason) <= LONGEST_REASON else reason[:LONGEST_REASON] + " ..."
        raise ValueError(f"{key}={model}: its {what} cannot be loaded: {shown}") from error


def check_hub(model: str, revision: str | None, key: str) -> None:
    """ValueError at once for a model that is not in the cache and cannot be asked for; the client tries for a minute.

    Only a failure to connect counts here; whatever the hub answers is its client's affair.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(model, "config.json", revision=revision), str):
        return
    if constants.HF_HUB_OFFLINE:
        raise ValueError(f"{key}={model}: no such folder, nor in the hub's cache, and HF_HUB_OFFLINE is set")
    reason = unreachable(constants.ENDPOINT)
    if reason is not None:
        raise ValueError(
            f"{key}={model}: no such folder, nor in the hub's cache, and {constants.ENDPOINT} cannot be reached "
            f"({reason}): check the path, or the network"
        )


def unreachable(address: str) -> str | None:
    """Why a server cannot be reached, by way of a proxy if one is set; None if it answers, whatever it says."""
    from ssl import SSLError
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    try:
        # The address is the hub's, which the user's environment may change.
        urlopen(Request(address, method="HEAD"), timeout=CONNECT_SECONDS).close()  # noqa: S310
    except HTTPError:
        return None
    except URLError as error:
        # Another client may trust other certificates.
        return None if isinstance(error.reason, SSLError) else str(getattr(error.reason, "strerror", error.reason))
    except OSError as error:
        return str(error)
    return None


def silence_transformers() -> None:
    """No progress bars and reports on the terminal: what matters is checked and said by whoever loads or saves."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
