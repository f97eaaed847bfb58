"""Held-out evaluation inside training: the draws and scores of asyppo eval."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from asyppo_cli.engines.torch.sampler import TransformersSampler
from asyppo_cli.evaluation.heldout import HeldOut
from asyppo_cli.evaluation.sampling import BatchedSource, PromptSet
from asyppo_cli.evaluation.session import Evaluation, evaluate
from asyppo_cli.runs import metrics as names
from asyppo_cli.runs.evaluations import EvaluationDirectory
from asyppo_cli.types import Problem, Prompt, SamplingParams, Verdict

PROMPTS = [Prompt(Problem(f"p{i}", f"{i}?", str(i)), (3 + i % 7, 5, 9 + i)) for i in range(20)]
PARAMS = SamplingParams(max_tokens=6, temperature=1.0, top_p=1.0, top_k=0, seed=11)


class Words:
    """A tokenizer of numbers."""

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(map(str, tokens))


class Odd:
    """Right is what begins with an odd token, and the gold answer in its box."""

    def grade(self, problems: Sequence[Problem], texts: Sequence[str]) -> list[Verdict]:
        found = []
        for problem, text in zip(problems, texts, strict=True):
            numbers = re.findall("[0-9]+", text)
            right = text == f"\\boxed{{{problem.answer}}}" or int(numbers[0]) % 2 == 1
            found.append(Verdict("right" if right else "wrong", float(right), text))
        return found

    def close(self) -> None:
        pass


class Silent:
    """Nobody watches."""

    def start(self, title: str, total: int, done: int) -> None: ...
    def advance(self, done: int, text: str) -> None: ...
    def finish(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...


@pytest.mark.parametrize("rows", [1024, 8])
@pytest.mark.parametrize("samples", [1, 3])
def test_training_and_asyppo_eval_agree_to_the_bit(
    make_model: Callable[..., Any], tmp_path: Path, rows: int, samples: int
) -> None:
    def sampler() -> TransformersSampler:
        model = make_model("qwen3")
        return TransformersSampler(model, eos_token_ids=[1], batch_size=1024, device=torch.device("cpu"))

    heldout = HeldOut(PROMPTS, samples, PARAMS, rows, sampler(), Odd(), Words()).evaluate()  # type: ignore[arg-type]
    prompts = PromptSet({prompt.problem.id: prompt.tokens for prompt in PROMPTS}, PARAMS.max_tokens)
    source = BatchedSource(sampler(), Words(), prompts, PARAMS, rows)  # type: ignore[arg-type]
    problems = [prompt.problem for prompt in PROMPTS]
    directory = EvaluationDirectory(tmp_path / "x")
    settings = {"benchmark": "b", "model": "m"}
    evaluation = Evaluation(directory, "", problems, samples, settings, {}, lambda: source, lambda _: "prompt")
    scores = evaluate(evaluation, Odd(), Silent()).scores
    assert heldout[names.ACCURACY] == scores.avg.value
    assert 0 < scores.avg.value < 1
    assert heldout[names.ACCURACY_HALFWIDTH] == (scores.avg.high - scores.avg.low) / 2
    assert (heldout[names.EVAL_LENGTH], heldout[names.EVAL_TRUNCATED]) == (scores.length, scores.truncated)


def test_one_go_draws_what_the_sampler_draws_from_the_seed(make_model: Callable[..., Any]) -> None:
    sampler = TransformersSampler(make_model("qwen3"), eos_token_ids=[1], batch_size=64, device=torch.device("cpu"))
    groups = sampler.sample([prompt.tokens for prompt in PROMPTS], 1, PARAMS)
    expected = sum(group[0].tokens[0] % 2 for group in groups) / len(groups)
    heldout = HeldOut(PROMPTS, 1, PARAMS, 64, sampler, Odd(), Words())  # type: ignore[arg-type]
    assert heldout.evaluate()[names.ACCURACY] == expected
