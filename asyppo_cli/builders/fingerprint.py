"""Digests of the files that a run depends on, so that a resumed run meets the same ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from asyppo_cli.config.schema import Config
from asyppo_cli.engines.hf.models import read_model_config
from asyppo_cli.engines.hf.resolve import resolve_model
from asyppo_cli.runs.files.atomic import replace_text
from asyppo_cli.tasks.data.hub import cached_files
from asyppo_cli.tasks.data.problems import SPLIT

MODEL_FILES = (
    "*.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
# Of a file above this many bytes only the size, the beginning and the end are read.
LARGE_BYTES, END_BYTES = 2**30, 2**24


def fingerprint(config: Config) -> dict[str, str]:
    """A digest of each model, tokenizer and data file, by setting and file name; of a hub's, its commit."""
    return dict(_entries(config))


def check_unchanged(path: Path, found: Mapping[str, str]) -> None:
    """Compare with what ``path`` has of the run's beginning; where there is nothing yet, write it.

    Raises:
        ValueError: a file has changed, in one line that names it.
    """
    if not path.exists():
        replace_text(path, json.dumps(found, indent=1) + "\n")
        return
    known = json.loads(path.read_text(encoding="utf-8"))
    changed = [name for name in dict.fromkeys([*known, *found]) if known.get(name) != found.get(name)]
    if changed:
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise ValueError(
            f"--resume: {changed[0]}{more} has changed since this run began ({path}): restore it, or start a new run"
        )


def file_digest(path: Path) -> str:
    """Sha-256 of a file, or of the size and both ends of a large one."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= LARGE_BYTES:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(str(size).encode() + file.read(END_BYTES))
        file.seek(-END_BYTES, 2)
        digest.update(file.read())
        return digest.hexdigest()


def _entries(config: Config) -> Iterator[tuple[str, str]]:
    yield from _model("policy.model", config.policy.model, config.policy.revision)
    if config.critics.count and config.critics.model is not None:
        yield from _model("critics.model", config.critics.model, None)
    task = config.task
    for key, place in (("task.path", task.path), ("task.heldout_path", task.heldout_path)):
        if place is not None:
            path = Path(place).expanduser()
            files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
            yield from ((f"{key}: {file.relative_to(path.parent)}", file_digest(file)) for file in files)
    if task.source == "hub" and task.path is None:
        cached = cached_files(
            task.name, SPLIT, None if task.params.get("revision") is None else str(task.params["revision"])
        )
        if cached is not None:
            yield f"task.name: {task.name}", cached.commit


def _model(key: str, model: str, revision: str | None) -> Iterator[tuple[str, str]]:
    place = Path(resolve_model(model, key))
    if not place.is_dir():
        yield f"{key}: {model}", str(getattr(read_model_config(model, revision, key), "_commit_hash", None))
        return
    for file in sorted(file for pattern in MODEL_FILES for file in place.glob(pattern)):
        yield f"{key}: {file.name}", file_digest(file)
