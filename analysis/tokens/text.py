"""Token texts in readable form.

Our records hold decoded text. Records of others may hold a vocabulary's own spelling: GPT-2's byte-level form, where
every byte is a printable character (a space is ``Ġ``, a line break ``Ċ``), or SentencePiece's, where a space is ``▁``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

Spelling = Literal["decoded", "byte_level", "sentencepiece"]

SPECIAL = re.compile(r"<\|[^|<>]*\|>|</?s>|<(?:pad|unk|bos|eos|mask)>|\[(?:PAD|UNK|CLS|SEP|MASK)\]")
FRAGMENT = "�"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def spelling(texts: Sequence[str]) -> Spelling:
    """How a set of distinct token texts is spelt.

    A raw spelling has no token with a space or line break of its own (special ones aside), and marks in their place.
    """
    plain = [text for text in texts if not SPECIAL.fullmatch(text)]
    if any(" " in text or "\n" in text for text in plain):
        return "decoded"
    if any(text.startswith("▁") for text in plain):
        return "sentencepiece"
    return "byte_level" if any(text.startswith(("Ġ", "Ċ")) for text in plain) else "decoded"


def read_spelling(texts: Sequence[str]) -> list[str]:
    """The same texts, decoded; what is no whole character of UTF-8 becomes U+FFFD."""
    match spelling(texts):
        case "decoded":
            return list(texts)
        case "sentencepiece":
            return [_from_sentencepiece(text) for text in texts]
        case "byte_level":
            table = byte_table()
            return [text if SPECIAL.fullmatch(text) else _from_bytes(text, table) for text in texts]


def _from_sentencepiece(text: str) -> str:
    fallback = _BYTE_TOKEN.fullmatch(text)
    return bytes([int(fallback[1], 16)]).decode("utf-8", "replace") if fallback else text.replace("▁", " ")


def _from_bytes(text: str, table: dict[str, int]) -> str:
    if any(character not in table for character in text):
        return text
    return bytes(table[character] for character in text).decode("utf-8", "replace")


def byte_table() -> dict[str, int]:
    """GPT-2's printable character for every byte: those printable in Latin-1 stand for themselves, the others follow
    from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}
