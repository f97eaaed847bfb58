"""One style for all figures, and the only place that saves them.

A figure has a ground of its own, so that it can be read on any page. PNG and PDF are light, for print; the SVG follows
the reader: on a dark page its ground, ink and lines turn dark by a style sheet inside the file.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asyppo_cli.requirements import install_command
from asyppo_cli.runs.files.atomic import replace_file, replace_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
DOTS_PER_INCH = 200
OWN_FONT = "DejaVu Sans"
# Fonts of common systems with Chinese, Japanese and Korean characters, and with emoji as outlines.
FALLBACK_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "SimHei"),
    *("Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "Hiragino Sans", "Arial Unicode MS", "Noto Sans KR"),
    *("Malgun Gothic", "Noto Emoji", "Segoe UI Emoji", "Segoe UI Symbol", "Symbola"),
)
# Of the caption's size, to an inch.
CAPTION_CHARACTERS = 16
# Of the titles' and labels' size, to an inch; and the narrowest panel that can be read.
LABEL_CHARACTERS, MIN_PANEL = 12, 2.3
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# What the parts of a figure are for, light; and the same on a dark page.
GROUND, INK, MUTED, FAINT, GRID = "#FFFFFF", "#1F2328", "#57606A", "#8C959F", "#E4E7EB"
# Okabe and Ito's palette, distinguishable by colour-blind readers; its yellow is too pale for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
BLUE, ORANGE, GREEN, PINK, AMBER, SKY = COLOURS[:6]
# With the colours, so that a grey print can be read too.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DARK = {
    GROUND: "#0D1117",
    INK: "#E6EDF3",
    MUTED: "#AEB6C0",
    FAINT: "#7D8590",
    GRID: "#272D36",
    BLUE: "#3B9EDE",
    ORANGE: "#F07F2E",
    GREEN: "#22B98D",
}
STYLE: dict[str, Any] = {
    "font.size": 9,
    "figure.facecolor": GROUND,
    "axes.facecolor": GROUND,
    "savefig.facecolor": GROUND,
    "text.color": INK,
    # A dollar in a label is a dollar: tokens are full of them.
    "text.parse_math": False,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.edgecolor": MUTED,
    "axes.axisbelow": True,
    "axes.prop_cycle": f"cycler(color={list(COLOURS)!r})",
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    # Text stays text in the SVG, and every file is the same each time.
    "svg.fonttype": "none",
    "svg.hashsalt": "asyppo",
    "pdf.fonttype": 42,
}
_METADATA: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


@contextmanager
def styled() -> Iterator[None]:
    """Everything drawn or saved within has this style.

    Raises:
        ValueError: matplotlib is not installed.
    """
    mpl = _matplotlib()
    with mpl.rc_context():
        # The user's matplotlibrc must not change a figure.
        mpl.rcdefaults()
        mpl.rcParams.update({**STYLE, "font.family": fonts()})
        yield


def _matplotlib() -> Any:
    """matplotlib, imported without the backend that the environment asks for (a notebook's may not be installed)."""
    asked = os.environ.get("MPLBACKEND")
    try:
        os.environ["MPLBACKEND"] = "agg"
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise ValueError(f"figures need the package matplotlib: {install_command('plots')}") from error
    finally:
        os.environ.pop("MPLBACKEND")
        if asked is not None:
            os.environ["MPLBACKEND"] = asked
    return mpl


@cache
def fonts() -> list[str]:
    """Matplotlib's own font, then the installed ones that have what it lacks (Chinese, Japanese, Korean, emoji)."""
    _matplotlib()
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return [OWN_FONT, *(name for name in FALLBACK_FONTS if name in installed)]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches, laid out so that nothing overlaps; to be called under :func:`styled`."""
    from matplotlib.figure import Figure

    # Without pyplot there is no window system to ask and no state to clean up.
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS, width: float | None = None) -> list[Path]:
    """Write ``stem``.png, .svg and .pdf, or those of ``formats``, atomically; returns the paths.

    ``width`` in inches lays the figure out anew; text keeps its size.

    Raises:
        ValueError: the folder cannot be written to.
    """
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in formats]
    try:
        with styled():
            if width is not None:
                _resize(figure, width)
            # Once for all formats: it takes longer than the writing.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            for path, kind in zip(paths, formats, strict=True):
                replace_file(path, lambda aside, kind=kind: _write(figure, aside, kind))  # type: ignore[misc]
    except OSError as error:
        raise unwritable(stem.parent, error) from error
    return paths


def save_text(path: Path, text: str) -> Path:
    """Write a text file (CSV, JSON, HTML) atomically; returns its path.

    Raises:
        ValueError: the folder cannot be written to.
    """
    try:
        replace_text(path, text)
    except OSError as error:
        raise unwritable(path.parent, error) from error
    return path


def unwritable(folder: Path, error: OSError) -> ValueError:
    """The error for a folder that cannot be written to."""
    return ValueError(f"cannot write to {folder}: {error.strerror or error}: choose another folder with --output")


def series_style(index: int) -> tuple[str, str]:
    """Colour and marker of the series of that number; a colour comes back with another marker."""
    return COLOURS[index % len(COLOURS)], MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]


def density_colours() -> Colormap:
    """From sparse to dense, in one hue of rising weight, seen on white and on black; nothing where there is nothing."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = ["#C3DCEF", "#86B9E0", "#4A94CC", "#1B70B3", "#0B5896"]
    return LinearSegmentedColormap.from_list("asyppo density", colours).with_extremes(bad=(0, 0, 0, 0))


def grid(ax: Axes, axis: Literal["x", "y", "both"] = "y") -> None:
    """Quiet lines behind the data."""
    ax.grid(axis=axis, color=GRID, linewidth=0.6)


def side_by_side(count: int, size: tuple[float, float], width: float | None, **options: Any) -> tuple[Figure, Any]:
    """A figure of ``size`` with that many panels in a row, and its axes; several rows where ``width`` is too small."""
    columns = count if width is None else max(1, min(count, int(width / MIN_PANEL)))
    rows = -(-count // columns)
    figure = new_figure(size[0] if width is None else width, size[1] * rows)
    axes = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    for ax in axes[count:]:
        ax.set_axis_off()
    return figure, axes[:count]


def _resize(figure: Figure, width: float) -> None:
    """Another width at the same height: legends get fewer columns, captions, titles and labels more lines."""
    figure.set_figwidth(width)
    caption(figure, " ".join(figure.get_supxlabel().split()))
    for legend in figure.legends:
        handles, labels = (
            [handle for handle in legend.legend_handles if handle],
            [text.get_text() for text in legend.get_texts()],
        )
        columns = max(1, int(width / (0.5 + 0.07 * max(map(len, labels)))))
        legend.remove()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(columns, len(labels)))
    for ax in figure.axes:
        if (spec := ax.get_subplotspec()) is not None:
            columns = round(LABEL_CHARACTERS * width * len(spec.colspan) / spec.get_geometry()[1]) - 4
            ax.set_title(textwrap.fill(ax.get_title("left"), columns))
            ax.set_xlabel(textwrap.fill(ax.get_xlabel(), columns))


def caption(figure: Figure, text: str) -> None:
    """What the figure is of, small, below it: run, steps, numbers behind it."""
    lines = textwrap.fill(legible(text), round(CAPTION_CHARACTERS * figure.get_figwidth()), break_on_hyphens=False)
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=7, color=MUTED)


def log_ticks(axis: Axis) -> None:
    """Plain numbers at the powers of ten of a logarithmic axis; between them too where the axis has fewer than two."""
    from matplotlib.ticker import LogFormatter

    class PlainNumbers(LogFormatter):
        def _num_to_string(self, x: float, vmin: float, vmax: float) -> str:
            return power_of_ten(x)

    axis.set_major_formatter(PlainNumbers(labelOnlyBase=True))
    axis.set_minor_formatter(PlainNumbers(minor_thresholds=(1.5, 0.6)))


def step_axis(ax: Axes) -> None:
    """A horizontal axis of training steps, whole numbers."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.set_xlabel("training step")


def power_of_ten(value: float) -> str:
    """``0.01``, ``100``, ``10⁻⁴``, ``2·10⁻⁴``: as a plain number where that is short."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:,.10g}"
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    power = f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    return power if mantissa == "1" else f"{mantissa}·{power}"


def printable(text: str, limit: int = 24) -> str:
    """A token with its white space visible and what no font has escaped, cut at ``limit`` characters."""
    shown = legible(text).replace(" ", "␣") or "(empty)"
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def legible(text: str) -> str:
    """The text on one line, with characters that no installed font can draw as escapes."""
    return "".join(map(_sign, text))


@cache
def _sign(character: str) -> str:
    known = {"\n": "↵", "\t": "⇥", "\r": "␍"}
    if character in known:
        return known[character]
    return character if character.isprintable() and _in_font(ord(character)) else f"\\u{ord(character):04x}"


def _in_font(code: int) -> bool:
    """Whether a font has the character: a missing one would be an empty box, and a warning."""
    known = fonts()
    from matplotlib.font_manager import findfont, get_font

    return any(get_font(findfont(name)).get_char_index(code) for name in known)


def _write(figure: Figure, path: Path, kind: str) -> None:
    figure.savefig(path, format=kind, dpi=DOTS_PER_INCH, metadata=_METADATA.get(kind))
    if kind == "svg":
        path.write_text(adapting(path.read_text(encoding="utf-8")), encoding="utf-8")


def adapting(svg: str) -> str:
    """The SVG with a style sheet that turns these colours into their dark ones where the page is dark."""
    rules = [
        f'[style*="{part}: {light.lower()}"]{{{part}:{dark.lower()} !important}}'
        for light, dark in DARK.items()
        for part in ("fill", "stroke")
    ]
    sheet = f'<style type="text/css">@media (prefers-color-scheme:dark){{{"".join(rules)}}}</style>'
    return re.sub(r"(<svg\b[^>]*>)", lambda found: f"{found[1]}\n {sheet}", svg, count=1)
