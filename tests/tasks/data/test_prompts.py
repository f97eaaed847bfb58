from __future__ import annotations

from collections.abc import Sequence

import pytest

from asyppo_cli.tasks.data.prompts import PromptStream, check_prompt_lengths, render
from asyppo_cli.tasks.data.stream import ProblemStream
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


@pytest.mark.parametrize("size", [1, 7, 30])
def test_in_place_of_a_problem_that_is_too_long_comes_the_next(size: int) -> None:
    problems = [Problem(f"p{i}", "x" * (20 if i % 3 == 1 else 5), "1") for i in range(size)]
    prompts = PromptStream(problems, ProblemStream(size, 3), lambda problem: render(Letters(), "", problem), 10)
    drawn = [prompt.problem.id for prompt in prompts(0, 3 * size)]
    wanted = [f"p{(i + (i % 3 == 1)) % size}" for i in ProblemStream(size, 3).indices(0, 3 * size)]
    assert drawn == wanted
    # Whatever is asked for at a time, and wherever a run is resumed.
    assert [prompt.problem.id for n in range(3 * size) for prompt in prompts(n, 1)] == drawn


def test_nothing_fits() -> None:
    prompts = PromptStream([Problem("p", "xxx", "1")], ProblemStream(1, 0), lambda p: render(Letters(), "", p), 2)
    with pytest.raises(ValueError, match="no problem"):
        prompts(0, 1)
