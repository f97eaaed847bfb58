"""Where the user's functions are read from: the copies of a run or a study first, then the files as typed."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from asyppo_cli.extensions.function import Extension, ExtensionError
from asyppo_cli.keys import did_you_mean, flatten, is_reference
from asyppo_cli.runs.files.atomic import replace_text

# The settings that take a function in place of a name.
KEYS = (
    "advantage.estimator",
    "gates.mask_signal",
    "gates.entropy_filter_signal",
    "critics.split",
    "critics.aggregation",
    "policy_loss.surrogate",
    "rewards.function",
)


def find_extensions(
    resolved: Mapping[str, Any], copies: Mapping[str, str] | None = None, spare: Mapping[str, str] | None = None
) -> dict[str, Extension]:
    """The user's functions that a configuration names, by key.

    ``copies`` (texts by file name) take the place of the files as typed, ``spare`` that of files that are gone.

    Raises:
        ExtensionError: a file, module or name that is not there, or two files of the same name.
    """
    flat = flatten(resolved)
    references = {key: str(flat[key]) for key in KEYS if is_reference(flat.get(key))}
    found = {key: _find(key, value, copies or {}, spare or {}) for key, value in references.items()}
    for extension in found.values():
        extension.check_defined()
    files = file_texts(found.values())
    for extension in found.values():
        if extension.source not in (None, files.get(Path(extension.place).name)):
            raise ExtensionError(
                f"{extension.key}={extension.reference}: another file is called {Path(extension.place).name} too, and "
                "their copies would replace each other: rename one"
            )
    return found


def file_texts(extensions: Iterable[Extension]) -> dict[str, str]:
    """The files of functions by name, with their texts: what is copied; modules are not."""
    return {Path(each.place).name: each.source for each in extensions if each.source is not None}


def read_copies(folder: Path) -> dict[str, str]:
    """The copies in a folder by name, with their texts; none if there is no such folder."""
    return {path.name: _read(path) for path in sorted(folder.glob("*.py"))}


def write_copies(texts: Mapping[str, str], folder: Path) -> None:
    """Write files into ``folder``, which is made if there are any; one of the same text stays as it is."""
    known = read_copies(folder)
    for name, text in texts.items():
        if known.get(name) != text:
            replace_text(folder / name, text)


def check_same_files(used: Mapping[str, Extension], typed: Mapping[str, Extension], whose: str) -> None:
    """ExtensionError if a user's file has changed since its copy was made."""
    for key, extension in used.items():
        if extension.source != typed[key].source:
            raise ExtensionError(
                f"{key}={extension.reference}: {extension.place} has changed since this {whose} began: restore it, or "
                f"start a new {whose}"
            )


def extension_digests(extensions: Mapping[str, Extension]) -> dict[str, str]:
    """Sha-256 of the file that each function is read from, by setting and place."""
    texts = {
        f"{key}: {each.place}": _read(Path(each.file)) if each.source is None else each.source
        for key, each in extensions.items()
    }
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def _find(key: str, reference: str, copies: Mapping[str, str], spare: Mapping[str, str]) -> Extension:
    place, _, name = reference.rpartition(":")
    if not place.endswith(".py"):
        return Extension(key, place, name, _module_file(key, reference, place), None)
    path = Path(place).expanduser()
    text = copies.get(path.name)
    if text is None:
        text = _read(path) if path.is_file() else spare.get(path.name)
    if text is None:
        there = sorted(file.name for file in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise ExtensionError(f"{key}={reference}: there is no file {place}; {did_you_mean(path.name, there)}")
    return Extension(key, place, name, str(path.absolute()), text)


def _module_file(key: str, reference: str, module: str) -> str:
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None:
        raise ExtensionError(
            f"{key}={reference}: there is no module {module} here: install its package, or name a file: "
            f"{module.replace('.', os.sep)}.py:NAME"
        )
    return spec.origin


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ExtensionError(f"{path} is not a Python file: it is not UTF-8 text") from error
