"""From problems to what the model reads."""

from __future__ import annotations

from collections.abc import Iterable

from asyppo_cli.ports import Tokenizer
from asyppo_cli.types import Problem, Prompt


def render(tokenizer: Tokenizer, system_prompt: str, problem: Problem) -> Prompt:
    """The problem as the user's turn of a conversation, up to where the assistant begins."""
    return Prompt(problem, tuple(tokenizer.chat(system_prompt, problem.question)))


def check_prompt_lengths(prompts: Iterable[Prompt], limit: int, key: str) -> None:
    """Raise ValueError if a prompt has more than ``limit`` tokens; ``key`` is the configuration key of the limit."""
    longest = max(prompts, key=lambda prompt: len(prompt.tokens), default=None)
    if longest is not None and len(longest.tokens) > limit:
        length = len(longest.tokens)
        raise ValueError(
            f"problem {longest.problem.id} has a prompt of {length} tokens, but {key} is {limit}: "
            f"set {key} to {length} or more"
        )
