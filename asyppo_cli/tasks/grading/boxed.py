"""Find the final answer of a response: the content of its last complete ``\\boxed{...}``."""

from __future__ import annotations

import re

# Alternatives in this order: a box that opens, any escaped character (so that \{ and \} do not count), a bare brace.
_TOKEN = re.compile(r"\\boxed\s*\{|\\.|[{}]", re.DOTALL)


def last_boxed(text: str) -> str | None:
    r"""Content of the last ``\boxed{...}`` to open among those that close, or None.

    One pass with a stack, linear in the length of the text whatever its braces; stray braces are ignored.
    """
    begin = text.find(r"\boxed")
    if begin < 0:
        return None
    # A backslash before \boxed may escape it (\\boxed is a line break and a word), so step back over all of them.
    while begin > 0 and text[begin - 1] == "\\":
        begin -= 1
    opened: list[int | None] = []
    best = (-1, -1)
    for token in _TOKEN.finditer(text, begin):
        kind = token.group()
        if kind == "{":
            opened.append(None)
        elif kind == "}":
            start = opened.pop() if opened else None
            if start is not None and start > best[0]:
                best = (start, token.start())
        elif kind.endswith("{") and kind.startswith(r"\boxed"):
            opened.append(token.end())
    return text[best[0] : best[1]] if best[0] >= 0 else None
