r"""One spelling for what LaTeX and keyboards spell in many ways: an answer as a tuple of canonical tokens.

What is done here never changes a meaning: ``$``, ``\left``, spacing, ``\dfrac``, ``\frac12``, ``x^2``, thousands
separators, characters like π. Answers whose tokens are equal are equal. All of it is linear in the length.
"""

from __future__ import annotations

import re

Tokens = tuple[str, ...]

# Beyond this many characters an answer is not read but only compared as it stands: no gold answer is a tenth as long.
LONGEST = 2_000

# fmt: off
_CHARACTERS = str.maketrans({
    "−": "-", "–": "-", "×": r"\cdot ", "·": r"\cdot ", "⋅": r"\cdot ", "∗": "*", "÷": "/", "π": r"\pi ",
    "∞": r"\infty ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
    "≈": r"\approx ", "±": r"\pm ", "√": r"\sqrt ", "°": r"^\circ ", "∅": r"\emptyset ", "θ": r"\theta ",
    "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "λ": r"\lambda ", "ω": r"\omega ", "ℝ": r"\mathbb{R}",
    "²": "^2", "³": "^3", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "’": "'", "′": "'",
})
_COMMANDS = {
    r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\cfrac": r"\frac", r"\dbinom": r"\binom", r"\tbinom": r"\binom",
    r"\geq": r"\ge", r"\geqslant": r"\ge", r"\leq": r"\le", r"\leqslant": r"\le", r"\neq": r"\ne", r"\lt": "<",
    r"\gt": ">", r"\times": r"\cdot", r"\lbrace": r"\{", r"\rbrace": r"\}", r"\lbrack": "[", r"\rbrack": "]",
    r"\lparen": "(", r"\rparen": ")", r"\varnothing": r"\emptyset", r"\dots": r"\ldots", r"\cdots": r"\ldots",
    r"\%": "%", r"\degree": "°", r"\lor": r"\vee", r"\land": r"\wedge", r"\sim": r"\approx", r"\simeq": r"\approx",
    r"\thickapprox": r"\approx", r"\tan^{-1}": r"\arctan", r"\colon": ":", r"\sb": "_", r"\sp": "^", r"\vert": "|",
    r"\lvert": "|", r"\rvert": "|", r"\div": "/", r"\implies": r"\Rightarrow", r"\iff": r"\Leftrightarrow",
}
_DROPPED = frozenset({
    r"\left", r"\right", r"\mleft", r"\mright", r"\big", r"\Big", r"\bigg", r"\Bigg", r"\bigl", r"\bigr", r"\Bigl",
    r"\Bigr", r"\biggl", r"\biggr", r"\displaystyle", r"\textstyle", r"\limits", r"\nolimits", r"\quad", r"\qquad",
    r"\,", r"\;", r"\:", r"\!", r"\ ", r"\>", "~", "$", r"\-", r"\/", r"\rm", r"\bf",
    r"\it", r"\boldsymbol", r"\nonumber", r"\hspace", r"\thinspace", r"\hfill", r"\notag", r"\mathstrut",
})
# fmt: on
_TEXT = r"\\(?:text|textbf|textit|textrm|textnormal|textsf|texttt|mathrm|mathbf|mathit|mathsf|mbox|hbox|operatorname)"
_TEXT_GROUP = re.compile(_TEXT + r"\*?\s*\{([^{}]*)\}")
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{([a-zA-Z]*matrix|array|cases|aligned)\*?\}(?:\s*\{[lcr|\s]*\})?")
# Digits in groups of three behind {,} or ,\! or \, are one number; behind a comma and a blank they are another.
_THOUSANDS = re.compile(r"(?<=[0-9])(?:\{,\}|,\\!|\\!,|\\,)\s*(?=[0-9]{3}(?![0-9]))")
_GROUPED = re.compile(r"(?<![0-9,.])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")
# One such number, with a name or sign in front and a unit behind, but not in brackets: there, commas separate.
_ONE_GROUPED = re.compile(
    r"[^0-9,;(\[{]*[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?(?:\\text\{[^{}0-9,]*\}|\x02[^\x03]*\x03|\^\{?[0-9]\}?|[^0-9,;()\[\]{}])*"
)
_CURRENCY = re.compile(r"(?:\\\$|(?<![\w}])\$(?=\s*[0-9.,]+\s*\Z))\s*([0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)")
_DELIMITERS = re.compile(r"(?<!\\)\\[()\[\]]")
_PRIMES = re.compile("'+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_TOKEN = re.compile(
    r"\\(?:begin|end)[a-z]+matrix|\\[a-zA-Z]+|\\.|[0-9]+(?:\.[0-9]*)?|\.[0-9]+|\x02[^\x03]*\x03|>=|<=|!=|\*\*|\S",
    re.DOTALL,
)
_PAIRS = {">=": r"\ge", "<=": r"\le", "!=": r"\ne", "**": "^"}
_FUNCTION = re.compile("(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|ln|log|exp|gcd|lcm|max|min|det")
# Plain words that are mathematics, outside of text.
_WORDS = re.compile(
    r"\x02[^\x03]*\x03|(?<![a-zA-Z\\])(?:sqrt|pi|infinity|infty|oo|inf|and|or|(?:arc)?(?:sin|cos|tan)h?|ln|log|exp)(?![a-zA-Z])|np\."
)
_WORD_MEANINGS = {
    "sqrt": r"\sqrt ", "pi": r"\pi ", "infinity": r"\infty ", "infty": r"\infty ", "inf": r"\infty ", "oo": r"\infty ",
    "and": "\x02and\x03", "or": "\x02or\x03", "np.": "",
}  # fmt: skip
# Units of one letter, where they stand behind a number and in text.
_SHORT_UNITS = frozenset("mshgKNJWVAL")


def canonical(text: str) -> Tokens:
    """The tokens of an answer; equal tokens mean equal answers."""
    text = text.translate(_CHARACTERS).strip()
    text = _DELIMITERS.sub(" ", _CONTROL.sub("\ufffd", text))
    text = _THOUSANDS.sub("", text)
    text = _CURRENCY.sub(r"\1\\text{dollars}", text)
    text = _ENVIRONMENT.sub(_environment, text)
    text = _TEXT_GROUP.sub(_text, text)
    if _ONE_GROUPED.fullmatch(text):
        text = _GROUPED.sub(lambda found: found.group().replace(",", ""), text)
    text = _WORDS.sub(_word, text)
    text = _PRIMES.sub(lambda found: "^{" + r"\prime " * len(found.group()) + "}", text)
    text = text.rstrip(" .,;:。\n\t") if not text.endswith("...") else text
    return _braced([token for token in map(_rename, _TOKEN.findall(text)) if token not in _DROPPED])


def write(tokens: Tokens) -> str:
    """LaTeX of the tokens, with a space only where two of them would run together."""
    out: list[str] = []
    for token in tokens:
        if token.startswith("\x02"):
            token = r"\text{" + token[1:-1] + "}"
        glued = out and (
            (out[-1].startswith("\\") and out[-1][-1].isalpha() and token[0].isalpha())
            or (out[-1][-1].isdigit() and token[0].isdigit())
        )
        out.append(" " + token if glued else token)
    return "".join(out)


def is_text(token: str) -> bool:
    """Whether a token is words rather than mathematics."""
    return token.startswith("\x02")


def text_of(token: str) -> str:
    """The words of a text token."""
    return token[1:-1]


def _rename(token: str) -> str:
    token = _PAIRS.get(token, token)
    if token.startswith(".") and len(token) > 1:
        return "0" + token
    if token[0].isdigit():
        return token.rstrip(".") if token.endswith(".") else token
    return _COMMANDS.get(token, token)


def _word(found: re.Match[str]) -> str:
    word = found.group()
    return word if word.startswith("\x02") else _WORD_MEANINGS.get(word, f"\\{word} ")


def _environment(found: re.Match[str]) -> str:
    """Kinds of matrix brackets are alike but for determinants (v) and norms (V)."""
    kind = "v" if found.group(2).lower().startswith("vm") else ""
    return f"\\{found.group(1)}{kind}matrix "


def _text(found: re.Match[str]) -> str:
    """Text that is mathematics is set free; the rest becomes one token, marked by control characters."""
    words = " ".join(found.group(1).replace("~", " ").replace(r"\ ", " ").replace(r"\,", " ").split())
    if words in ("and", "or"):
        return f"\x02{words}\x03"
    if _FUNCTION.fullmatch(words):
        return f"\\{words} "
    before = found.string[: found.start()].rstrip(" ~\\,;!")[-1:]
    if words in _SHORT_UNITS and (before.isdigit() or before == "}"):
        return f"\x02{words}\x03"
    if len(words) <= 1 or not any(character.isalpha() for character in words):
        return f" {words} "
    return f"\x02{words}\x03"


def _braced(tokens: list[str]) -> Tokens:
    r"""Arguments of ``\frac``, ``\binom``, ``\sqrt``, ``^`` and ``_`` in braces.

    From right to left, so that the arguments of a command are whole units, last one on top, when it is met.
    """
    units: list[Tokens] = []
    closing = 0
    for token in reversed(tokens):
        closing += token == "}"
        if token == "{" and closing:
            closing -= 1
            units.append(_group(units))
        elif token in ("^", "_"):
            units.append((token, *_argument(units)))
        elif token == r"\sqrt":
            units.append((token, *_optional(units), *_argument(units)))
        elif token in (r"\frac", r"\binom"):
            units.append((token, *_argument(units, digits=1), *_argument(units, digits=1)))
        else:
            units.append((token,))
    return tuple(token for unit in reversed(units) for token in unit)


def _group(units: list[Tokens]) -> Tokens:
    """Everything down to the brace that closes, off the stack."""
    inner: list[str] = []
    while units[-1] != ("}",):
        inner += units.pop()
    units.pop()
    return ("{", *inner, "}")


def _argument(units: list[Tokens], digits: int | None = None) -> Tokens:
    r"""The topmost unit in braces; of a number at most so many digits: ``\frac12`` is a half."""
    if not units or units[-1] == ("}",):
        return ()
    unit = units.pop()
    if unit[0] == "{":
        return unit
    if unit == ("(",):
        return _round(units)
    if unit == ("-",) and units and units[-1] != ("}",):
        unit = (*unit, *units.pop())
    elif digits and unit[0].isdigit() and len(unit[0]) > digits:
        units.append((unit[0][digits:],))
        unit = (unit[0][:digits],)
    return ("{", *unit, "}")


def _round(units: list[Tokens]) -> Tokens:
    """What is between round brackets, the first of which is off the stack, in braces: ``sqrt(3)`` and ``e^(x+1)``."""
    inner: list[str] = []
    depth = 1
    while units and units[-1] != ("}",):
        unit = units.pop()
        depth += (unit == ("(",)) - (unit == (")",))
        if depth == 0:
            return ("{", *inner, "}")
        inner += unit
    return ("(", *inner)


def _optional(units: list[Tokens]) -> Tokens:
    r"""The ``[3]`` of ``\sqrt[3]{x}``."""
    if not units or units[-1] != ("[",) or ("]",) not in units:
        return ()
    taken: list[str] = []
    while not taken or taken[-1] != "]":
        taken += units.pop()
    return tuple(taken)
