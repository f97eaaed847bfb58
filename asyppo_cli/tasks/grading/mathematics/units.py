r"""Units behind a number: what they measure and how large they are, ``\text{ cm}^2``, ``km/h``, ``°C``, ``million``.

Words that change a number (million, dozen, percent) are its factor. Other words are a unit of their own, equal only to
itself; words that may change what the number says (less, or, not, east) make the text no quantity at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from asyppo_cli.tasks.grading.mathematics.latex import Tokens, is_text, text_of


@dataclass(frozen=True)
class MeasureUnit:
    """``dimension`` maps base units to powers; ``factor`` is the size in base units. ``words``: unknown words."""

    dimension: tuple[tuple[str, int], ...] = ()
    factor: Fraction = field(default_factory=lambda: Fraction(1))
    words: str = ""

    @property
    def is_percent(self) -> bool:
        """Whether it is a hundredth."""
        return self.dimension == (("percent", 1),)

    @property
    def name(self) -> str:
        """For explanations."""
        powers = " ".join(base if power == 1 else f"{base}^{power}" for base, power in self.dimension)
        return self.words or (powers if self.factor == 1 else f"{self.factor} {powers}")


NO_UNIT = MeasureUnit()
DEGREES = MeasureUnit((("degree", 1),))


def _table(text: str) -> dict[str, tuple[str, Fraction]]:
    rows = (entry.split() for entry in text.split(";"))
    return {name: (base, Fraction(size)) for base, size, *names in rows for name in names}


# Base, size in it, names; a plural s is taken off before.
_UNITS = _table(
    "m 1 m meter metre 米;m 0.0254 in inch inche;m 0.3048 ft foot feet;m 0.9144 yd yard;m 1609.344 mi mile;"
    "m 1/10000000000 Å angstrom ångström;m 9460730472580800 lightyear;s 1 s sec second 秒;s 60 min minute 分钟;"
    "s 3600 h hr hour 小时;s 86400 d day 天;s 604800 week wk;month 1 month;month 12 yr year 年;g 1 g gram gm;"
    "g 453.59237 lb lbs pound;g 28.349523125 oz ounce;g 1000000 t ton tonne;usd 1 dollar usd buck;"
    "usd 1/100 cent ¢ penny pennie;"
    "usd 1/20 nickel;usd 1/10 dime;usd 1/4 quarter;euro 1 euro;gbp 1 poundssterling sterling;yen 1 yen 元 yuan rmb;"
    "inr 1 rupee rs;degree 1 degree deg ° 度;degree 1/60 arcmin arcminute;rad 1 rad radian;l 1 l liter litre;"
    "percent 1 percent % pct;"
    "degC 1 °c celsius degreecelsiu degc;degF 1 °f fahrenheit degreefahrenheit degf;K 1 K kelvin;N 1 N newton;"
    "J 1 J joule;J 4.184 cal calorie;"
    "J 1.602176634e-19 eV electronvolt;W 1 W watt;V 1 V volt;A 1 A amp ampere;"
    "Pa 1 Pa pascal;Hz 1 Hz hertz;ohm 1 Ω ohm;C 1 C coulomb;mol 1 mol mole;F 1 F farad;T 1 T tesla;erg 1 erg;"
    "am 1 am a.m. a.m;pm 1 pm p.m. p.m;bit 1 bit;bit 8 byte;mph 1 mph;one 1000 thousand;one 1000000 million;"
    "one 1000000000 billion;one 1000000000000 trillion;one 100 hundred;one 12 dozen;one 20 score;one 144 gross;"
    "one 100000 lakh;one 10000000 crore;one 2 pair couple;one 1/2 half halve;one 1/3 third;one 1/10 tenth;"
    "one 1/100 hundredth;one 1/1000 thousandth;one 10000 万;one 100000000 亿;unit 1 unit"
)  # fmt: skip
_PREFIXES = {"n": -9, "μ": -6, "µ": -6, "u": -6, "m": -3, "c": -2, "d": -1, "k": 3, "M": 6, "G": 9, "T": 12, "p": -12}
_LONG_PREFIXES = {"nano": -9, "micro": -6, "milli": -3, "centi": -2, "deci": -1, "kilo": 3, "mega": 6, "giga": 9}
_PREFIXED_WORDS = "m s g J W V A N Pa Hz eV l L F T K C mol ohm Ω cal bit byte "
_PREFIXED = frozenset(_PREFIXED_WORDS.split())
# These change what a number says, or say something else than what is counted.
_REFUSED_WORDS = (
    "not no or and is than if where mod base less more least most about approximately almost over under above "
    "below before after plus minus times squared cubed factorial to from except but either neither nor zero "
    "one two three four five six seven eight nine ten negative east west north south left right up down prime "
    "inverse root only false true impossible fifth sixth seventh eighth ninth quarter quadrillion mod modulo "
    "choose per "
)
_REFUSED = frozenset(_REFUSED_WORDS.split())
# Where these stand before a degree sign, it belongs to an angle inside.
_OPERATIONS = frozenset({r"\sin", r"\cos", r"\tan", r"\cot", r"\sec", r"\csc", "=", ","})
_WORDS = re.compile(r"[^\W\d_]+(?:[ -][^\W\d_]+)*")
_FACTOR = re.compile(r"\s*(°?[^\W\d_]+(?:\.[^\W\d_]\.?)?|[°%¢$])(?:\s*\^\s*\{?(-?[0-9])\}?)?\s*")


def split_unit(tokens: Tokens) -> tuple[Tokens, MeasureUnit] | None:
    """A number's tokens without what stands behind it as a unit; None where words behind it are no unit."""
    start = _unit_start(tokens)
    if start == len(tokens):
        return tokens, NO_UNIT
    if start == 0:
        return None
    unit = read_unit(_plain(tokens[start:]))
    return None if unit is None else (tokens[:start], unit)


def _unit_start(tokens: Tokens) -> int:
    """Where the unit begins: at the first words, a percent or degree sign, or known letters right behind a number."""
    for i, token in enumerate(tokens):
        if is_text(token) or token == "%":
            return i - 2 if i > 1 and tokens[i - 2 : i] == (r"\frac", "{") else i
        if token == "°" or tokens[i : i + 4] == ("^", "{", r"\circ", "}"):
            rest = tokens[i + (1 if token == "°" else 4) :]
            inside = set(tokens[:i]) & _OPERATIONS or not all(is_text(t) or t in ("C", "F") for t in rest)
            return len(tokens) if inside else i
    return _plain_unit(tokens)


def _plain_unit(tokens: Tokens) -> int:
    """Where known unit letters begin that are not marked as text: two letters or more, or one of J, N, W, Å."""
    end = len(tokens) - 4 if tokens[-4:-2] == ("^", "{") and tokens[-2:-1] in (("2",), ("3",)) else len(tokens)
    begin = end
    while begin and ((len(tokens[begin - 1]) == 1 and tokens[begin - 1].isalpha()) or tokens[begin - 1] == "/"):
        begin -= 1
    behind = begin and (tokens[begin - 1][0].isdigit() or tokens[begin - 1] == "}")
    letters = "".join(tokens[begin:end])
    if not behind or "/" in letters[:1] or (len(letters) < 2 and letters not in ("J", "N", "W", "Å")):
        return len(tokens)
    spelled = re.sub("^(square|sq|cubic)", r"\1 ", letters)
    unit = read_unit(spelled)
    return begin if unit is not None and not unit.words else len(tokens)


def _plain(tokens: Tokens) -> str:
    r"""Text of a unit: ``\frac{\text{m}}{\text{s}^2}`` as m/s^2."""
    if tokens[:2] == (r"\frac", "{") and tokens.count("{") >= 2:
        middle = next((i for i in range(2, len(tokens) - 1) if tokens[i : i + 2] == ("}", "{")), 0)
        return f"{_plain(tokens[2:middle])}/{_plain(tokens[middle + 2 : -1])}"
    if tokens[:4] == ("^", "{", r"\circ", "}"):
        tokens = ("°", *tokens[4:])
    text = "".join(" " + text_of(t) + " " if is_text(t) else "*" if t == r"\cdot" else t for t in tokens)
    return text.replace(r"\$", "dollar").replace(r"\circ", "°").replace("° ", "°")


def read_unit(text: str) -> MeasureUnit | None:
    """The unit that a text names; None for words that are no unit."""
    text = re.sub(r"\bdegrees? (?=[CF])", "°", text.strip().strip(",;"))
    text = re.sub(r"\bper ?cent\b", "percent", text)
    words = " ".join(text.split()).strip(".( )")
    lowered = re.sub(r"\bper\b", "/", re.sub(r"\b(a|p)\.\s?m\b\.?", r"\1m", words, flags=re.IGNORECASE))
    known = _product(_powers_in_front(lowered))
    if known is not None:
        return known
    plain = words.lower()
    parts = [p.removesuffix("s") for p in re.split("[ -]", plain)]
    if not _WORDS.fullmatch(plain) or len(parts) > 4 or set(plain.split()) & _REFUSED:
        return _directed(words)
    return None if _changes_size(parts) else MeasureUnit((), Fraction(1), " ".join(parts))


def _changes_size(parts: list[str]) -> bool:
    return any(_UNITS.get(part, ("", 0))[0] in ("one", "percent", "am", "pm") for part in parts)


def _directed(words: str) -> MeasureUnit | None:
    """``km east``: a quantity that is equal only to one in the same direction."""
    found = re.fullmatch(r"(.*) (east|west|north|south)", words.lower())
    return MeasureUnit((), Fraction(1), words.lower()) if found and _product(found[1]) is not None else None


def _powers_in_front(text: str) -> str:
    """``square cm`` and ``cm squared`` as cm^2."""
    text = re.sub(r"\b(?:square|sq)\b\.? ?([^\W\d_]+)", r"\1^2", text, flags=re.IGNORECASE)
    text = re.sub(r"\b(?:cubic|cu)\b\.? ?([^\W\d_]+)", r"\1^3", text, flags=re.IGNORECASE)
    return re.sub(r" squared\b", "^2", re.sub(r" cubed\b", "^3", text))


def _product(text: str) -> MeasureUnit | None:
    """Known units with powers, multiplied and divided."""
    dimension: dict[str, int] = {}
    factor = Fraction(1)
    for sign, part in _factors(text):
        found = _FACTOR.fullmatch(part)
        known = _known(found[1]) if found else None
        if found is None or known is None:
            return None
        power = sign * int(found[2] or 1)
        base, size = known
        factor *= size**power
        if base == "one":
            continue
        for name, exponent in _BASES.get(base, ((base, 1),)):
            dimension[name] = dimension.get(name, 0) + power * exponent
    dimension = {name: power for name, power in dimension.items() if power and name != "unit"}
    return MeasureUnit(tuple(sorted(dimension.items())), factor)


# Units made of others, whose sizes agree in these; a litre is a thousandth of a cubic metre by its size below.
_BASES = {
    "l": (("m", 3),),
    "mph": (("m", 1), ("s", -1)),
    "J": (("g", 1), ("m", 2), ("s", -2)),
    "N": (("g", 1), ("m", 1), ("s", -2)),
}
_SIZES = {"l": Fraction(1, 1000), "mph": Fraction("0.44704"), "J": Fraction(1000), "N": Fraction(1000)}


def _factors(text: str) -> Iterator[tuple[int, str]]:
    sign = 1
    for i, part in enumerate(re.split(r"([/*]|(?<=[^\s^*/]) (?=[^\s^*/]))", text)):
        if i % 2:
            sign = -1 if part == "/" else sign
        else:
            yield sign, part


def _known(word: str) -> tuple[str, Fraction] | None:
    """Base and size of a unit's name with its prefix."""
    for name in (word, word.lower(), word.removesuffix("s"), word.lower().removesuffix("s")):
        if name in _UNITS and (len(word) > 1 or name == word or word == "L"):
            base, size = _UNITS[name]
            return base, size * _SIZES.get(base, 1)
    for prefixes, names in ((_LONG_PREFIXES, None), (_PREFIXES, _PREFIXED)):
        for prefix, power in prefixes.items():
            rest = word.removeprefix(prefix)
            if rest != word and rest and (names is None or rest in names) and (known := _known(rest)) is not None:
                return known[0], known[1] * Fraction(10) ** power
    return None
