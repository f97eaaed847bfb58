"""A function of the user's: loaded at first use, called with its errors put into one line that names its file.

It carries the text of its file, so that a process on another machine (a Ray rank, a joined worker) runs the same code.
"""

from __future__ import annotations

import ast
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

from asyppo_cli.keys import did_you_mean


class ExtensionError(ValueError):
    """A function of the user's is not there, raised, or returned what cannot be used."""


@dataclass(frozen=True)
class Extension:
    """The function behind a setting: ``place`` is its file or module as typed, ``file`` that with its whole path.

    ``source`` is the file's text; None: an installed module, which is imported.
    """

    key: str
    place: str
    name: str
    file: str
    source: str | None

    @property
    def reference(self) -> str:
        """The value as typed."""
        return f"{self.place}:{self.name}"

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """What the function returns.

        Raises:
            ExtensionError: it raised, or called exit; one line with the user's file and line.
        """
        function = self.function()
        try:
            return function(*arguments, **named)
        except (Exception, SystemExit) as error:
            # Broad on purpose: a user's function may raise anything, and its file and line are what he needs.
            raise self.explain(error) from error

    def function(self) -> Callable[..., Any]:
        """The function itself; ExtensionError if its file cannot be run or does not define it."""
        try:
            module = importlib.import_module(self.place) if self.source is None else _run(self.file, self.source)
        except (Exception, SystemExit) as error:
            # Broad on purpose: importing a user's file runs it.
            raise self.explain(error) from error
        found = getattr(module, self.name, None)
        if not callable(found):
            raise self.fault(f"{self.name} is {'not defined' if found is None else f'a {type(found).__name__}'}")
        function: Callable[..., Any] = found
        return function

    def check_defined(self) -> None:
        """ExtensionError if the file is no Python or does not define the name; nothing of it is run."""
        if self.source is None:
            return
        try:
            names = defined_names(self.source)
        except SyntaxError as error:
            raise self.explain(error) from error
        if self.name not in names:
            raise self.fault(f"it does not define {self.name}; {did_you_mean(self.name, names)}")

    def explain(self, error: BaseException) -> ExtensionError:
        """An error as one line: the setting, the last line of the user's file that it passed, and what it says."""
        if isinstance(error, ExtensionError):
            return error
        frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self.file]
        line = error.lineno if isinstance(error, SyntaxError) else frames[-1] if frames else None
        text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        hint = ""
        if isinstance(error, ModuleNotFoundError) and self.source is not None:
            hint = " (only this file is copied into the run: anything else must be an installed package)"
        return self._error(line, f"{type(error).__name__}: {text}{hint}")

    def fault(self, what: str) -> ExtensionError:
        """An error about what the function is or returned, at the line of its definition."""
        line = None
        if self.source is not None:
            line = defined_names(self.source).get(self.name)
        return self._error(line, what)

    def parameters(self) -> list[str]:
        """Names of the parameters of the function."""
        return list(inspect.signature(self.function()).parameters)

    def _error(self, line: int | None, what: str) -> ExtensionError:
        where = f"{self.place}:{line}" if line is not None else self.place
        return ExtensionError(f"{self.key}={self.reference}: {where}: {what}")


def defined_names(source: str) -> dict[str, int]:
    """Top-level names of a Python file with their lines, functions and classes first; SyntaxError if it is none."""
    functions: dict[str, int] = {}
    others: dict[str, int] = {}
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                functions[node.name] = node.lineno
            case ast.Import() | ast.ImportFrom():
                others |= {(alias.asname or alias.name).partition(".")[0]: node.lineno for alias in node.names}
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                others |= {target.id: node.lineno for target in targets if isinstance(target, ast.Name)}
    return {**functions, **others}


class _TextLoader(importlib.abc.InspectLoader):
    """Makes a module of a text, without the file that it came from."""

    def __init__(self, file: str, source: str) -> None:
        self.file = file
        self.source = source

    def get_source(self, _name: str) -> str:
        """The text."""
        return self.source

    def get_code(self, _name: str) -> CodeType:
        """The text compiled; its lines are those of the file."""
        return self.source_to_code(self.source, self.file)


@functools.cache
def _run(file: str, source: str) -> ModuleType:
    """The module that a file's text makes; once a process."""
    name = f"asyppo_extension_{file.rpartition('/')[2].removesuffix('.py')}"
    loader = _TextLoader(file, source)
    module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec(name, loader, origin=file))
    # Dataclasses and pickle look their module up.
    sys.modules[name] = module
    # A traceback shows these lines, whatever has become of the file.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    loader.exec_module(module)
    return module
