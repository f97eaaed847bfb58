r"""Products and arguments as one reads them: ``1\frac{4}{5}``, ``2(3)``, ``\cos 2t``, spelled out.

The parser takes ``2(3)`` for a mixed number and ``\cos 2t`` for cos 2, without a word.
"""

from __future__ import annotations

import re

from asyppo_cli.tasks.grading.latex import Tokens

_FUNCTION = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|\\ln|\\log|\\exp")
# What ends the argument of a function that is written without brackets: sin 2x + 1, sin x cos x, (sin x).
_ENDS = frozenset({"+", "-", "=", "<", ">", ",", ")", "]", "}", r"\}", r"\cdot", "*", "/", r"\le", r"\ge", "(", "|"})
# Variables that the parser takes for the functions of that name.
_LETTERS = frozenset({r"\gamma", r"\Gamma", r"\zeta", r"\beta"})


def explicit(tokens: Tokens, for_parser: bool = False) -> Tokens:
    """The same term with its mixed numbers as sums, products of numbers with a sign, arguments in brackets.

    ``for_parser`` also renames letters that math-verify's parser takes for functions.
    """
    return _bracketed(_multiplied(tokens, for_parser))


def _multiplied(tokens: Tokens, renamed: bool) -> Tokens:
    r"""``1\frac{4}{5}`` as a sum, and a sign between other factors: the parser takes ``2(3)`` for a mixed number."""
    out: list[str] = []
    i = 0
    while i < len(tokens):
        fraction = tokens[i + 1 : i + 8]
        kinds = tuple("0" if token.isdigit() else token for token in fraction)
        if tokens[i].isdigit() and kinds == (r"\frac", "{", "0", "}", "{", "0", "}"):
            out += ["(", tokens[i], "+", *fraction, ")"]
            i += 8
            continue
        if renamed and tokens[i] in _LETTERS:
            out.append(rf"\text{{greek{tokens[i][1:]}}}")
            i += 1
            continue
        number = tokens[i][0].isdigit()
        if out and ((number and out[-1] == ")") or (tokens[i] in ("(", r"\frac") and _is_factor(out[-1]))):
            out.append(r"\cdot")
        out.append(tokens[i])
        i += 1
    return tuple(out)


def _is_factor(token: str) -> bool:
    return token == ")" or token[0].isdigit()


def _bracketed(tokens: Tokens) -> Tokens:
    r"""``\cos 2t`` as ``\cos(2t)``: brackets around an argument that has none."""
    out: list[str] = []
    i = 0
    while i < len(tokens):
        out.append(tokens[i])
        if _FUNCTION.fullmatch(tokens[i]):
            i = _copy_scripts(tokens, i + 1, out)
            end = _argument_end(tokens, i)
            if end > i:
                out += ["(", *_bracketed(tokens[i:end]), ")"]
                i = end
        else:
            i += 1
    return tuple(out)


def _copy_scripts(tokens: Tokens, i: int, out: list[str]) -> int:
    r"""The ``^{2}`` or ``_{10}`` of a function."""
    while i + 1 < len(tokens) and tokens[i] in ("^", "_") and tokens[i + 1] == "{":
        end = _group_end(tokens, i + 1)
        out += tokens[i:end]
        i = end
    return i


def _argument_end(tokens: Tokens, begin: int) -> int:
    """Where the bare argument that begins here ends; ``begin`` itself if it is in brackets."""
    i = begin
    while i < len(tokens):
        token = tokens[i]
        if token == "{" and i > begin:
            i = _group_end(tokens, i)
            continue
        if token in _ENDS or token == "{" or (i > begin and _FUNCTION.fullmatch(token)):
            break
        i += 1
    return i


def _group_end(tokens: Tokens, begin: int) -> int:
    depth = 0
    for i in range(begin, len(tokens)):
        depth += (tokens[i] == "{") - (tokens[i] == "}")
        if depth == 0:
            return i + 1
    return len(tokens)
