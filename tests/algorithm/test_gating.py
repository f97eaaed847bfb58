"""Gates: exact counts, stable ties, scopes, against sorting in plain Python."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asyppo_cli.algorithm import selection
from asyppo_cli.algorithm.gating import build_gates, highest, lowest, lowest_and_highest, random_signal


def mixed(row: int, position: int, seed: int) -> int:
    """splitmix64's mixing in Python's numbers of any size, wrapped to 64 bits with a sign after every step."""

    def wrapped(number: int) -> int:
        return (number + 2**63) % 2**64 - 2**63

    key = wrapped(row * 2**32 + position + seed * 0x9E3779B97F4A7C15 % 2**62)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        key = wrapped((key ^ (key >> shift)) * factor)
    return key ^ (key >> 31)


def chosen_by_sorting(signal: Tensor, mask: Tensor, count: int, largest: bool) -> Tensor:
    places = mask.flatten().nonzero()[:, 0].tolist()
    x = signal.flatten().tolist()
    width = mask.shape[1]
    ranked = sorted(places, key=lambda i: (-x[i] if largest else x[i], mixed(i // width, i % width, 0)))
    result = torch.zeros(mask.numel(), dtype=torch.bool)
    result[ranked[:count]] = True
    return result.view(mask.shape)


def ragged(rows: int, width: int, seed: int = 0) -> Tensor:
    lengths = torch.randint(1, width + 1, (rows,), generator=torch.Generator().manual_seed(seed))
    return torch.arange(width) < lengths[:, None]


@settings(deadline=None, max_examples=60)
@given(
    levels=st.integers(2, 50),
    rows=st.integers(1, 7),
    width=st.integers(1, 30),
    tenths=st.integers(1, 10),
    scoped=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_sorting(levels: int, rows: int, width: int, tenths: int, scoped: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    signal = torch.randint(0, levels, (rows, width), generator=generator).float() - levels / 2
    mask = ragged(rows, width, seed)
    scope = torch.randint(3, 6, (rows,), generator=generator) if scoped else None
    low, high = lowest_and_highest(signal, mask, tenths / 10, tenths / 10, scope)
    for one in [None] if scope is None else scope.unique():
        inside = mask if scope is None else mask & (scope == one)[:, None]
        count = 0 if signal[inside].unique().numel() < 2 else int(inside.sum()) * tenths // 10
        assert torch.equal(low & inside, chosen_by_sorting(signal, inside, count, largest=False))
        assert torch.equal(high & inside, chosen_by_sorting(signal, inside, count, largest=True))
    assert not (low & ~mask).any()
    assert not (high & ~mask).any()


@pytest.mark.parametrize(("share", "tokens", "count"), [(0.1, 30, 3), (0.29, 100, 29), (0.2, 9, 1), (1.0, 7, 7)])
def test_counts_are_the_floor_of_the_share_whatever_doubles_say(share: float, tokens: int, count: int) -> None:
    signal, mask = torch.randn(1, tokens), torch.ones(1, tokens, dtype=torch.bool)
    for scope in (None, torch.tensor([4])):
        assert int(lowest(signal, mask, share, scope).sum()) == count
        assert int(highest(signal, mask, share, scope).sum()) == count


def test_position_does_not_decide_ties() -> None:
    """Coarse values tie everywhere: the masked tokens lie all over the responses, and elsewhere at the next seed."""
    rows, width = 200, 100
    signal = torch.zeros(rows, width)
    signal[:, 0] = 1.0
    mask = torch.ones(rows, width, dtype=torch.bool)
    for scope in (None, torch.zeros(rows, dtype=torch.long)):
        chosen = lowest(signal, mask, 0.2, scope, seed=1)
        assert int(chosen.sum()) == rows * width // 5
        shares = chosen[:, 1:].float().mean(0)
        assert float(shares.min()) > 0.1 and float(shares.max()) < 0.33
        assert float(chosen.float().mean(1).std()) < 0.08
        assert not torch.equal(chosen, lowest(signal, mask, 0.2, scope, seed=2))
        padded = torch.nn.functional.pad(signal, (0, 3)), torch.nn.functional.pad(mask, (0, 3))
        assert torch.equal(lowest(*padded, 0.2, scope, seed=1)[:, :width], chosen)


def test_the_share_that_ties_decide() -> None:
    signal = torch.tensor([[0.0, 1.0, 1.0, 1.0, 2.0]])
    mask = torch.ones(1, 5, dtype=torch.bool)
    for scope in (None, torch.tensor([3])):
        shares = [build_gates(mask, signal, pct, None, 0.0, scope).tied_share for pct in (0.0, 0.2, 0.4, 0.8, 1.0)]
        assert shares == [0.0, 0.0, 0.6, 0.0, 0.0]
    both = torch.cat([signal, torch.arange(5.0)[None]])
    gates = build_gates(mask.expand(2, 5), both, 0.4, None, 0.0, torch.tensor([0, 1]))
    assert gates.tied_share == 0.3


def test_zero_and_negative_zero_tie() -> None:
    signal = torch.tensor([[0.0, -0.0, 1.0, 0.0]])
    mask = torch.ones(1, 4, dtype=torch.bool)
    for scope in (None, torch.tensor([0])):
        assert lowest(signal, mask, 0.25, scope).int().tolist() == [[1, 0, 0, 0]]


def test_nothing_is_taken_where_all_tie() -> None:
    signal = torch.tensor([[2.0, 2.0, 9.0], [1.0, 2.0, 3.0]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert lowest(signal, mask, 0.5, torch.arange(2)).int().tolist() == [[0, 0, 0], [1, 0, 0]]
    assert highest(signal, mask, 0.5, torch.arange(2)).int().tolist() == [[0, 0, 0], [0, 0, 1]]
    assert not lowest(torch.zeros(2, 3), mask, 1.0, None).any()


def test_hostile_shapes() -> None:
    single = torch.ones(1, 1, dtype=torch.bool)
    for scope in (None, torch.tensor([0])):
        assert not lowest(torch.ones(1, 1), single, 1.0, scope).any()
        assert not highest(torch.ones(1, 1), ~single, 1.0, scope).any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_signals_that_are_not_finite(bad: float) -> None:
    mask = torch.tensor([[True, True, False]])
    with pytest.raises(ValueError, match="NaN or infinite"):
        lowest(torch.tensor([[0.0, bad, 0.0]]), mask, 0.5, None)
    padded = torch.tensor([[0.0, 1.0, bad]])
    for scope in (None, torch.tensor([0])):
        assert lowest(padded, mask, 0.5, scope).int().tolist() == [[1, 0, 0]]
        assert highest(padded, mask, 0.5, scope).int().tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_shares_out_of_range(share: float) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        lowest(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), share, None)


@pytest.mark.parametrize("kind", ["smooth", "coarse", "two_values", "by_position", "spike"])
def test_a_large_batch_is_selected_as_by_sorting(kind: str) -> None:
    """More tokens than a sample, so that brackets are narrow; with signals that mislead a sample."""
    rows, width = 600, 512
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(rows, width, generator=generator)
    signal = {
        "smooth": x,
        "coarse": x.mul(4).round(),
        "two_values": (x > 0.5).float(),
        "by_position": torch.arange(width).float().expand(rows, width).contiguous(),
        "spike": torch.where(x > 3.2, x, torch.zeros(())),
    }[kind]
    mask = ragged(rows, width)
    low, high = lowest_and_highest(signal, mask, 0.2, 0.001, None)
    total = int(mask.sum())
    assert torch.equal(low, chosen_by_sorting(signal, mask, total // 5, largest=False))
    assert torch.equal(high, chosen_by_sorting(signal, mask, total // 1000, largest=True))


@pytest.mark.parametrize("sample", [[0.0] * 1000, [-5.0, -4.0], [0.4, 0.5, 1e9], []])
def test_a_bracket_that_missed_is_widened(sample: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_sample", lambda *_: torch.tensor(sample))
    signal, mask = torch.rand(8, 100), ragged(8, 100)
    total = int(mask.sum())
    low, high = selection.choose_tails(
        signal, mask, total, [selection.Tail(total // 2, largest=False), selection.Tail(total // 4, largest=True)], 0
    )
    assert torch.equal(low, chosen_by_sorting(signal, mask, total // 2, largest=False))
    assert torch.equal(high, chosen_by_sorting(signal, mask, total // 4, largest=True))


def test_scopes_equal_separate_batches_and_padding_changes_nothing() -> None:
    signal, mask = torch.randn(6, 40), ragged(6, 40)
    scope = torch.tensor([9, 1, 9, 1, 1, 9])
    low = lowest(signal, mask, 0.3, scope)
    for one in (1, 9):
        rows = scope == one
        assert torch.equal(low[rows], lowest(signal[rows], mask[rows], 0.3, None))
    wide_mask = torch.nn.functional.pad(mask, (0, 9))
    wide = torch.nn.functional.pad(signal, (0, 9), value=float("nan"))
    assert torch.equal(lowest(wide, wide_mask, 0.3, scope)[:, :40], low)
    assert torch.equal(lowest(wide, wide_mask, 0.3, None)[:, :40], lowest(signal, mask, 0.3, None))


def test_noise_is_seeded_and_does_not_depend_on_padding() -> None:
    mask = ragged(4, 20)
    noise = random_signal(mask, 5)
    assert torch.equal(noise, random_signal(mask, 5))
    assert not torch.equal(noise, random_signal(mask, 6))
    assert torch.equal(random_signal(torch.nn.functional.pad(mask, (0, 3)), 5)[:, :20], noise)
    assert not noise[~mask].any()
    assert noise[mask].unique().numel() == int(mask.sum())


def test_gates_keep_what_was_not_taken() -> None:
    first, second, mask = torch.randn(3, 30), torch.randn(3, 30), ragged(3, 30)
    for mask_signal, filter_signal in ((first, first), (first, second)):
        gates = build_gates(mask, mask_signal, 0.2, filter_signal, 0.3, None)
        assert torch.equal(gates.advantage_kept, mask & ~lowest(mask_signal, mask, 0.2, None))
        assert torch.equal(gates.entropy_kept, mask & ~highest(filter_signal, mask, 0.3, None))
    off = build_gates(mask, None, 0.2, None, 0.3, None)
    assert torch.equal(off.advantage_kept, mask)
    assert torch.equal(off.entropy_kept, mask)
