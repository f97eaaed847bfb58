"""What is drawn, in which batches, by which seeds; and that an interruption changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch

from asyppo_cli.engines.torch.sampler import TransformersSampler
from asyppo_cli.evaluation.sampling import BatchedSource, PromptSet, SampleRange, batches, draw_seed, missing
from asyppo_cli.runs.evaluations import FailedSample, Sample
from asyppo_cli.types import Problem, SamplingParams

PROBLEMS = [Problem(f"p{i}", f"{i}?", str(i)) for i in range(10)]
PARAMS = SamplingParams(max_tokens=8, temperature=1.0, top_p=1.0, top_k=0, seed=5)


class Texts:
    """A tokenizer that writes ids."""

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(map(str, tokens))


def stored(samples: Sequence[Sample]) -> dict[str, dict[int, Sample]]:
    found: dict[str, dict[int, Sample]] = {}
    for sample in samples:
        found.setdefault(sample.id, {})[sample.sample] = sample
    return found


def source(model: Any, rows: int) -> BatchedSource:
    sampler = TransformersSampler(model, eos_token_ids=[1], batch_size=64, device=torch.device("cpu"))
    prompts = PromptSet({problem.id: [3 + int(problem.answer), 4, 5] for problem in PROBLEMS}, PARAMS.max_tokens)
    return BatchedSource(sampler, Texts(), prompts, PARAMS, rows)  # type: ignore[arg-type]


def flat(parts: Any) -> list[Sample]:
    return [sample for part in parts for sample in part]


def test_what_is_wanted_is_what_is_missing_and_nothing_else() -> None:
    there = stored([Sample("p0", n, "", 1, False) for n in range(4)] + [Sample("p1", n, "", 1, False) for n in (0, 2)])
    found = missing(PROBLEMS[:3], there, 4)
    assert [(want.position, want.start, want.stop) for want in found] == [(1, 1, 2), (1, 3, 4), (2, 0, 4)]
    assert missing(PROBLEMS[:1], there, 3) == []


def test_batches_hold_neighbours_that_lack_the_same_and_are_never_empty() -> None:
    spans = [(0, 4), (0, 4), (0, 4), (2, 4), (2, 4), (0, 4)]
    wanted = [SampleRange(i, PROBLEMS[i], start, stop) for i, (start, stop) in enumerate(spans)]
    assert [[want.position for want in batch] for batch in batches(wanted, 8)] == [[0, 1], [2], [3, 4], [5]]
    assert [[want.position for want in batch] for batch in batches(wanted, 1)] == [[i] for i in range(6)]


def test_the_first_batch_has_the_seed_itself_and_all_others_their_own() -> None:
    seeds = {draw_seed(7, position, start) for position in range(20) for start in range(4)}
    assert draw_seed(7, 0, 0) == 7
    assert len(seeds) == 80
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("done", [1, 2, 3])
def test_an_interrupted_draw_goes_on_as_if_nothing_had_happened(make_model: Callable[..., Any], done: int) -> None:
    whole = flat(source(make_model("qwen3"), 6).draw(missing(PROBLEMS, {}, 2)))
    before = flat(islice(source(make_model("qwen3"), 6).draw(missing(PROBLEMS, {}, 2)), done))
    after = flat(source(make_model("qwen3"), 6).draw(missing(PROBLEMS, stored(before), 2)))
    assert before + after == whole
    assert len(before) == 6 * done


def test_more_samples_are_new_ones(make_model: Callable[..., Any]) -> None:
    first = flat(source(make_model("qwen3"), 64).draw(missing(PROBLEMS, {}, 2)))
    more = flat(source(make_model("qwen3"), 64).draw(missing(PROBLEMS, stored(first), 4)))
    assert [sample.sample for sample in more] == [2, 3] * 10
    assert [sample.response for sample in more] != [sample.response for sample in first]


def test_a_long_prompt_shortens_only_its_own_response(make_model: Callable[..., Any]) -> None:
    short = source(make_model("qwen3"), 64)
    lengths = {"p0": 3, "p1": 14, "p2": 20, "p3": 5}
    tokens = {name: [5] * length for name, length in lengths.items()}
    mixed = replace(short, prompts=PromptSet(tokens, PARAMS.max_tokens, context=20))
    parts = flat(mixed.draw(missing(PROBLEMS[:4], {}, 2)))
    assert {(row.id, row.sample) for row in parts} == {(name, n) for name in lengths for n in (0, 1)}
    assert [row.id for row in parts if isinstance(row, FailedSample)] == ["p2", "p2"]
    limits = {"p0": 8, "p1": 6, "p3": 8}
    assert all(row.length <= limits[row.id] for row in parts if isinstance(row, Sample))
    assert {row.length for row in parts if isinstance(row, Sample) and row.truncated} >= {6, 8}
    assert mixed.prompts.longest() == 20
