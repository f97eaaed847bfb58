"""Self-contained HTML pages into which nothing that a model or a data set wrote can inject markup.

Text becomes markup through markupsafe's escaping alone; data goes into a JSON block without ``<``, ``>`` and ``&``, and
scripts set it as text; and a content security policy admits one style sheet and one script, by their hashes, pictures
inside the page, and no network.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from analysis.figures.style import adapting, save_text, styled
from asyppo_cli.console import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VOID = ("img", "hr", "br", "col")
# Inside a script element only "<" could end it; the others protect a block that is copied elsewhere.
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "'": "\\u0027"}


def page(title: str, body: Markup, styles: str, script: str = "", data: Any = None) -> str:
    """A whole page; ``data``, if there is any, is what the script reads as JSON."""
    block = "" if data is None else f'<script type="application/json" id="data">{json_block(data)}</script>\n'
    code = f"<script>{script}</script>\n" if script else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(styles, script)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{styles}</style>\n</head>\n<body>\n{body}\n{block}{code}</body>\n</html>\n"
    )


def report_page(title: str, kicker: str, heading: str, note: str, sections: Mapping[str, Markup]) -> str:
    """A page without a script: a heading, links to the sections where there are several, and the sections by name."""
    links = tag("nav", *(tag("a", name, href=f"#part-{i}") for i, name in enumerate(sections)))
    head = [tag("p", kicker, class_="kicker"), tag("h1", heading), tag("p", note, class_="muted small"), links]
    parts = [
        tag("section", tag("h2", name), content, id=f"part-{i}") for i, (name, content) in enumerate(sections.items())
    ]
    return page(title, tag("main", tag("header", *head), *parts), template("base.css") + template("report.css"))


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
    """A number with that many significant digits, None where it is not finite."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def text(content: object) -> Markup:
    """Any text as markup that shows it: escaped, with control and direction characters as ``\\x1b``."""
    return content if isinstance(content, Markup) else escape(visible(str(content), one_line=False))


def joined(*children: object) -> Markup:
    """The children one after the other; those that are no Markup are escaped."""
    return Markup("").join(map(text, children))


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """An element; children that are no Markup are escaped. ``class_`` is the attribute class; None leaves one out."""
    given = "".join(f' {key.rstrip("_")}="{text(value)}"' for key, value in attributes.items() if value is not None)
    content = "" if name in _VOID else f"{joined(*children)}</{name}>"
    # Names are ours, and values and children are escaped.
    return Markup(f"<{name}{given}>{content}")  # noqa: S704


def table(header: Sequence[object], rows: Sequence[Sequence[object]], kind: str | None = None) -> Markup:
    """A table whose first column names its rows; it scrolls by itself where it is too wide."""
    head = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in header))) if header else ""
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    return tag("div", tag("table", head, tag("tbody", *body), class_=kind), class_="wide")


def picture(figure: Figure, description: str) -> Markup:
    """A figure as an SVG image inside the page: it cannot run scripts, and it turns dark with the page."""
    content = io.StringIO()
    with styled():
        figure.savefig(content, format="svg", metadata={"Date": None})
    return image(adapting(content.getvalue()), description)


def image(svg: str, description: str) -> Markup:
    """An SVG file's content as an image inside the page."""
    encoded = base64.b64encode(svg.encode("utf-8")).decode("ascii")
    return tag("img", src=f"data:image/svg+xml;base64,{encoded}", alt=description)


def template(name: str) -> str:
    """A file of ``analysis/templates``: a style sheet, a script, or markup of our own."""
    return (files("analysis") / "templates" / name).read_text(encoding="utf-8")


save_page = save_text
