"""The style: three formats, the same files each time, dark pages, labels that any token can be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from analysis.figures import style
from analysis.figures.style import (
    COLOURS,
    DARK,
    GROUND,
    INK,
    caption,
    log_ticks,
    new_figure,
    power_of_ten,
    printable,
    save,
    save_text,
    series_style,
    side_by_side,
    styled,
)


def small_figure(label: str = "x") -> Any:
    with styled():
        figure = new_figure(2, 1.5)
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1])
        ax.set_title(label)
        caption(figure, "run, step 40: " + 12 * "many words ")
    return figure


def test_three_formats_are_written_and_no_more(tmp_path: Path) -> None:
    paths = save(small_figure(), tmp_path / "deep" / "figure.v1")
    assert [path.name for path in paths] == ["figure.v1.png", "figure.v1.svg", "figure.v1.pdf"]
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == sorted(path.name for path in paths)
    assert [path.read_bytes()[:4] for path in paths] == [b"\x89PNG", b"<?xm", b"%PDF"]


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    for first, second in zip(save(small_figure(), tmp_path / "a"), save(small_figure(), tmp_path / "b"), strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_an_svg_turns_dark_with_its_page(tmp_path: Path) -> None:
    (path,) = save(small_figure("$5 & <b>"), tmp_path / "a", ["svg"])
    text = path.read_text(encoding="utf-8")
    assert "@media (prefers-color-scheme:dark)" in text
    assert f'[style*="fill: {GROUND.lower()}"]{{fill:{DARK[GROUND].lower()} !important}}' in text
    # Whatever the style draws with, the sheet knows, as matplotlib writes it.
    used = set(re.findall(r'style="[^"]*?(?:fill|stroke): (#[0-9a-f]{6})', text.split("</style>", 1)[1]))
    assert used >= {GROUND.lower(), INK.lower()} and used <= {light.lower() for light in (*DARK, *COLOURS)}
    assert "$5 &amp; &lt;b&gt;" in text, "a dollar is a dollar"


def contrast(first: str, second: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(first), light(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_are_seen_on_light_and_on_dark() -> None:
    assert contrast(INK, GROUND) > 7 and contrast(DARK[INK], DARK[GROUND]) > 7
    for colour in COLOURS:
        # Lines and dots; each has a marker besides its colour.
        assert contrast(colour, GROUND) > 2.1 and contrast(DARK.get(colour, colour), DARK[GROUND]) > 4.5
    assert len({series_style(i) for i in range(49)}) == 49 and series_style(7)[0] == series_style(0)[0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" so", "␣so"),
        ("\n", "↵"),
        ("", "(empty)"),
        ("$x_1$", "$x_1$"),
        ("中", "\\u4e2d"),
        ("\x1b[31m", "\\u001b[31m"),
        ("\ud800", "\\ud800"),
        ("a" * 40, "a" * 23 + "…"),
        ("π\t", "π⇥"),
    ],
)
def test_any_token_can_be_a_label(text: str, shown: str, tmp_path: Path) -> None:
    assert printable(text) == shown
    save(small_figure(printable(text)), tmp_path / "a", ["svg", "png"])


def test_figures_do_not_depend_on_the_users_settings(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 30\naxes.facecolor: red\nlines.linewidth: 9\n")
    (expected,) = save(small_figure(), tmp_path / "a", ["svg"])
    code = "from test_style import small_figure\nfrom analysis.figures.style import *\nfrom pathlib import Path\n"
    code += f"print(printable('a'), save(small_figure(), Path({str(tmp_path / 'b')!r}), ['svg']))"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    theirs = {"MPLBACKEND": "module://not_installed.backend", "MATPLOTLIBRC": str(tmp_path), "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | theirs, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b.svg").read_bytes() == expected.read_bytes()


def test_an_installed_font_draws_what_the_own_font_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from matplotlib import font_manager

    pen = TTGlyphPen(None)
    for place, move in (((0, 0), pen.moveTo), ((0, 900), pen.lineTo), ((900, 900), pen.lineTo), ((900, 0), pen.lineTo)):
        move(place)
    pen.closePath()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "box"])
    font.setupCharacterMap({ord("中"): "box", ord("😀"): "box"})
    font.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "box": pen.glyph()})
    font.setupHorizontalMetrics({".notdef": (1000, 0), "box": (1000, 0)})
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": "Noto Sans CJK SC", "styleName": "Regular"})
    font.setupOS2(sTypoAscender=900)
    font.setupPost()
    font.save(tmp_path / "cjk.ttf")
    manager = font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [*manager.ttflist])
    manager.addfont(tmp_path / "cjk.ttf")
    for cached in (style.fonts, style._sign):
        cached.cache_clear()
    try:
        assert printable("中😀 好") == "中😀␣\\u597d"
        # Warnings are errors: a missing glyph would be one.
        save(small_figure(printable("中😀 好")), tmp_path / "a", ["svg", "png", "pdf"])
    finally:
        for cached in (style.fonts, style._sign):
            cached.cache_clear()


@pytest.mark.parametrize(("low", "high", "least"), [(0.02, 0.6, 3), (1e-5, 10.0, 3), (2e-5, 9e-5, 2), (0.5, 30, 2)])
def test_a_log_axis_has_more_than_one_label(low: float, high: float, least: int) -> None:
    with styled():
        figure = new_figure(4, 3)
        ax = figure.subplots()
        ax.plot([1, 2], [low, high])
        ax.set_yscale("log")
        log_ticks(ax.yaxis)
        figure.draw_without_rendering()
        bottom, top = ax.get_ylim()
        places = [tick for minor in (False, True) for tick in ax.yaxis.get_ticklabels(minor=minor)]
        shown = [t.get_text() for t in places if t.get_text() and bottom <= t.get_position()[1] <= top]
    assert len(shown) >= least


def test_another_width_keeps_the_text_readable(tmp_path: Path) -> None:
    with styled():
        figure, axes = side_by_side(3, (10.0, 3.0), 3.4)
        for n, ax in enumerate(axes):
            ax.plot([0, 1], label=f"a rather long label of line {n}")
            ax.set_title("A title that is far too long for a column of a paper", loc="left")
        figure.legend(loc="outside upper left", ncols=3)
        caption(figure, "run, steps 1 to 2, " * 6)
    save(figure, tmp_path / "a", ["png"], width=3.4)
    assert figure.get_figwidth() == 3.4 and figure.get_figheight() == 9.0
    for text in [*(ax.get_title("left") for ax in axes), figure.get_supxlabel()]:
        assert max(map(len, text.split("\n"))) < 60
    for artist in (figure.legends[0], *(ax.title for ax in axes)):
        assert artist.get_window_extent().x1 <= figure.bbox.width


@pytest.mark.parametrize(
    ("value", "shown"),
    [(2e-4, "2·10⁻⁴"), (0.01, "0.01"), (1000.0, "1,000"), (1e-4, "10⁻⁴"), (1e6, "10⁶"), (0.0, "0"), (1.0, "1")],
)
def test_powers_of_ten(value: float, shown: str) -> None:
    assert power_of_ten(value) == shown


def test_a_place_that_takes_no_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in (
        lambda: save(small_figure(), tmp_path / "file" / "a"),
        lambda: save_text(tmp_path / "file" / "a", ""),
    ):
        with pytest.raises(ValueError, match=r"cannot write to .*file: .*: choose another folder with --output"):
            write()
