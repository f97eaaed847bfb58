from __future__ import annotations

import io
import math
import re
import sys

import pytest
from rich.console import Console

from asyppo_cli.display import Board, Row, monitor
from asyppo_cli.display import drawing as d
from asyppo_cli.display.live import LiveMonitor
from asyppo_cli.display.plain import PlainMonitor
from asyppo_cli.display.run_board import training_board
from asyppo_cli.display.summary import Summary, show_summary

BOARD = Board(
    (
        Row("accuracy", ("acc",), "percent", "acc", "high"),
        Row("reward", ("r",), "number", "reward", "high"),
        Row("variance", ("v0", "v1"), "number", "ev"),
        Row("memory", ("mem",), "bytes"),
    ),
    phases="time/",
    step_time="time/step",
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def numbers(step: int, **more: float) -> dict[str, float]:
    row = {"r": step / 10, "v0": 0.5, "v1": math.nan, "mem": 2.0**30, "time/sample": 0.5, "time/policy": 1.5}
    return row | {"time/step": 2.0} | more


def screen(width: int, height: int) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)


def picture(live: LiveMonitor, console: Console) -> list[str]:
    return "".join(segment.text for segment in console.render(live, console.options)).splitlines()


def live_at(width: int, height: int, board: Board = BOARD, steps: int = 6) -> tuple[LiveMonitor, Console, Clock]:
    clock, console = Clock(), screen(width, height)
    live = LiveMonitor(board, console, clock)
    live.start("a run", 12, 0)
    live.step(0, {"acc": 0.25})
    for step in range(1, steps + 1):
        clock.now += 2.0
        live.step(step, numbers(step, acc=0.75) if step == steps else numbers(step))
    return live, console, clock


def test_values_are_short() -> None:
    cases: list[tuple[float | None, d.Kind, str]] = [
        (0.7512, "percent", "75.1 %"),
        (0.52349, "number", "0.523"),
        (0.0, "number", "0.000"),
        (3.04e-7, "number", "3.0e-07"),
        (8123.4, "length", "8,123"),
        (31.26, "length", "31.3"),
        (12_345.6, "count", "12,346"),
        (3_400_000, "count", "3.4 M"),
        (5e5, "bytes", "488 KiB"),
        (1.1e9, "bytes", "1.0 GiB"),
        (2.1, "seconds", "2.10 s"),
        (187.0, "seconds", "3:07"),
        (math.nan, "percent", "-"),
        (None, "bytes", "-"),
    ]
    assert [d.format_value(value, kind) for value, kind, _ in cases] == [text for _, _, text in cases]
    assert d.format_change(-0.0312, "percent") == "-3.1"
    assert d.format_change(0.25, "number") == "+0.250"
    assert [d.format_duration(s) for s in (0.2, 59.6, 3599, 7387)] == ["0 s", "1:00", "59:59", "2:03:07"]


def test_sparklines_go_from_the_lowest_to_the_highest() -> None:
    assert d.sparkline([0, 1, 2, 3, 4, 5, 6, 7], 20) == "▁▂▃▄▅▆▇█"
    assert d.sparkline([0, 0, 7, 7], 2) == "▁█"
    assert d.sparkline([1, math.nan, 2], 9) == "▁ █"
    assert d.sparkline([5, 5, 5], 9) == "▁▁▁"
    assert d.sparkline([], 9) == d.sparkline([1, 2], 0) == ""
    assert len(d.sparkline(list(range(1000)), 37)) == 37


def test_a_bar_fills_its_width_exactly() -> None:
    assert d.shares_to_cells([1, 1, 1], 10) == [4, 3, 3]
    assert d.shares_to_cells([0.0, 3.0], 7) == [0, 7]
    assert d.shares_to_cells([0, 0], 7) == [0, 0]
    assert sum(d.shares_to_cells([0.1, 2.3, 0.7, 0.05], 61)) == 61


def test_a_chart_joins_its_points_from_corner_to_corner() -> None:
    chart = d.braille_chart([[(0, 0), (1, 1)], [(0, 1)]], 3, 3)
    assert [[owner for _, owner in line] for line in chart] == [[1, -1, 0], [-1, 0, -1], [0, -1, -1]]
    assert chart[0][0][0] == "⠁"
    assert chart[0][1][0] == " "


@pytest.mark.parametrize(("width", "height"), [(20, 5), (60, 10), (80, 24), (100, 30), (140, 40), (300, 60)])
@pytest.mark.parametrize("critics", [0, 1, 2, 8])
def test_the_picture_fits_and_its_frame_is_straight(width: int, height: int, critics: int) -> None:
    board = training_board(critics)
    live, console, clock = live_at(width, height, board)
    live.step(7, {name: 0.5 for row in board.rows for name in row.metrics} | numbers(7))
    live.phase("policy")
    clock.now += 1
    lines = picture(live, console)
    live.close()
    assert len(lines) < max(height, 8)
    if width >= 40:
        assert {len(line) for line in lines} == {min(width, 180)}
        assert {line[0] + line[-1] for line in lines[1:-1]} == {"││"}
    if height >= 24:
        assert all(any(row.label in line for line in lines) for row in board.rows)


def test_the_picture_says_what_matters() -> None:
    live, console, clock = live_at(80, 24)
    live.phase("critics")
    clock.now += 1.0
    text = "\n".join(picture(live, console))
    live.close()
    assert re.search(r"a run ─+ step 6/12", text)
    assert re.search(r"50 % +13 s +11 s left", text)
    assert re.search(r"accuracy +75.0 % +\+50.0  ▁█ ", text)
    assert re.search(r"variance +0.50 -", text)
    assert re.search(r"2.00 s a step", text)
    assert "sample 0.50" in text
    assert re.search(r"critics ─+ Ctrl-C", text)


def test_a_wide_terminal_has_a_chart() -> None:
    live, console, _ = live_at(140, 40, training_board(2))
    live.step(7, {name: 0.5 for row in training_board(2).rows for name in row.metrics})
    text = "\n".join(picture(live, console))
    live.close()
    assert "100 %" in text
    assert "step 12" in text


def test_before_the_start_it_says_what_is_loaded() -> None:
    console = screen(80, 24)
    live = LiveMonitor(BOARD, console, Clock())
    live.phase("loading models")
    assert "loading models" in picture(live, console)[0]
    live.close()


def test_notes_stay_and_hostile_text_is_shown_as_it_is() -> None:
    console = screen(80, 24)
    live = LiveMonitor(BOARD, console, Clock())
    live.start("[red]run\x1b[2J", 3, 0)
    live.note("no [red]GPU[/red] \x1b]0;x\x07")
    live.phase("phase [b]\x1b[1m")
    live.close()
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "note  no [red]GPU[/red] \\x1b]0;x\\x07" in written
    assert "[red]run\\x1b[2J" in written
    assert "\x1b]0;" not in written
    assert "\x1b[2J" not in written


def test_closing_leaves_the_last_state_without_spinner_and_gives_the_cursor_back() -> None:
    live, console, _ = live_at(80, 24)
    live.close()
    live.close()
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert written.rstrip().endswith("\x1b[?25h")
    assert "Ctrl-C" not in written[written.rindex("step 6/12") :]


def test_a_resumed_run_reckons_from_where_it_goes_on() -> None:
    clock, console = Clock(), screen(80, 24)
    live = LiveMonitor(BOARD, console, clock)
    live.start("a run", 110, 100)
    live.phase("sample")
    clock.now += 2
    live.step(101, numbers(101))
    text = "\n".join(picture(live, console))
    live.close()
    assert "18 s left" in text


def plain_lines(capsys: pytest.CaptureFixture[str], every: float, steps: int) -> list[str]:
    clock = Clock()
    plain = PlainMonitor(BOARD, every, clock)
    plain.phase("loading")
    plain.start("a run", steps, 0)
    plain.phase("sample")
    plain.note("[red] \x1b[31m\nsecond")
    for step in range(1, steps + 1):
        clock.now += 1.0
        plain.step(step, numbers(step, acc=0.5) if step % 7 == 0 else numbers(step))
    plain.close()
    return capsys.readouterr().out.splitlines()


def test_plain_lines_are_few_and_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    lines = plain_lines(capsys, 5.0, 24)
    assert lines[:3] == ["loading ...", "a run: 24 steps", "note: [red] \\x1b[31m second"]
    assert [int(line.split()[1].split("/")[0]) for line in lines[3:]] == [1, 6, 7, 12, 14, 19, 21, 24]
    assert len({line.index("reward") for line in lines[3:]}) == 1
    assert lines[5].startswith("step  7/24  acc 50.0 %  reward 0.700")
    assert lines[5].endswith("2.00 s  17 s left")


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(monitor(BOARD), PlainMonitor)


def test_live_on_a_terminal_unless_it_is_dumb_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(monitor(BOARD), LiveMonitor)
    assert isinstance(monitor(BOARD, plain=True), PlainMonitor)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(monitor(BOARD), PlainMonitor)


def summary(steps: int, after: float | None) -> Summary:
    return Summary(
        title="done",
        steps=steps,
        max_steps=60,
        before=0.365,
        after=after,
        before_halfwidth=0.027,
        after_halfwidth=0.024,
        best=0.781,
        seconds=132.0,
        tokens=3_400_000,
        place="runs/[red]x/",
        commands=[("asyppo runs show", "look at it")],
    )


def test_the_summary_tells_the_change_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    show_summary(summary(60, 0.771))
    out = capsys.readouterr().out
    assert "36.5 ± 2.7 %  →  77.1 ± 2.4 %   +40.6 points" in out
    assert "best on the way   78.1 %" in out
    assert "60 of 60 steps in 2:12, 3.4 M tokens, 25,758 a second" in out
    assert "runs/[red]x/" in out
    assert "asyppo runs show   look at it" in out


def test_the_summary_of_a_run_without_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    show_summary(summary(3, None))
    assert "not measured" in capsys.readouterr().out
