"""What pydantic found wrong, in one line that names the key, the value and what is allowed."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

# Words for what a bound means, by pydantic's name of it.
BOUNDS = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}


def explain(error: ValidationError) -> str:
    """The first fault in full, and how many more there are."""
    faults = error.errors(include_url=False)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return _explain_one(faults[0]) + more


def _explain_one(fault: ErrorDetails) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    context: dict[str, Any] = fault.get("ctx", {})
    bound = next((words.format(f"{context[name]:g}") for name, words in BOUNDS.items() if name in context), None)
    match fault["type"]:
        case "value_error":
            return str(context["error"])
        case "missing":
            return f"{key} is missing: every key needs a value"
        case "extra_forbidden":
            return f"{key}={fault['input']}: there is no such key"
        case "literal_error":
            return f"{key}={fault['input']} must be one of {context['expected'].replace(' or ', ', ')}"
        case _ if bound is not None:
            return f"{key}={fault['input']} must be {bound}"
        case _:
            return f"{key}={fault['input']}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
