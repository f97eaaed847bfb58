"""Prompts of problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from asyppo_cli.ports import Tokenizer
from asyppo_cli.tasks.data.stream import ProblemStream
from asyppo_cli.types import Problem, Prompt


def render(tokenizer: Tokenizer, system_prompt: str, problem: Problem) -> Prompt:
    """The problem as the user's turn of a conversation, up to the start of the assistant's."""
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


@dataclass(frozen=True)
class PromptStream:
    """The prompts of training, in the order of ``stream``; no prompt has more than ``limit`` tokens.

    In place of a problem that is too long comes the next one, by index, that fits. So the prompts are a function of
    the position alone, and a resumed run draws what it would have drawn. At least one problem must fit.
    """

    problems: Sequence[Problem]
    stream: ProblemStream
    to_prompt: Callable[[Problem], Prompt]
    limit: int

    def __call__(self, position: int, count: int) -> list[Prompt]:
        """``count`` prompts after ``position`` drawn problems."""
        return [self._fitting(index) for index in self.stream.indices(position, count)]

    def drawn(self, count: int) -> list[Prompt]:
        """The first ``count`` prompts, too long ones included."""
        return [self.to_prompt(self.problems[index]) for index in self.stream.indices(0, count)]

    def _fitting(self, index: int) -> Prompt:
        size = len(self.problems)
        for other in range(index, index + size):
            prompt = self.to_prompt(self.problems[other % size])
            if len(prompt.tokens) <= self.limit:
                return prompt
        raise ValueError(f"no problem has a prompt of {self.limit} tokens or fewer")
