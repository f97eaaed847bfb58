"""HTML pages that need nothing but themselves, and that nothing a model or a data set wrote can inject into.

Three walls: data goes into a JSON block in which no ``<``, ``>``, ``&`` or line separator is left as it is, and scripts
set it as text, never as markup; what is written as markup here has passed :func:`text`; and a content security policy
admits exactly one style sheet and one script, by their hashes, pictures inside the page, and no network at all.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import math
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.figures.style import adapting, styled, unwritable
from asyppo_cli.console import visible
from asyppo_cli.runs.files.atomic import replace_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VOID = ("img", "hr", "br", "col")
# Inside a script element only "<" could end it; the others are for whoever copies the block into something else.
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "'": "\\u0027"}


def page(title: str, body: str, styles: str, script: str = "", data: Any = None) -> str:
    """A whole page. ``body`` is markup of our own; ``data``, if there is any, is what the script reads as JSON."""
    block = "" if data is None else f'<script type="application/json" id="data">{json_block(data)}</script>\n'
    code = f"<script>{script}</script>\n" if script else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(styles, script)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{styles}</style>\n</head>\n<body>\n{body}\n{block}{code}</body>\n</html>\n"
    )


def policy(styles: str, script: str) -> str:
    """The content security policy of a page with this style sheet and this script, and no other."""
    rules = ["default-src 'none'", "img-src data:", f"style-src '{_hash(styles)}'", "base-uri 'none'"]
    rules += ["form-action 'none'", *([f"script-src '{_hash(script)}'"] if script else [])]
    return "; ".join(rules)


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")


def json_block(data: Any) -> str:
    """Data as JSON in plain ASCII that no HTML parser can take for markup.

    Strings may hold anything, lone surrogates too. Numbers must be finite: see :func:`number`.
    """
    block = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character, escaped in _UNSAFE.items():
        block = block.replace(character, escaped)
    return block


def number(value: float, digits: int = 4) -> float | None:
    """A number with so many significant digits, None where it is not finite."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def text(content: object) -> str:
    """Any text as markup that shows it: escaped, with control and direction characters as ``\\x1b``."""
    return html.escape(visible(str(content), one_line=False), quote=True)


class Markup(str):
    """Text that is markup already: nothing escapes it again."""

    __slots__ = ()


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """An element; children that are no :class:`Markup` are escaped. ``class_`` is the attribute class; without a name,
    the children alone.
    """
    inner = "".join(child if isinstance(child, Markup) else text(child) for child in children)
    if not name:
        return Markup(inner)
    given = "".join(f' {key.rstrip("_")}="{text(value)}"' for key, value in attributes.items() if value is not None)
    return Markup(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{inner}</{name}>")


def picture(figure: Figure, description: str) -> Markup:
    """A figure as an SVG inside the page; as an image it can run nothing, and it turns dark with the page."""
    content = io.StringIO()
    with styled():
        figure.savefig(content, format="svg", metadata={"Date": None})
    return drawn_picture(adapting(content.getvalue()), description)


def drawn_picture(svg: str, description: str) -> Markup:
    """An SVG that was drawn before, as :func:`picture` shows a figure."""
    encoded = base64.b64encode(svg.encode("utf-8")).decode("ascii")
    return tag("img", src=f"data:image/svg+xml;base64,{encoded}", alt=description)


def template(name: str) -> str:
    """A file of ``analysis/templates``: a style sheet, a script, or markup of our own."""
    return (files("analysis") / "templates" / name).read_text(encoding="utf-8")


def save_page(path: Path, content: str) -> Path:
    """Write a page in one stroke; returns its path.

    Raises:
        ValueError: it cannot be written there.
    """
    try:
        replace_text(path, content)
    except OSError as error:
        raise unwritable(path.parent, error) from error
    return path
