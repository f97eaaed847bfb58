"""What pydantic found wrong, in one line that names the key, the value and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from asyppo_cli.config.settings import Settings
from asyppo_cli.keys import did_you_mean


def explain(error: ValidationError, settings: Settings, origins: Mapping[str, str]) -> str:
    """The first fault in full, and how many more keys are at fault; ``origins`` says where keys have values from."""
    # A wrong name often is why another is missing, and of a union's complaints this one says what is wrong.
    faults = sorted(
        error.errors(include_url=False), key=lambda f: (f["type"] == "missing", f["type"] != "finite_number")
    )
    # A union complains once for each of its members.
    more = len({_key(fault, settings) for fault in faults}) - 1
    key = _key(faults[0], settings)
    origin = next((where for name, where in origins.items() if where and f"{name}.".startswith(f"{key}.")), "")
    text = _explain_one(faults[0], key, settings)
    return (f"{origin}: " if origin else "") + text + (f" (and {more} more)" if more else "")


def shown(value: Any) -> str:
    """A value as one writes it on the command line."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _explain_one(fault: ErrorDetails, key: str, settings: Settings) -> str:
    match fault["type"]:
        case "value_error":
            return str(fault["ctx"]["error"])
        case "missing":
            return f"{key} is missing: every key needs a value"
        case "extra_forbidden":
            hint = "; a file of keys begins with # @package _global_" if isinstance(fault["input"], dict) else ""
            return f"{key}={shown(fault['input'])}: there is no key {key!r}; {did_you_mean(key, settings.keys)}{hint}"
        case "finite_number":
            return f"{key}={shown(fault['input'])} must be a finite number"
    setting = settings.find(key)
    if setting is None:
        return f"{key}={shown(fault['input'])}: {key} is a section, a mapping of keys to values"
    # YAML reads off, on, yes and no as booleans.
    hint = ": write it in quotes" if isinstance(fault["input"], bool) and {"off", "on"} & {*setting.choices} else ""
    return f"{key}={shown(fault['input'])} must be {setting.allowed}{hint}"


def _key(fault: ErrorDetails, settings: Settings) -> str:
    """The dotted key of a fault, without the members of unions and the places in lists that pydantic adds to it."""
    parts = [str(part) for part in fault["loc"]]
    whole = ".".join(parts)
    setting = next((found for key, found in settings.keys.items() if f"{whole}.".startswith(f"{key}.")), None)
    if setting is None:
        return whole
    return ".".join(parts[: setting.key.count(".") + 1 + setting.open])
