from __future__ import annotations

import io
import sys

import pytest

from asyppo_cli import console
from asyppo_cli.console import Cell, Column, visible

HOSTILE = "[red]x[/red] \x1b[31m\x07 \u202e :smile: \udce9 ]["


def test_what_could_steer_a_terminal_is_spelt_out() -> None:
    assert visible("a\x1b[2Jb\rc\x9b\u202ed\x7f\udce9") == "a\\x1b[2Jb\\rc\\x9b\\u202ed\\x7f\\udce9"
    assert visible("a\tb\nc") == "a    b\\nc"
    assert visible("a\nb", one_line=False) == "a\nb"
    assert visible("é 数学 ½ 👍") == "é 数学 ½ 👍"


def test_messages_are_one_line_on_stderr_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    console.error(f"bad\nvalue {HOSTILE}")
    console.warn("careful")
    console.note("by the way")
    streams = capsys.readouterr()
    assert streams.out == ""
    lines = streams.err.splitlines()
    assert lines == [f"error: bad value {visible(HOSTILE)}", "warning: careful", "by the way"]


def test_an_error_is_never_broken_over_lines(capsys: pytest.CaptureFixture[str]) -> None:
    console.error("word " * 300)
    assert capsys.readouterr().err.count("\n") == 1


def test_tables_are_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    long = "n" * 300
    console.table([Column("name"), Column("value", "right")], [[long, Cell("[bold]7", "red")], [HOSTILE, "8"]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"{long}  [bold]7"
    assert lines[2].startswith(visible(HOSTILE))
    assert not any(line.endswith(" ") for line in lines)


def test_panels_and_pairs_show_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console.panel("[b]title", [f"first\n{HOSTILE}"], subtitle="[i]sub")
    console.pairs([("key", HOSTILE)])
    out = capsys.readouterr().out
    assert out.count(visible(HOSTILE)) == 2
    assert "[b]title" in out
    assert "[i]sub" in out
    assert "\x1b" not in out


def test_yaml_is_to_the_letter_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a:  [1, 2]  # comment\nb: '[red]'\nlong: " + "x" * 200
    console.yaml(text)
    assert capsys.readouterr().out == text + "\n"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def watch(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Stdout becomes a terminal of 40 columns. (In a fixture pytest's own capture would replace it again.)"""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "40")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return stream


def test_a_narrow_terminal_cuts_cells_instead_of_breaking_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watch(monkeypatch)
    console.table([Column("name"), Column("value", "right")], [["n" * 100, "7"]])
    lines = terminal.getvalue().splitlines()
    assert len(lines) == 2
    assert "…" in lines[1]


def test_colours_on_a_terminal_unless_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watch(monkeypatch)
    console.yaml("a: 1")
    assert "\x1b[" in terminal.getvalue()
    assert console.is_terminal()
    terminal.truncate(0)
    monkeypatch.setenv("NO_COLOR", "1")
    console.yaml("a: 1")
    console.print("x", style="bold red")
    assert "\x1b[3" not in terminal.getvalue()


def test_a_dumb_terminal_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    watch(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    assert not console.is_terminal()


def test_a_stream_without_unicode_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert not console.shows_unicode()
    console.print("½ → 7")
    console.panel("title", ["½"])
    sys.stdout.flush()
    assert b"? ? 7" in raw.getvalue()
