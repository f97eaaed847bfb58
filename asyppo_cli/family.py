"""A family of commands, known by name until one of them is called: help and completion import none of them."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from asyppo_cli.keys import did_you_mean

# Columns between a name and what is said of it.
GAP = 3


class Family(TyperGroup):
    """A group whose commands are modules of ``package`` (- as _), each with an ``app``.

    ``known`` has their names in the order of help, with what help says of each; ``program`` is what is typed before
    them, ``usage`` the ways to go on; ``member`` is what an error calls one of them, ``default`` the
    one whose name may be left out.
    """

    package: ClassVar[str]
    known: ClassVar[Mapping[str, str]]
    examples: ClassVar[Mapping[str, str]]
    program: ClassVar[str]
    usage: ClassVar[tuple[str, ...]]
    member: ClassVar[str] = "command"
    default: ClassVar[str | None] = None

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of help."""
        return list(self.known)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command of that name, or the only one that begins so."""
        name = full_name(cmd_name, self.known, self.member)
        module = importlib.import_module(f"{self.package}.{name.replace('-', '_')}")
        command = typer.main.get_command(module.app)
        command.name = name
        return command

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Commands, and what the first argument of the default one may be."""
        found = super().shell_complete(ctx, incomplete)
        if self.default is None or incomplete.startswith("-"):
            return found
        first = next(one for one in self.get_command(ctx, self.default).params if one.param_type_name == "argument")
        return [*found, *first.shell_complete(ctx, incomplete)]

    def options(self, ctx: Any) -> Iterable[tuple[str, str]]:
        """Options of the family itself, as help shows them."""
        return ()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, without importing the commands that it lists."""
        from asyppo_cli import console

        ways = "\n       ".join(f"{self.program} {way}" for way in self.usage)
        console.print(f"\nUsage: {ways}\n", style="bold")
        console.print(f"{self.help}\n")
        console.panel("Commands", in_columns(self.known.items()), subtitle=f"{self.program} COMMAND --help")
        if options := in_columns(self.options(ctx)):
            console.panel("Options", options)
        console.panel("Examples", in_columns(self.examples.items()))


def full_name(typed: str, known: Collection[str], member: str) -> str:
    """The one of the ``known`` names that is meant; ValueError with those that are near if there is none."""
    begun = [name for name in known if typed and name.startswith(typed)]
    if typed in known or len(begun) == 1:
        return typed if typed in known else begun[0]
    raise ValueError(f"there is no {member} {typed!r}; {did_you_mean(typed, known)}")


def in_columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Pairs as lines, the second of each in one column."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0) + GAP
    return [f"{name:<{width}}{text}" for name, text in rows]
