"""What ``asyppo`` shows when it is called with nothing: commands, options and examples, each in a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from asyppo_cli import console

# Columns between a name and what is said of it.
GAP = 3


def show_overview(
    summary: str, commands: Mapping[str, str], options: Iterable[tuple[str, str]], examples: Mapping[str, str]
) -> None:
    """Print the root's help."""
    console.print("\nUsage: asyppo COMMAND [ARGUMENTS]...\n", style="bold")
    console.print(f"{summary}\n")
    console.panel("Commands", in_columns(commands.items()), subtitle="asyppo COMMAND --help")
    console.panel("Options", in_columns(options))
    console.panel("Examples", in_columns(examples.items()))


def in_columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Pairs as lines, the second of each in one column."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows) + GAP
    return [f"{name:<{width}}{text}" for name, text in rows]
