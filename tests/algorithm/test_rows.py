"""Lengths, padding, blocks and memory of token tensors."""

from __future__ import annotations

import pytest
import torch

from asyppo_cli.algorithm import rows

MASK = torch.arange(5) < torch.tensor([[5], [0], [2]])


def test_lengths_and_last_tokens() -> None:
    assert rows.response_lengths(MASK).tolist() == [5, 0, 2]
    assert rows.last_tokens(MASK).tolist() == [4, 0, 1]
    long = torch.ones(3, 300_000, dtype=torch.bool)
    assert rows.response_lengths(long).tolist() == [300_000] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_padding_becomes_zero_whatever_it_held(dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, 5).to(dtype)
    poisoned = x.masked_fill(~MASK, float("nan"))
    assert torch.equal(rows.zero_padding(poisoned, MASK), torch.where(MASK, x, torch.zeros((), dtype=dtype)))


def test_tensors_of_two_precisions_are_cleaned_together() -> None:
    single, double = torch.ones(3, 5), torch.ones(3, 5, dtype=torch.float64)
    first, second = rows.clean_rows(slice(1, 3), MASK, single, double)
    assert torch.equal(first, MASK[1:].float())
    assert torch.equal(second, MASK[1:].double())


def test_blocks_cover_every_row_once() -> None:
    tall = torch.empty(1000, 2000)
    covered = torch.cat([torch.arange(1000)[block] for block in rows.blocks(tall)])
    assert torch.equal(covered, torch.arange(1000))
    assert len(rows.blocks(tall)) > 1
    assert rows.blocks(torch.empty(2, 10_000_000)) == [slice(0, 1), slice(1, 2)]


@pytest.mark.parametrize("shape", [(3, 4), (1500, 1000)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_fresh_memory_is_like_its_model(shape: tuple[int, int], dtype: torch.dtype) -> None:
    model = torch.zeros(shape, dtype=dtype)
    fresh = rows.fresh_like(model.T)
    assert fresh.shape == model.T.shape
    assert fresh.dtype == dtype
    assert fresh.is_contiguous()
    fresh.fill_(1)
    assert torch.equal(fresh.clone(), torch.ones_like(fresh))
