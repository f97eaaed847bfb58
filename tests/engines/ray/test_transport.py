"""What travels arrives as it was, and in memory of its own."""

from __future__ import annotations

import pickle

import torch

from asyppo_cli.engines.ray.transport import chunked, pack_record, unpack_record
from asyppo_cli.types import PolicyTargets, Sequences


def test_a_record_arrives_as_it_was(batch: Sequences) -> None:
    mask = batch.response_mask
    targets = PolicyTargets(mask, mask / 3, mask * 0.1, mask, ~mask)
    arrived = unpack_record(pickle.loads(pickle.dumps(pack_record(targets))))
    assert type(arrived) is PolicyTargets and arrived.old_logprobs is None
    for name in ("mask", "weights", "advantages", "advantage_kept", "entropy_kept"):
        assert torch.equal(getattr(arrived, name), getattr(targets, name)), name
    arrived.weights.fill_(7.0)
    assert not torch.equal(arrived.weights, targets.weights)


def test_no_rows_arrive_as_no_rows(batch: Sequences) -> None:
    none = unpack_record(pack_record(batch.rows(torch.zeros(0, dtype=torch.long))))
    assert len(none) == 0 and none.response_mask.shape == (0, 0)


def test_weights_come_in_chunks_of_any_precision() -> None:
    weights = {f"w{i}": torch.randn(100, 10, generator=torch.Generator().manual_seed(i)) for i in range(6)}
    weights["low"] = weights["w0"].bfloat16()
    weights["scalar"] = torch.tensor(2.5)
    weights["turned"] = weights["w1"].t()
    chunks = list(chunked(weights.items(), size=8000))
    assert [len(chunk.names) for chunk in chunks] == [2, 2, 2, 3]
    arrived = {name: tensor for chunk in chunks for name, tensor in pickle.loads(pickle.dumps(chunk))}
    assert list(arrived) == list(weights)
    for name, tensor in weights.items():
        assert arrived[name].dtype == tensor.dtype and torch.equal(arrived[name], tensor), name
