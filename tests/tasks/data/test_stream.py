from __future__ import annotations

import pytest

from asyppo_cli.tasks.data.stream import ProblemStream


def test_each_epoch_is_a_fresh_permutation() -> None:
    stream = ProblemStream(50, seed=1)
    epochs = [stream.indices(50 * epoch, 50) for epoch in range(4)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


@pytest.mark.parametrize("n", [1, 3, 7, 20])
def test_a_pure_function_of_position_across_epochs(n: int) -> None:
    whole = ProblemStream(7, seed=5).indices(0, 120)
    stream = ProblemStream(7, seed=5)
    pieces = [stream.indices(position, n) for position in range(0, 120 - n, n)]
    assert [index for piece in pieces for index in piece] == whole[: n * len(pieces)]
    assert ProblemStream(7, seed=5).indices(93, 20) == whole[93:113]
    assert stream.indices(2, 4) == whole[2:6]


def test_known_order() -> None:
    # Frozen: a run that is resumed under another version of Python must go on with the same problems.
    assert ProblemStream(6, seed=0).indices(4, 6) == [3, 2, 2, 0, 1, 5]


def test_seeds_differ() -> None:
    assert ProblemStream(50, 1).indices(0, 50) != ProblemStream(50, 2).indices(0, 50)
    assert ProblemStream(50, 1).indices(550, 50) != ProblemStream(50, 11).indices(50, 50)


def test_arguments_out_of_range() -> None:
    with pytest.raises(ValueError, match="at least one problem"):
        ProblemStream(0, 1)
    with pytest.raises(ValueError, match="must not be negative"):
        ProblemStream(3, 1).indices(-1, 2)
