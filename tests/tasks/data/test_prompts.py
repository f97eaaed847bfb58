from __future__ import annotations

from collections.abc import Sequence

import pytest

from asyppo_cli.tasks.data.prompts import check_prompt_lengths, render
from asyppo_cli.types import Problem


class Letters:
    """A tokenizer of single characters."""

    eos_token_id = 0
    pad_token_id = 0

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))

    def chat(self, system: str, user: str) -> list[int]:
        return self.encode(f"{system}|{user}>")


def test_a_problem_becomes_the_users_turn() -> None:
    problem = Problem("a", "1 + 1?", "2")
    prompt = render(Letters(), "Think.", problem)
    assert prompt.problem is problem
    assert Letters().decode(prompt.tokens) == "Think.|1 + 1?>"


def test_the_longest_prompt_is_named_with_the_key_to_raise() -> None:
    prompts = [render(Letters(), "", Problem(f"p{n}", "x" * n, "1")) for n in (3, 9, 5)]
    check_prompt_lengths(prompts, 11, "rollout.prompt_length")
    check_prompt_lengths([], 1, "rollout.prompt_length")
    message = r"problem p9 has a prompt of 11 tokens, but rollout\.prompt_length is 10: set .* to 11 or more"
    with pytest.raises(ValueError, match=message):
        check_prompt_lengths(prompts, 10, "rollout.prompt_length")
