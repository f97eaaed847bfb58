r"""Numbers as answers give them: exact, with the percent sign, degree sign or unit that stands behind them.

``12``, ``-1.50``, ``4.5e33``, ``4.5 \cdot 10^{33}``, ``\frac{3}{4}``, ``3/4``, ``1\frac{4}{5}``, ``8\%``, ``30^\circ``,
``5.4\text{ cents}``. Arithmetic is that of fractions, whose size is limited.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from asyppo_cli.tasks.grading.latex import Tokens, is_text, text_of, write

# Longer numbers, or powers of ten, than this are left to algebra: their arithmetic is not instant.
_MOST_DIGITS = 400
_MOST_EXPONENT = 400
# A decimal that stands for a number without finite decimals must show so many digits, in front and behind the point.
_ENOUGH_DIGITS = 6

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_POWER = r"(?:e|E|\\cdot10\^|\*10\^)\{?([+-]?[0-9]{1,4})\}?"
_DECIMAL = re.compile(rf"([+-]?)({_NUMBER})(?:{_POWER})?")
_TEN = re.compile(r"([+-]?)10\^\{([+-]?[0-9]{1,4})\}")
_RATIO = re.compile(rf"([+-]?)([0-9]*)\\frac\{{([+-]?)({_NUMBER})\}}\{{({_NUMBER})\}}")
_SLASH = re.compile(rf"([+-]?)({_NUMBER})/({_NUMBER})")
# fmt: off
_UNITS = {
    "cm": "cm", "centimeter": "cm", "centimetre": "cm", "m": "m", "meter": "m", "metre": "m", "km": "km",
    "kilometer": "km", "kilometre": "km", "mm": "mm", "millimeter": "mm", "in": "in", "inch": "in", "inche": "in",
    "ft": "ft", "feet": "ft", "foot": "ft", "yd": "yd", "yard": "yd", "mile": "mi", "mi": "mi", "s": "s", "sec": "s",
    "second": "s", "min": "min", "minute": "min", "h": "h", "hr": "h", "hour": "h", "day": "day", "week": "week",
    "month": "month", "year": "yr", "yr": "yr", "g": "g", "gram": "g", "kg": "kg", "kilogram": "kg", "lb": "lb",
    "pound": "lb", "cent": "cent", "dollar": "usd", "usd": "usd", "degree": "deg", "deg": "deg", "radian": "rad",
    "rad": "rad", "percent": "percent", "liter": "l", "litre": "l", "l": "l", "ml": "ml", "mph": "mph", "unit": "",
}
# fmt: on
_UNIT_WORDS = re.compile(r"[a-zA-Z°$.^/ ]+")
_NO_UNIT = frozenset({"not", "no", "or", "and", "is", "than", "if", "where", "mod", "base"})


@dataclass(frozen=True)
class Quantity:
    """An exact value; ``unit`` is "", "percent", "deg", a known unit, or "?" for unknown words.

    ``decimals`` are the digits behind the point of a decimal number, None for other exact forms.
    """

    value: Fraction
    unit: str
    decimals: int | None
    digits: int


def quantity(tokens: Tokens) -> Quantity | None:
    """The number that the tokens are, or None."""
    body, unit = strip_unit(tokens)
    text = write(body)
    if len(text) > _MOST_DIGITS or not text:
        return None
    return _decimal(text, unit) or _ratio(text, unit)


def strip_unit(tokens: Tokens) -> tuple[Tokens, str]:
    """What is left without a trailing unit, and the unit's canonical name."""
    if len(tokens) > 1 and tokens[-1] == "%":
        return tokens[:-1], "percent"
    if len(tokens) > 1 and tokens[-1] == "°":
        return tokens[:-1], "deg"
    if len(tokens) > 4 and tokens[-4:] == ("^", "{", r"\circ", "}"):
        return tokens[:-4], "deg"
    power = "".join(tokens[-2:-1]) if tokens[-4:-2] == ("^", "{") and tokens[-1:] == ("}",) else ""
    place = -5 if power in ("2", "3") else -1
    if len(tokens) > -place and is_text(tokens[place]):
        words = text_of(tokens[place])
        if _is_unit(words):
            return tokens[:place], _unit(words, power if place == -5 else "")
    return _strip_plain_unit(tokens)


def same(gold: Quantity, given: Quantity, tolerance: float) -> bool:
    """Whether a number is the gold number: units may be left out, but if both have one they must agree.

    A percentage is its number or that divided by a hundred, an angle in degrees its number. ``tolerance`` is relative
    to the gold value. A decimal may stand for a fraction that has no finite decimals if it is right in all its digits,
    and has at least six of them, also behind the point.
    """
    if gold.unit and given.unit and gold.unit != given.unit and "?" not in (gold.unit, given.unit):
        return False
    if gold.value == given.value:
        return True
    # What stands for a hundredth on one side only.
    if gold.unit != given.unit and "percent" in (gold.unit, given.unit):
        a, b = (q.value / 100 if q.unit == "percent" else q.value for q in (gold, given))
        if a == b:
            return True
    if tolerance and abs(gold.value - given.value) <= Fraction(tolerance) * abs(gold.value):
        return True
    return gold.decimals is None and _rounds_to(gold.value, given)


def _rounds_to(exact: Fraction, given: Quantity) -> bool:
    if given.decimals is None or given.decimals < _ENOUGH_DIGITS or given.digits < _ENOUGH_DIGITS:
        return False
    return not _is_finite(exact) and abs(exact - given.value) <= Fraction(1, 2 * 10**given.decimals)


def _is_finite(value: Fraction) -> bool:
    """Whether a fraction has finitely many decimals."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _decimal(text: str, unit: str) -> Quantity | None:
    ten = _TEN.fullmatch(text)
    found = None if ten else _DECIMAL.fullmatch(text)
    if ten is not None:
        sign, number, exponent = ten.group(1), "1", int(ten.group(2))
    elif found is not None:
        sign, number, exponent = found.group(1), found.group(2), int(found.group(3) or 0)
    else:
        return None
    if abs(exponent) > _MOST_EXPONENT:
        return None
    value = Fraction(number) * Fraction(10) ** exponent
    behind = max(0, len(number.partition(".")[2]) - exponent)
    significant = len(number.replace(".", "").lstrip("0"))
    return Quantity(-value if sign == "-" else value, unit, behind, significant)


def _ratio(text: str, unit: str) -> Quantity | None:
    found = _RATIO.fullmatch(text)
    if found is not None:
        sign, whole, inner, above, below = found.groups()
        if whole and inner:
            return None
    else:
        slash = _SLASH.fullmatch(text)
        if slash is None:
            return None
        sign, above, below = slash.groups()
        whole = inner = ""
    if Fraction(below) == 0:
        return None
    value = Fraction(whole or 0) + Fraction(above) / Fraction(below)
    return Quantity(-value if (sign == "-") != (inner == "-") else value, unit, None, 0)


def _is_unit(words: str) -> bool:
    parts = words.lower().split()
    return len(parts) <= 3 and not _NO_UNIT & set(parts) and _UNIT_WORDS.fullmatch(words) is not None


def _unit(words: str, power: str) -> str:
    """Canonical name with its power, as in cm^2; "?" for words that are no known unit."""
    words = words.lower().replace(".", "").strip()
    for word, exponent in (("square ", "2"), ("sq ", "2"), ("cubic ", "3")):
        if words.startswith(word):
            words, power = words.removeprefix(word), exponent
    words, _, inside = words.partition("^")
    known = _UNITS.get(words) if words in _UNITS else _UNITS.get(words.removesuffix("s"))
    if known is None:
        return "?"
    power = inside or power
    return f"{known}^{power}" if known and power else known


def _strip_plain_unit(tokens: Tokens) -> tuple[Tokens, str]:
    """A unit written without ``\\text``: only one of at least two letters, right behind a number."""
    letters = 0
    end = len(tokens) - 4 if tokens[-4:-2] == ("^", "{") and tokens[-2:-1] in (("2",), ("3",)) else len(tokens)
    while letters < end and len(tokens[end - 1 - letters]) == 1 and tokens[end - 1 - letters].isalpha():
        letters += 1
    start = end - letters
    if letters < 2 or start < 1 or not (tokens[start - 1][-1].isdigit() or tokens[start - 1] == "}"):
        return tokens, ""
    word = "".join(tokens[start:end])
    for prefix in ("square", "sq", "cubic"):
        word = word.replace(prefix, prefix + " ", 1) if word.startswith(prefix) else word
    unit = _unit(word, tokens[end + 2] if end < len(tokens) else "")
    return (tokens, "") if unit == "?" else (tokens[:start], unit)
