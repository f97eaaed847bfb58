"""What the schema says of every key, in words: what is allowed, what it means.

Read from the schema's JSON form, so that a message, ``asyppo config describe`` and the check itself cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from asyppo_cli.config.section import Section
from asyppo_cli.keys import REFERENCE

# A JSON schema, or a part of one.
Node = Mapping[str, Any]

BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
# A union of this many kinds is any value that is neither a list nor a mapping.
ANY_SCALAR = 4


@dataclass(frozen=True)
class Setting:
    """A key: ``allowed`` values in words, their ``meaning``, the ``choices`` where they can be listed.

    ``open`` marks a mapping whose keys the task or the model defines; ``allowed`` then speaks of its values.
    """

    key: str
    allowed: str
    meaning: str
    choices: tuple[str, ...]
    open: bool


@dataclass(frozen=True)
class Settings:
    """All keys of a configuration by dotted name, and the meaning of its sections."""

    keys: Mapping[str, Setting]
    sections: Mapping[str, str]

    def __contains__(self, key: str) -> bool:
        """Whether there is such a key, one in an open mapping included."""
        return self.find(key) is not None

    def find(self, key: str) -> Setting | None:
        """The setting of that key, or the open mapping that it lies in."""
        if key in self.keys:
            return self.keys[key]
        return next(
            (mapping for mapping in self.keys.values() if mapping.open and key.startswith(f"{mapping.key}.")), None
        )

    def within(self, section: str) -> list[Setting]:
        """The settings of a section and of its parts, in the schema's order."""
        return [setting for key, setting in self.keys.items() if key.startswith(f"{section}.")]


def read_settings(schema: type[Section]) -> Settings:
    """Every key and section of a schema."""
    tree = schema.model_json_schema()
    keys: dict[str, Setting] = {}
    sections: dict[str, str] = {}
    for key, node in _walk(tree, tree.get("$defs", {}), ""):
        if "properties" in node:
            sections[key] = _text(node)
        else:
            keys[key] = _setting(key, node)
    return Settings(keys, sections)


def _walk(node: Node, definitions: Node, prefix: str) -> Iterator[tuple[str, Node]]:
    """Dotted name and node of everything below, references followed."""
    for name, child in node["properties"].items():
        found = child
        if "$ref" in child:
            found = definitions[child["$ref"].rpartition("/")[2]]
        yield prefix + name, {**found, **child}
        if "properties" in found:
            yield from _walk(found, definitions, f"{prefix}{name}.")


def _setting(key: str, node: Node) -> Setting:
    values = node.get("additionalProperties")
    choices = [choice for part in (node, *node.get("anyOf", ())) for choice in _listed(part)]
    if node.get("type") == "boolean":
        choices = ["true", "false"]
    return Setting(key, in_words(values or node), _text(node), tuple(map(str, choices)), bool(values))


def _listed(node: Node) -> list[Any]:
    """The values that a part of a JSON schema lists one by one."""
    return node.get("enum") or ([node["const"]] if "const" in node else [])


def in_words(node: Node) -> str:
    """The values that a part of a JSON schema allows."""
    if "anyOf" in node:
        parts = list(dict.fromkeys(in_words(part) for part in node["anyOf"]))
        return "a single value" if len(parts) >= ANY_SCALAR else " or ".join(parts)
    if "const" in node:
        return str(node["const"])
    if "enum" in node:
        return f"one of {', '.join(map(str, node['enum']))}"
    if node.get("pattern") == REFERENCE:
        return "a function (FILE.py:NAME or package.module:NAME)"
    match node["type"]:
        case "array":
            return f"a list, each {in_words(node['items'])}"
        case "object":
            return f"a mapping, each value {in_words(node['additionalProperties'])}"
        case kind:
            names: dict[str, str] = {
                "integer": "a whole number",
                "number": "a number",
                "boolean": "true or false",
                "string": "text that is not empty" if node.get("minLength") else "text",
            }
            return " ".join([names.get(str(kind), str(kind)), *_bounds(node)])


def _bounds(node: Node) -> list[str]:
    if "minimum" in node and "maximum" in node:
        return [f"from {_number(node['minimum'])} to {_number(node['maximum'])}"]
    found = [f"{words} {_number(node[bound])}" for bound, words in BOUNDS.items() if bound in node]
    return [" and ".join(found)] if found else []


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _text(node: Node) -> str:
    return " ".join(str(node.get("description", "")).split())
