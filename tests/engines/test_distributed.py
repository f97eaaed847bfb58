from __future__ import annotations

import pytest
import torch

from asyppo_cli.engines.distributed import shard_rows
from asyppo_cli.engines.hf.microbatches import merge, plan_micro_batches
from asyppo_cli.types import Sequences, ValueOutputs


def test_shards_of_a_worked_example() -> None:
    # 9 | 7, then 5 joins 7 (12), 4 joins 9 (13), 2 joins 12 (14), 1 joins 13 (14).
    shards = shard_rows(torch.tensor([4, 9, 1, 7, 5, 2]), 2)
    assert [shard.tolist() for shard in shards] == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("ranks", [1, 2, 3, 8, 40])
def test_every_row_is_on_one_rank_and_none_has_much_more_than_another(ranks: int) -> None:
    lengths = torch.randint(1, 200, (30,), generator=torch.Generator().manual_seed(ranks))
    shards = shard_rows(lengths, ranks)
    assert len(shards) == ranks and torch.cat(shards).sort().values.tolist() == list(range(30))
    loads = torch.stack([lengths[shard].sum() for shard in shards])
    assert loads.max() - loads.min() <= lengths.max()
    assert all(torch.equal(one, two) for one, two in zip(shards, shard_rows(lengths, ranks), strict=True))


def test_equal_rows_are_dealt_out_in_turn() -> None:
    assert [shard.tolist() for shard in shard_rows(torch.full((5,), 3), 2)] == [[0, 2, 4], [1, 3]]


def test_merged_outputs_are_in_the_batchs_order_and_empty_shards_add_nothing(batch: Sequences) -> None:
    whole = torch.arange(batch.response_mask.numel(), dtype=torch.float32).reshape(batch.response_mask.shape)
    whole = torch.where(batch.response_mask, whole, 0.0)
    shards = shard_rows(batch.lengths, 12)
    assert any(len(shard) == 0 for shard in shards)
    widths = [batch.rows(shard).response_mask.shape[1] for shard in shards]
    parts = [ValueOutputs(whole).rows(shard, width) for shard, width in zip(shards, widths, strict=True)]
    assert torch.equal(merge(parts, shards, batch).values, whole)


def test_no_rows_make_no_micro_batch(batch: Sequences) -> None:
    zero_loss = batch.rows(torch.zeros(0, dtype=torch.long))
    assert len(zero_loss) == 0 and zero_loss.response_mask.shape == (0, 0)
    assert plan_micro_batches(zero_loss.lengths, 100) == []
