"""What the commands print: messages, tables, panels, coloured YAML. With ``display`` the only user of rich.

Text is never markup: brackets, escapes and control characters in a model's output or a file are shown as they are.
A console is made for each call, so that it belongs to the stream of the moment, and rich is imported only then.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

# Wide enough that a table in a pipe or file is never cut.
PIPE_WIDTH = 1000


@dataclass(frozen=True)
class Column:
    """A column of a table; ``wrap`` breaks long cells instead of cutting them, ``style`` is rich's."""

    title: str
    align: Literal["left", "right", "center"] = "left"
    style: str = ""
    wrap: bool = False


@dataclass(frozen=True)
class Cell:
    """Text with a style of its own."""

    text: str
    style: str = ""


Content = str | Cell


def make_console(stderr: bool = False) -> Console:
    """A rich console for the present stdout or stderr, without markup, emoji codes or highlighting."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=False)
    if not _speaks_unicode(stream.encoding) and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def is_terminal(stderr: bool = False) -> bool:
    """Whether the stream is a terminal that can move its cursor."""
    console = make_console(stderr)
    return console.is_terminal and not console.is_dumb_terminal


def command(*words: str) -> str:
    """A command line of asyppo to suggest, quoted for the shell."""
    return shlex.join(["asyppo", *words])


def abandon_stdout() -> None:
    """Send what is still written to stdout to the null device, at exit too: its reader has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def width() -> int:
    """Columns there are for a line."""
    return make_console().width


def shows_unicode() -> bool:
    """Whether stdout can show characters beyond ASCII."""
    return _speaks_unicode(sys.stdout.encoding)


def print(text: str = "", style: str = "") -> None:
    """Text to stdout, line breaks kept."""
    make_console().print(visible(text, one_line=False), style=style or None, soft_wrap=True)


def paragraph(text: str) -> None:
    """A sentence or more to stdout: a terminal wraps it between words, elsewhere it is one line."""
    console = make_console()
    console.print(visible(text, one_line=True), soft_wrap=not console.is_terminal)


def error(text: str) -> None:
    """One red line to stderr."""
    _message("error: ", text, "bold red")


def warn(text: str) -> None:
    """One yellow line to stderr."""
    _message("warning: ", text, "bold yellow")


def note(text: str) -> None:
    """One quiet line to stderr."""
    _message("", text, "dim")


def heading(text: str) -> None:
    """The title of what follows."""
    print()
    print(text, style="bold")


def pairs(rows: Iterable[tuple[str, Content]]) -> None:
    """Names and values below each other."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(_cell(name), _cell(value))
    _show(grid)


def table(columns: Sequence[Column], rows: Iterable[Sequence[Content]]) -> None:
    """A table without lines; on a narrow terminal cells are cut with an ellipsis, in a pipe never."""
    from rich.table import Table

    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_edge=False)
    for column in columns:
        grid.add_column(
            column.title,
            justify=column.align,
            style=column.style,
            no_wrap=not column.wrap,
            overflow="fold" if column.wrap else "ellipsis",
        )
    for row in rows:
        grid.add_row(*map(_cell, row))
    _show(grid)


def panel(title: str, lines: Iterable[Content], style: str = "dim", subtitle: str = "") -> None:
    """Lines in a rounded frame, broken where they are too long."""
    from rich.cells import cell_len
    from rich.panel import Panel
    from rich.text import Text

    body = Text("\n").join([_cell(line, one_line=False) for line in lines])
    body.overflow = "fold"
    # Left to itself, a frame as wide as its text cuts the subtitle.
    room = max(cell_len(line) for line in (*body.plain.split("\n"), f"  {title}", f"  {subtitle}")) + 4
    framed = Panel(
        body,
        title=_cell(Cell(title, "bold")),
        title_align="left",
        subtitle=_cell(Cell(subtitle, "dim")) if subtitle else None,
        subtitle_align="right",
        border_style=style,
        padding=(0, 1),
        width=None if is_terminal() else room,
    )
    _show(framed)


def yaml(text: str) -> None:
    """YAML, coloured on a terminal and to the letter elsewhere."""
    console = make_console()
    if not console.is_terminal or console.no_color:
        print(text.rstrip("\n"))
        return
    from rich.syntax import Syntax

    shown = visible(text, one_line=False).rstrip("\n")
    console.print(Syntax(shown, "yaml", theme="ansi_dark", background_color="default", word_wrap=True))


def _message(prefix: str, text: str, style: str) -> None:
    from rich.text import Text

    line = Text(prefix + visible(" ".join(text.split("\n"))), style=style)
    make_console(stderr=True).print(line, soft_wrap=True)


def _cell(content: Content, one_line: bool = True) -> Text:
    from rich.text import Text

    cell = Cell(content) if isinstance(content, str) else content
    return Text(visible(cell.text, one_line), style=cell.style)


def _show(renderable: RenderableType) -> None:
    """Print without the blanks that rich pads lines with, where they would be in the way."""
    console = make_console()
    if console.is_terminal:
        console.print(renderable)
        return
    with console.capture() as capture:
        console.print(renderable)
    for line in capture.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def _speaks_unicode(encoding: str | None) -> bool:
    return (encoding or "").lower().startswith("utf")


def visible(text: str, one_line: bool = True) -> str:
    """Text that cannot steer a terminal: control, escape and direction characters and lone surrogates as ``\\x1b``.

    Tabs become spaces; line breaks stay unless ``one_line``.
    """
    kept = "" if one_line else "\n"
    return "".join(c if c in kept or not _steers(c) else _escape(c) for c in text.replace("\t", "    "))


def _steers(character: str) -> bool:
    code = ord(character)
    return (
        code < 0x20
        or 0x7F <= code < 0xA0
        or 0xD800 <= code < 0xE000
        or 0x200E <= code <= 0x200F
        or 0x2028 <= code <= 0x202E
        or 0x2066 <= code <= 0x2069
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
