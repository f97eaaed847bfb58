"""What becomes of each key of a file: taken, assumed, ignored or not understood; and the settings that come of it.

Besides, what had to be chosen because the file does not say it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Fate = Literal["taken", "assumed", "chosen", "ignored", "not understood"]
FATES: tuple[Fate, ...] = ("taken", "assumed", "chosen", "ignored", "not understood")
SECRET = re.compile(r"key|token|secret|password", re.IGNORECASE)
LONGEST_VALUE = 48


@dataclass(frozen=True)
class SheetRow:
    """A key of the file (of ours, where it is chosen), its value as text, its fate, and what it became or why."""

    key: str
    value: str
    fate: Fate
    result: str


@dataclass
class Sheet:
    """The file's keys, and what has been made of them so far.

    ``assumed`` are keys that the file leaves to ROLL's defaults. ``settings`` are ours by dotted name, ``origins`` say
    from which key of the file each came, ``choices`` are options of our groups.
    """

    values: dict[str, Any]
    assumed: frozenset[str] = frozenset()
    settings: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    rows: dict[str, SheetRow] = field(default_factory=dict)
    chosen: dict[str, SheetRow] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        """The file's value of a key, null and absent alike."""
        value = self.values.get(key)
        return default if value is None else value

    def set(self, ours: str, value: Any, *keys: str, note: str = "") -> None:
        """Our setting, made of these keys of the file; of none: chosen, for the reason in ``note``."""
        self.settings[ours] = value
        if not keys:
            self.chosen[ours] = SheetRow(ours, shown(value), "chosen", note)
        result = f"{ours}={shown(value)}{f' ({note})' if note else ''}"
        for key in keys:
            self.origins.setdefault(ours, key)
            self.add(key, "assumed" if key in self.assumed else "taken", result)

    def choose(self, group: str, option: str, *keys: str, note: str = "") -> None:
        """An option of one of our groups, because of these keys of the file; chosen, where it has none of them."""
        self.choices[group] = option
        if not any(key in self.values for key in keys):
            self.chosen[group] = SheetRow(group, option, "chosen", note)
        for key in keys:
            self.add(key, "taken", f"{group}={option}{f' ({note})' if note else ''}")

    def take(self, key: str, *ours: str) -> None:
        """The file's value as it is, if the key is there, for settings of ours."""
        if self.values.get(key) is not None:
            for name in ours:
                self.set(name, self.values[key], key)

    def ignore(self, key: str, why: str) -> None:
        """Leave a key of the file aside, if it is there."""
        if key in self.values and key not in self.rows:
            self.add(key, "ignored", why)

    def add(self, key: str, fate: Fate, result: str) -> None:
        """Note what became of a key; what it became before is kept."""
        if key not in self.values:
            return
        before = self.rows.get(key)
        if before is not None and before.result and before.fate == fate and result not in before.result:
            result = f"{before.result}, {result}"
        hidden = SECRET.search(key.rpartition(".")[2]) is not None and isinstance(self.values[key], str)
        self.rows[key] = SheetRow(key, "***" if hidden else shown(self.values[key]), fate, result)

    def left(self) -> Iterator[str]:
        """The file's keys of which nothing has been said yet."""
        return (key for key in self.values if key not in self.rows and key not in self.assumed)


def shown(value: Any) -> str:
    """A value as text for a table, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 4] + " ..."


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as nested mappings."""
    tree: dict[str, Any] = {}
    for name, value in settings.items():
        *sections, last = name.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = value
    return tree
