"""Which part of a response is graded: a model that has not finished its reasoning has not answered yet."""

from __future__ import annotations

REASONING, REASONING_END = "<think>", "</think>"


def opens_reasoning(prompt: str) -> bool:
    """Whether a prompt, or the end of it, opens the reasoning itself, as some chat templates do."""
    return prompt.rstrip().endswith(REASONING)


def answer_part(response: str, reasoning_open: bool) -> str:
    """The text that may hold an answer: nothing while the reasoning (which a prompt may have opened) is unfinished."""
    opened = reasoning_open or response.lstrip().startswith(REASONING)
    return "" if opened and REASONING_END not in response else response
