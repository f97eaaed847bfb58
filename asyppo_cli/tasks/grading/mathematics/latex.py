r"""One notation for what LaTeX and keyboards write in many ways: an answer as a tuple of canonical tokens.

Nothing here changes a meaning: ``$``, ``\left``, spacing, ``\dfrac``, ``\frac12``, ``x^2``, thousands separators,
full-width characters, characters like π. Equal tokens are equal answers. Linear in the length.
"""

from __future__ import annotations

import re
import unicodedata

Tokens = tuple[str, ...]

# Longer answers are compared as they stand: no gold answer is a tenth as long.
MAX_LENGTH = 2_000

# fmt: off
_CHARACTERS = str.maketrans({
    "−": "-", "–": "-", "—": "-", "×": r"\cdot ", "·": r"\cdot ", "⋅": r"\cdot ", "∗": "*", "÷": "/", "π": r"\pi ",
    "∞": r"\infty ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
    "⩽": r"\le ", "⩾": r"\ge ", "≈": r"\approx ", "≡": r"\equiv ", "±": r"\pm ", "∓": r"\mp ", "√": r"\sqrt ",
    "∛": r"\sqrt[3]", "°": r"^\circ ", "∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}",
    "∖": r"\setminus ", "⁄": "/", "∕": "/", "’": "'", "′": "'", "″": "''", "∠": r"\angle ", "、": ",", "。": ".",
    "〈": r"\langle ", "〉": r"\rangle ", "⟨": r"\langle ", "⟩": r"\rangle ", "…": r"\ldots ", "⋯": r"\ldots ",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "℃": r"^\circ C", "℉": r"^\circ F",
    "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ", "θ": r"\theta ", "λ": r"\lambda ", "μ": r"\mu ",
    "ρ": r"\rho ", "σ": r"\sigma ", "τ": r"\tau ", "φ": r"\phi ", "ω": r"\omega ", "Δ": r"\Delta ", "Ω": r"\Omega ",
    "或": r"\text{or}", "和": r"\text{and}", "与": r"\text{and}", "是": r"\text{是}",
})
_COMMANDS = {
    r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\cfrac": r"\frac", r"\dbinom": r"\binom", r"\tbinom": r"\binom",
    r"\geq": r"\ge", r"\geqslant": r"\ge", r"\leq": r"\le", r"\leqslant": r"\le", r"\neq": r"\ne", r"\lt": "<",
    r"\gt": ">", r"\times": r"\cdot", "*": r"\cdot", r"\lbrace": r"\{", r"\rbrace": r"\}", r"\lbrack": "[",
    r"\rbrack": "]", r"\lparen": "(", r"\rparen": ")", r"\varnothing": r"\emptyset", r"\dots": r"\ldots",
    r"\cdots": r"\ldots", r"\%": "%", r"\degree": "°", r"\lor": r"\vee", r"\land": r"\wedge", r"\sim": r"\approx",
    r"\simeq": r"\approx", r"\thickapprox": r"\approx", r"\colon": ":", r"\sb": "_", r"\sp": "^", r"\vert": "|",
    r"\lvert": "|", r"\rvert": "|", r"\mid": "|", r"\div": "/", r"\backslash": r"\setminus", r"\reals": r"\mathbb",
    r"\varphi": r"\phi", r"\varepsilon": r"\epsilon", r"\vartheta": r"\theta", r"\top": "T", r"\cr": "\\\\",
    r"\newline": "\\\\", r"\lg": r"\lg", r"\dotsc": r"\ldots", r"\dotsb": r"\ldots", r"\lnot": r"\neg",
    ">=": r"\ge", "<=": r"\le", "!=": r"\ne", "**": "^",
}
_DROPPED = frozenset(rf"\{name}" for name in (
    "left", "right", "mleft", "mright", "middle", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr",
    "biggl", "biggr", "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "quad", "qquad", ",", ";", ":",
    "!", " ", ">", "-", "/", "rm", "bf", "it", "boldsymbol", "bm", "nonumber", "thinspace", "hfill", "notag",
    "mathstrut", "large", "Large", "LARGE", "huge", "Huge", "small", "normalsize", "bold", "mathopen", "mathclose",
    "hline", "enspace", "boxed", "fbox", "underline", "ensuremath", "mathord",
)) | {"~", "$"}
# fmt: on
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))
_SCRIPTS = re.compile(f"[{''.join(_SUPERSCRIPTS)}]+|[{''.join(_SUBSCRIPTS)}]+")
_VULGAR = re.compile("[¼-¾⅐-⅞]")
_TEXT = r"\\(?:text|textbf|textit|textrm|textnormal|textsf|texttt|mathrm|mathbf|mathit|mathsf|mbox|hbox|operatorname)"
_TEXT_GROUP = re.compile(_TEXT + r"\*?\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{([a-zA-Z]*matrix|array|cases|aligned|gathered)\*?\}(?:\s*\{[lcr|\s]*\})?")
_SPACE_COMMAND = re.compile(r"\\(?:h|v)space\*?\{[^{}]*\}|\\(?:h|v)?phantom\{[^{}]*\}|\\(?:text)?color\{[^{}]*\}")
# Digits in groups of three behind {,} or ,\! or \, are one number; behind a comma and a blank they are another.
_THOUSANDS = re.compile(r"(?<=[0-9])(?:\{,\}|,\\!|\\!,|\\,|\\;|\\ |~)\s*(?=[0-9]{3}(?![0-9]))")
_SPACED = re.compile(r"[-+]?[0-9]{1,3}(?: [0-9]{3})+(?:\.[0-9]+)?")
_GROUPED = re.compile(r"(?<![0-9,.])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")
# One such number, with a name or sign in front and a unit behind, but not in brackets: there, commas separate.
_ONE_GROUPED = re.compile(
    r"[^0-9,;(\[{]*[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?(?:\x02[^\x03]*\x03|\^\{?[0-9]\}?|[^0-9,;()\[\]{}])*"
)
_MIXED = re.compile(r"(?<![\w.^_}])([0-9]+) +([0-9]+)/([0-9]+)(?![\w.])")
_CURRENCY = re.compile(r"(?:\\\$|(?<![\w}])\$(?=\s*[0-9.,]+\s*\Z))\s*([0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)")
_SIGNS = {"€": "euros", "£": "pounds sterling", "¥": "yen", "₹": "rupees"}
_SIGN = re.compile(rf"([{''.join(_SIGNS)}])\s*([0-9][0-9,]*(?:\.[0-9]+)?)")
_DELIMITERS = re.compile(r"(?<!\\)\\[()\[\]]")
_PRIMES = re.compile("'+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_TOKEN = re.compile(
    r"\\(?:begin|end)[a-z]+|\\[a-zA-Z]+|\\.|[0-9]+(?:\.[0-9]*)?|\.[0-9]+|\x02[^\x03]*\x03|>=|<=|!=|\*\*|\S", re.DOTALL
)
_NAMES = "(?:arc|a)?(?:sin|cos|tan|cot|sec|csc)h?|ln|log|lg|exp"
_FUNCTION = re.compile(_NAMES + "|gcd|lcm|max|min|det|e|i|d|pi")
# Plain words that are mathematics, outside of text.
_WORDS = re.compile(
    rf"\x02[^\x03]*\x03|\\[a-zA-Z]+|np\.|(?<![a-zA-Z])(?:sqrt|(?:pi|infinity|infty|oo|inf|and|or|{_NAMES})(?![a-zA-Z]))"
)
_WORD_MEANINGS = {
    "infinity": r"\infty ", "inf": r"\infty ", "oo": r"\infty ", "and": "\x02and\x03", "or": "\x02or\x03", "np.": "",
}  # fmt: skip
# Units of one letter, where they stand behind a number and in text.
_SHORT_UNITS = frozenset("mshgKNJWVALCFT$")
_NUMBER_IN_TEXT = re.compile(r"([-+]?[0-9][0-9.,:]*) ?([^\W\d_.]+(?:[ .]+[^\W\d_]+){0,2}\.?)$")
_REPEATS = frozenset({r"\overline", r"\dot", r"\bar"})
_ANSWER = re.compile(r"(?:so |thus |hence )?(?:the )?(?:final )?answers?(?: is| are)?\s*[:=]?", re.IGNORECASE)


def canonical(text: str) -> Tokens:
    """The tokens of an answer; equal tokens mean equal answers."""
    text = _DELIMITERS.sub(" ", _CONTROL.sub("\ufffd", _characters(text))).strip()
    text = text.strip("*") if text.startswith("**") and text.endswith("**") else text
    text = _SPACE_COMMAND.sub(" ", _MIXED.sub(r"\1\\frac{\2}{\3}", text))
    text = _THOUSANDS.sub("", text)
    text = text.replace(" ", "") if _SPACED.fullmatch(text) else text
    text = _CURRENCY.sub(r"\1\\text{dollars}", text)
    text = _SIGN.sub(lambda found: rf"{found[2]}\text{{{_SIGNS[found[1]]}}}", text)
    text = _TEXT_GROUP.sub(_text, _ENVIRONMENT.sub(_environment, text))
    if _ONE_GROUPED.fullmatch(text):
        text = _GROUPED.sub(lambda found: found.group().replace(",", ""), text)
    text = _WORDS.sub(_word, text)
    text = _PRIMES.sub(lambda found: "^{" + r"\prime " * len(found.group()) + "}", text)
    text = text.rstrip(" .,;:\n\t") if not text.endswith(("...", "\\,")) else text
    text = text.replace("...", r"\ldots ")
    tokens = [token for token in map(_rename, _TOKEN.findall(text)) if token not in _DROPPED]
    # 0.\overline{3} keeps the point that 12. loses.
    following = [*tokens[1:], ""]
    return _braced(
        [t if after in _REPEATS else t.rstrip(".") or t for t, after in zip(tokens, following, strict=False)]
    )


def write(tokens: Tokens) -> str:
    """LaTeX of the tokens, with a space only where two of them would run together."""
    out: list[str] = []
    for token in tokens:
        token = r"\text{" + token[1:-1] + "}" if is_text(token) else token
        command = out and out[-1].startswith("\\") and out[-1][-1].isalpha() and token[0].isalpha()
        out.append(" " + token if command or (out and out[-1][-1].isdigit() and token[0].isdigit()) else token)
    return "".join(out)


def is_text(token: str) -> bool:
    """Whether a token is words rather than mathematics."""
    return token.startswith("\x02")


def text_of(token: str) -> str:
    """The words of a text token."""
    return token[1:-1]


def _characters(text: str) -> str:
    """Full-width characters, superscripts, vulgar fractions and symbols in ASCII."""
    if text.isascii():
        return text
    text = "".join(unicodedata.normalize("NFKC", c) if "\uff01" <= c <= "\uff5e" or c.isspace() else c for c in text)
    text = _VULGAR.sub(
        lambda found: "\\frac{{{}}}{{{}}}".format(*unicodedata.normalize("NFKC", found[0]).split("⁄")), text
    )
    return _SCRIPTS.sub(_script, text.translate(_CHARACTERS))


def _script(found: re.Match[str]) -> str:
    characters = found.group()
    sign, table = ("^", _SUPERSCRIPTS) if characters[0] in _SUPERSCRIPTS else ("_", _SUBSCRIPTS)
    return f"{sign}{{{''.join(table[character] for character in characters)}}}"


def _rename(token: str) -> str:
    if token.startswith(".") and len(token) > 1:
        return "0" + token
    return _COMMANDS.get(token, token)


def _word(found: re.Match[str]) -> str:
    word = found.group()
    return word if word[0] in "\x02\\" else _WORD_MEANINGS.get(word, f"\\{word} ")


def _environment(found: re.Match[str]) -> str:
    """Kinds of matrix brackets are alike but for determinants (v) and norms (V)."""
    name = found.group(2).lower()
    kind = "vmatrix" if name.startswith("vm") else "cases" if name in ("cases", "aligned", "gathered") else "matrix"
    return f"\\{found.group(1)}{kind} "


def _text(found: re.Match[str]) -> str:
    """Text that is mathematics is set free; the rest becomes one token, marked by control characters."""
    words = " ".join(re.sub(r"~|\\[ ,;]|\$", " ", found.group(1)).split())
    if _FUNCTION.fullmatch(words):
        return f"\\{words} " if len(words) > 1 else words
    if _ANSWER.fullmatch(words):
        return " "
    if not any(character.isalpha() or character in "$°%" for character in words):
        return f" {words} "
    before = found.string[: found.start()].rstrip(" ~\\,;!/")
    behind = before[-1:].isdigit() or (before.endswith(("}", ")", "{")) and not before.endswith(("^{", "_{")))
    if len(words) == 1 and words.isascii() and not (behind and words in _SHORT_UNITS):
        return f" {words} "
    measured = _NUMBER_IN_TEXT.match(words)
    number, words = (measured[1], measured[2]) if measured else ("", words)
    return f" {number} \x02" + re.sub(r"[{}]", "", words) + "\x03"


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
            unit = (token, *_argument(units))
            unit = _index(unit) if token == "_" else unit
            index = [units.pop()] if token == "^" and units and units[-1][0] == "_" else []
            units += [unit, *index]  # x^2_1 is x_1^2
        elif token == r"\sqrt":
            units.append((token, *_optional(units), *_argument(units)))
        elif token in (r"\frac", r"\binom"):
            units.append((token, *_argument(units, digits=1), *_argument(units, digits=1)))
        else:
            units.append((token,))
    return tuple(token for unit in reversed(units) for token in unit)


def _index(unit: Tokens) -> Tokens:
    r"""``_{\max}``, ``_{\text{max}}`` and ``_{max}`` are one."""
    if unit[2:3] in ((r"\max",), (r"\min",)) or (len(unit) == 4 and is_text(unit[2])):
        return ("_", "{", *unit[2].strip("\\\x02\x03"), "}")
    return unit


def _group(units: list[Tokens]) -> Tokens:
    """Everything down to the brace that closes, off the stack."""
    inner: list[str] = []
    while units[-1] != ("}",):
        inner += units.pop()
    units.pop()
    return ("{", *inner, "}")


def _argument(units: list[Tokens], digits: int | None = None) -> Tokens:
    r"""The topmost unit in braces; of a number at most the given digits: ``\frac12`` is a half."""
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
