"""What pydantic found wrong, in one line that names the key, the value and what is allowed."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from asyppo_cli.config.settings import Settings, nearest


def explain(error: ValidationError, settings: Settings) -> str:
    """The first fault in full, and how many more keys are at fault."""
    faults = error.errors(include_url=False)
    # A union complains once for each of its members.
    more = len({_key(fault, settings) for fault in faults}) - 1
    return _explain_one(faults[0], settings) + (f" (and {more} more)" if more else "")


def shown(value: Any) -> str:
    """A value as one writes it on the command line."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _explain_one(fault: ErrorDetails, settings: Settings) -> str:
    key = _key(fault, settings)
    match fault["type"]:
        case "value_error":
            return str(fault["ctx"]["error"])
        case "missing":
            return f"{key} is missing: every key needs a value"
        case "extra_forbidden":
            near = ", ".join(nearest(key, settings.keys)) or "none"
            return f"{key}={shown(fault['input'])}: there is no key {key!r}; nearest: {near}"
    setting = settings.find(key)
    if setting is None:
        return f"{key}={shown(fault['input'])}: {key} is a section, a mapping of keys to values"
    return f"{key}={shown(fault['input'])} must be {setting.allowed}"


def _key(fault: ErrorDetails, settings: Settings) -> str:
    """The dotted key of a fault, without the member of a union that pydantic adds to it."""
    parts = [str(part) for part in fault["loc"]]
    whole = ".".join(parts)
    shorter = ".".join(parts[:-1])
    return shorter if whole not in settings and shorter in settings else whole
