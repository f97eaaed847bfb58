"""Names that users type, dotted keys among them: flattened, shortened, and those near a wrong one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Names that an error lists where none is like the one typed.
LISTED = 6
# A function of the user's, in place of the name of a built-in one: FILE.py:NAME or package.module:NAME.
REFERENCE = r"^(?:[^:]+\.py|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_]\w*$"


def is_reference(value: Any) -> bool:
    """Whether a configured value is a function of the user's, in the form of :data:`REFERENCE`."""
    return isinstance(value, str) and re.match(REFERENCE, value) is not None


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; an empty mapping stays a value."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Each dotted key by the fewest last parts that are unique: ``lr`` of ``learner.policy.lr`` if no other ends so."""
    short = {}
    for key in keys:
        parts = key.split(".")
        others = [other.split(".") for other in keys if other != key]
        unique = (n for n in range(1, len(parts)) if all(other[-n:] != parts[-n:] for other in others))
        short[key] = ".".join(parts[-next(unique, len(parts)) :])
    return short


def nearest(word: str, names: Iterable[str], limit: int = 4) -> list[str]:
    """Names like ``word``, the most similar first: by their beginning, the whole, or the last part of a dotted key."""
    import difflib

    folded = {name: name.casefold() for name in names}
    typed = word.casefold()
    ends = {name: fold.rpartition(".")[2] for name, fold in folded.items()}
    whole = difflib.get_close_matches(typed, folded.values(), n=3, cutoff=0.6)
    alike = difflib.get_close_matches(typed.rpartition(".")[2], set(ends.values()), n=2, cutoff=0.7)
    by_name = [name for fold in whole for name in folded if folded[name] == fold]
    by_end = [name for end in alike for name in ends if ends[name] == end]
    begun = [name for name, fold in folded.items() if typed and fold.startswith(typed)]
    return list(dict.fromkeys([*by_name, *by_end, *begun]))[:limit]


def did_you_mean(word: str, names: Iterable[str], limit: int = 4) -> str:
    """The end of an error about an unknown name: ``nearest: a, b``, else the first of all names there are."""
    known = list(names)
    if near := nearest(word, known, limit):
        return f"nearest: {', '.join(near)}"
    return f"known: {', '.join(known[:LISTED])}{', ...' if len(known) > LISTED else ''}" if known else "there is none"
