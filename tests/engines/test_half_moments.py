"""Moments that are kept in bfloat16 move weights as float32 ones do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asyppo_cli.engines import half_moments
from asyppo_cli.engines.half_moments import HalfMomentAdamW
from asyppo_cli.engines.learner_files import MOMENTS
from asyppo_cli.engines.torch_learner import AdamW, make_optimizer

SIZES = (50, 7)


def descend(half: bool, steps: int, state: dict[str, Any] | None = None) -> tuple[Tensor, torch.optim.Optimizer]:
    """A weight after so many noisy steps towards 1, and what moved it."""
    settings = AdamW(1e-2, 0.1, (0.9, 0.95), 1.0, 0, "constant", steps, half)
    module = nn.Module()
    module.weight = nn.Parameter(torch.linspace(-1.0, 1.0, 350).view(SIZES))
    optimizer = make_optimizer(module, settings)
    if state is not None:
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    noise = torch.Generator().manual_seed(0)
    for _ in range(steps):
        module.weight.grad = module.weight.detach() - 1.0 + torch.randn(SIZES, generator=noise)
        optimizer.step()
    return module.weight.detach(), optimizer


def test_the_first_step_is_that_of_float32() -> None:
    torch.testing.assert_close(descend(True, 1)[0], descend(False, 1)[0], atol=0, rtol=0)


def test_many_steps_stay_beside_those_of_float32() -> None:
    start, (half, _), (full, _) = descend(True, 0)[0], descend(True, 100), descend(False, 100)
    moved = (full - start).norm()
    # Rounding is 1/256 at worst and averages out; noise itself moves weights by many times that.
    assert 0 < (half - full).norm() < 0.01 * moved


def test_moments_of_a_gradient_that_has_gone_fade() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = HalfMomentAdamW([weight], 1e-3, (0.9, 0.98), 0.0)
    weight.grad = torch.ones(3)
    optimizer.step()
    assert all(optimizer.state[weight][name].min() > 0 for name in MOMENTS)
    weight.grad = torch.zeros(3)
    for _ in range(200):
        optimizer.step()
    assert optimizer.state[weight]["exp_avg"].max() < 1e-6
    assert optimizer.state[weight]["exp_avg_sq"].max() < 0.02 * 0.98**200 * 1.2


def test_slices_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = descend(True, 5)
    monkeypatch.setattr(half_moments, "SLICE", 32)
    assert torch.equal(descend(True, 5)[0], whole)


def test_half_the_bytes_are_held() -> None:
    for half, bytes_each in ((True, 2), (False, 4)):
        _, optimizer = descend(half, 2)
        (state,) = optimizer.state.values()
        assert [state[name].element_size() for name in MOMENTS] == [bytes_each] * 2
        assert float(state["step"]) == 2


@pytest.mark.parametrize("half", [True, False])
def test_either_goes_on_from_the_others_moments(half: bool) -> None:
    saved = descend(not half, 3)[1].state_dict()["state"]
    _, optimizer = descend(half, 0, saved)
    (state,) = optimizer.state.values()
    for name in MOMENTS:
        assert state[name].dtype == (torch.bfloat16 if half else torch.float32)
        torch.testing.assert_close(state[name].float(), saved[0][name].float(), rtol=1 / 256, atol=0)
    assert float(state["step"]) == 3
