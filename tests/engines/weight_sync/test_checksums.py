"""What a manifest notices."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asyppo_cli.engines.weight_sync.checksums import (
    SAMPLED_COLUMNS,
    ReceivedWeight,
    Shard,
    build_manifest,
    check_arrival,
    checksum,
    collect_shards,
    differences,
    sampled_columns,
)


def reading_of(tensor: torch.Tensor, version: int) -> ReceivedWeight:
    columns = tensor[:, sampled_columns(tensor.shape[1], version)] if tensor.ndim == 2 else None
    return ReceivedWeight(tuple(tensor.shape), checksum(tensor), None if columns is None else checksum(columns))


@given(
    st.sampled_from([torch.float32, torch.bfloat16]), st.integers(1, 5000), st.integers(0, 4999), st.integers(0, 2**16)
)
@settings(max_examples=60, deadline=None)
def test_any_changed_element_changes_the_checksum(dtype: torch.dtype, size: int, place: int, seed: int) -> None:
    tensor = torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(dtype)
    changed = tensor.clone()
    # The smallest change there is: the last bit of one element.
    bits = changed.view(torch.int16 if dtype == torch.bfloat16 else torch.int32)
    bits[place % size] ^= 1
    assert checksum(changed) != checksum(tensor)
    assert checksum(tensor.clone()) == checksum(tensor)


def test_exchanged_elements_and_added_zeros_change_the_checksum() -> None:
    tensor = torch.arange(4096.0)
    swapped = tensor.clone()
    swapped[[3, 2051]] = swapped[[2051, 3]]
    assert checksum(swapped) != checksum(tensor)
    assert checksum(torch.cat([tensor, torch.zeros(2)])) != checksum(tensor)


def test_a_slice_has_the_checksum_of_its_copy() -> None:
    tensor = torch.randn(300, 77).to(torch.bfloat16)
    for part in (tensor[3:200], tensor[:, 5:9], tensor.T, tensor[1:2]):
        assert checksum(part) == checksum(part.clone())


def test_sampled_columns_are_spread_and_in_time_are_all() -> None:
    assert sampled_columns(5, 3).sort().values.tolist() == [0, 1, 2, 3, 4]
    assert len(sampled_columns(576, 0).unique()) == SAMPLED_COLUMNS
    seen = {column for version in range(36) for column in sampled_columns(576, version).tolist()}
    assert seen == set(range(576))


def test_differences_name_the_weight_and_what_is_wrong() -> None:
    weights = {"a.weight": torch.randn(4, 6), "b.bias": torch.randn(9), "c.weight": torch.randn(2, 2)}
    manifest = build_manifest(weights.items(), 7)
    assert manifest.entries["a.weight"].shape == (4, 6)
    same = {name: reading_of(tensor, 7) for name, tensor in weights.items()}
    assert differences(manifest, same) == []
    assert differences(manifest, {name: same[name] for name in ("a.weight", "b.bias")}) == ["c.weight is missing"]
    other = {**same, "a.weight": reading_of(weights["a.weight"] + 1, 7), "c.weight": reading_of(torch.ones(2, 3), 7)}
    assert differences(manifest, other) == [
        "a.weight has other values",
        "c.weight has shape [2, 3] instead of [2, 2]",
    ]


def test_the_sample_alone_tells_too() -> None:
    old, new = torch.randn(4, 6), torch.randn(4, 6)
    manifest = build_manifest({"a.weight": new}.items(), 1)
    packed = ReceivedWeight((4, 6), None, reading_of(old, 1).sample)
    assert differences(manifest, {"a.weight": packed}) == ["a.weight has other values"]


def test_an_arrival_that_failed_names_the_version_and_three_weights() -> None:
    manifest = build_manifest({f"w{i}": torch.ones(2) for i in range(5)}.items(), 12)
    with pytest.raises(RuntimeError, match=r"version 12.*w0 is missing; w1 is missing; w2 is missing and 2 more"):
        check_arrival(manifest, {}, "in its model")


LEFT, RIGHT = Shard(1, 0, 3), Shard(1, 3, 6)


def test_a_part_is_compared_with_the_same_part_of_what_was_sent() -> None:
    tensor = torch.randn(4, 6)
    manifest = build_manifest([("w", tensor)], 1, {"w": [LEFT, RIGHT]})
    for shard, piece in ((LEFT, tensor[:, :3]), (RIGHT, tensor[:, 3:])):
        held = replace(reading_of(piece, 1), shard=shard)
        assert differences(manifest, {"w": held}) == []
        # The other part, the whole, and a part that somebody has changed.
        swapped = replace(held, shard=RIGHT if shard is LEFT else LEFT)
        assert differences(manifest, {"w": swapped}) == ["w has other values"]
        assert differences(manifest, {"w": replace(held, shard=None)}) == ["w has shape [4, 3] instead of [4, 6]"]
        changed = replace(reading_of(piece + 1, 1), shard=shard)
        assert differences(manifest, {"w": changed}) == ["w has other values"]


def test_parts_must_make_up_the_whole() -> None:
    assert collect_shards([{"w": LEFT}, {"w": RIGHT}], {"w": (4, 6), "v": (2,)}) == {"w": {LEFT, RIGHT}}
    # Whoever does not say otherwise holds all of it.
    assert collect_shards([{"w": LEFT}, {}], {"w": (4, 6)}) == {"w": {LEFT}}
    for claims in ([{"w": LEFT}, {"w": LEFT}], [{"w": RIGHT}], [{"w": LEFT}, {"w": Shard(0, 3, 6)}]):
        with pytest.raises(RuntimeError, match=r"no worker of the sampler holds all of w, \[4, 6\]"):
            collect_shards(claims, {"w": (4, 6)})
