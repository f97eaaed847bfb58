"""Records that are passed between the packages."""

from __future__ import annotations

import pickle
from dataclasses import replace

import torch

from asyppo_cli.types import Response, Sequences, packed, unpacked


def test_a_response_is_four_bytes_a_number_whatever_it_is_made_of() -> None:
    made = [
        Response((3, 150_000), (-0.5, -1.25), False),
        Response([3, 150_000], [-0.5, -1.25], False),
        Response(packed(torch.tensor([3, 150_000]), "i"), packed(torch.tensor([-0.5, -1.25]), "f"), False),
    ]
    assert made[0] == made[1] == made[2] and len(set(made)) == 1
    assert len(made[0].tokens) == 2 and list(made[0].tokens) == [3, 150_000] and made[0].tokens[-1] == 150_000
    long = Response(range(10_000), [-0.1] * 10_000, True)
    assert 80_000 < len(pickle.dumps(long, protocol=5)) < 80_500
    assert pickle.loads(pickle.dumps(long)) == long


def test_responses_differ_in_any_of_their_parts() -> None:
    one = Response((3, 4), (-0.5, -0.25), False)
    others = [replace(one, tokens=(3, 5)), replace(one, logprobs=(-0.5, -0.5)), replace(one, truncated=True)]
    assert all(other != one for other in others) and len({one, *others}) == 4


def test_numbers_survive_as_float32() -> None:
    drawn = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(unpacked(Response([0] * 1000, drawn.tolist(), False).logprobs), drawn)
    assert len(unpacked(Response((), (), True).tokens)) == 0


def test_prompts_and_responses_of_any_form_make_the_same_batch() -> None:
    prompts = [(1, 2, 3), (4,)]
    arrays = Sequences.join([packed(p, "i") for p in prompts], [packed((7, 8), "i"), packed((), "i")])
    tuples = Sequences.join(prompts, [(7, 8), ()])
    for batch in (arrays, tuples):
        assert batch.tokens.tolist() == [[1, 2, 3, 7, 8], [4, 0, 0, 0, 0]] and batch.tokens.dtype == torch.int64
        assert batch.prompt_lengths.tolist() == [3, 1] and batch.response_lengths.tolist() == [2, 0]
    assert Sequences.join([], []).tokens.shape == (0, 0)
