"""Where a model is: a folder, a hub id, or a model that the package carries; and plain words when it is not there."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from asyppo_cli.engines.hf import gguf
from asyppo_cli.engines.hf.quiet import silence_transformers
from asyppo_cli.tasks.data.hub import why_out_of_reach

EMBEDDED = "embedded:"
LONGEST_REASON = 300


def resolve_model(model: str, key: str) -> str:
    """Folder or hub id of a model; ``embedded:NAME`` becomes the folder inside the package, and a GGUF file (or the one
    that ``smollm2`` stands for) the folder that it is converted into at first need.

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
    if model == gguf.SMOLLM2 or folder.suffix == gguf.SUFFIX:
        file = gguf.packaged_gguf(key) if model == gguf.SMOLLM2 else folder
        return str(gguf.convert(file, gguf.cache_folder(), key))
    if looks_like_path or folder.exists():
        raise ValueError(f"{key}={model}: no such folder")
    return model


def load_pretrained(
    read: Callable[..., Any], model: str, revision: str | None, key: str, what: str, **options: Any
) -> Any:
    """Call one of transformers' ``from_pretrained`` and say in one line what is missing if it fails.

    Code that a repository brings along is never run (``trust_remote_code`` is off).
    """
    silence_transformers()
    place = resolve_model(model, key)
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
    from huggingface_hub import try_to_load_from_cache

    if isinstance(try_to_load_from_cache(model, "config.json", revision=revision), str):
        return
    reason = why_out_of_reach()
    if reason is not None:
        raise ValueError(f"{key}={model}: no such folder, nor in the hub's cache, and {reason}: check the path")
