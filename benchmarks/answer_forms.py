"""The usual ways of writing an answer, and near misses of it, made from the answer's text."""

from __future__ import annotations

import re
from collections.abc import Iterator

INTEGER = re.compile(r"-?[0-9]+")
NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def top_level(text: str) -> list[str]:
    """Parts between commas outside of any bracket."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def bare(gold: str) -> str:
    """Without the dollars around it, if they are a pair."""
    text = gold.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] == "$" and text.count("$") == 2 else text


def rewritten(gold: str) -> Iterator[str]:
    """Other spellings of the same answer, to be put into a box."""
    text = bare(gold)
    yield gold
    yield f" {gold} "
    if "$" not in text:
        yield f"${text}$"
        yield rf"\({text}\)"
        yield rf"\displaystyle {text}"
        if not re.search(r"\\left|\\text|where", text):
            yield re.sub(r"(?<!\\)\)", r"\\right)", re.sub(r"(?<!\\)\(", r"\\left(", text))
    yield gold + "."
    yield text.replace(r"\dfrac", r"\frac").replace(r"\frac", r"\dfrac")
    yield text.replace(r"\dfrac", r"\frac").replace(r"\frac", r"\tfrac")
    yield re.sub(r"(?<=[,+=])\s*", r"\\, ", text) if r"\!" not in text and not re.fullmatch(r"[0-9,]+", text) else text
    yield re.sub(r" (?![a-zA-Z])", "", text)
    yield from _numbers(text)
    if "^" in text and r"\circ" in text and "," not in text:
        yield re.sub(r"\^\s*\{?\\circ\}?", "", text)
        yield re.sub(r"\^\s*\{?\\circ\}?", r"\\text{ degrees}", text)
        yield re.sub(r"\^\s*\{?\\circ\}?", "°", text)
    if re.fullmatch(r"\\text\{\(?[A-Za-z]+\)?\}", text):
        yield from (text[6:-1], rf"\textbf{{{text[6:-1]}}}", rf"\mathrm{{{text[6:-1]}}}", text[6:-1].strip("()"))
    parts = top_level(text)
    if (
        len(parts) > 1
        and "$" not in text
        and "=" not in text
        and not re.search(r"\\[!,]", text)
        and not re.search(r"\d,\d{3}\b", text)
    ):
        yield ", ".join(reversed(parts))
        yield r" \text{ and } ".join(parts)
        yield rf"\{{{text}\}}"
        yield rf"\left\{{{text}\right\}}"
    if text.startswith(r"\{") and text.endswith(r"\}"):
        yield r"\{" + ",".join(reversed(top_level(text[2:-2]))) + r"\}"
    if re.fullmatch(r"[a-zA-Z]=[^=,]*", text):
        yield text.partition("=")[2]


def _numbers(text: str) -> Iterator[str]:
    if INTEGER.fullmatch(text):
        yield from (f"{text}.0", f"x={text}", f"x = {text}", rf"{text}\text{{ units}}", rf"\mathbf{{{text}}}")
        digits = text.lstrip("-")
        yield text.replace(digits, digits.zfill(3))
        if len(digits) > 3:
            for comma in (",", "{,}", r",\!", r"\,"):
                yield text.replace(digits, re.sub(r"(?<=\d)(?=(?:\d{3})+$)", lambda _, c=comma: c, digits))
    if NUMBER.fullmatch(text):
        yield from (rf"{text} \text{{ cm}}", rf"{text}\,\mathrm{{m}}", rf"\boxed{{{text}}}")
        if "." in text:
            yield text + "0"
    scientific = re.fullmatch(r"(-?[0-9.]+)e(-?[0-9]+)", text)
    if scientific:
        yield rf"{scientific[1]} \times 10^{{{scientific[2]}}}"
        yield rf"{scientific[1]} \cdot 10^{{{scientific[2]}}}"


def missed(gold: str) -> Iterator[str]:
    """Answers that are close to the gold one and wrong."""
    text = bare(gold)
    plain = text.replace(r"\!", "").replace("$", "")
    if not re.search(r"[a-z]{4} ", plain):
        # The last digit that is no name's index, one up: far beyond any tolerance for one or two digits.
        digits = list(re.finditer(r"(?<![0-9_{.])[0-9]+(?![0-9])", plain))
        if digits:
            last = digits[-1]
            yield plain[: last.start()] + str(2 * int(last[0]) + 1) + plain[last.end() :]
    parts = top_level(plain)
    if len(parts) > 1:
        yield ",".join(parts[:-1])
        yield plain + ",9999"
    if plain[:1] == "(" and plain[-1:] == ")" and "(" not in plain[1:] and len(top_level(plain[1:-1])) > 1:
        swapped = top_level(plain[1:-1])
        if swapped[::-1] != swapped:
            yield "(" + ",".join(reversed(swapped)) + ")"
    if plain[:1] in "([" and plain[-1:] in ")]" and plain[0] + plain[-1] != "()":
        yield "(" + plain[1:-1] + ")"
    yield rf"{plain} + 1234567" if "," not in plain and "=" not in plain and "text" not in plain else "1234567.5"
    yield r"\text{none of these}"
