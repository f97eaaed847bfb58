"""The checks of shapes that every test here relies on are on."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

from asyppo_cli.algorithm.returns import gae


def test_shapes_that_disagree_are_refused() -> None:
    mask = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(TypeCheckError):
        gae(torch.zeros(2, 3), torch.zeros(2, 4), mask, 1.0, 1.0)
