"""The room of the growing cache, against the real one."""

from __future__ import annotations

import pytest
import torch

from asyppo_cli.engines.hf.kv_cache import GrowingLayer
from asyppo_cli.planning.sampling import capacity


@pytest.mark.parametrize(("prompt", "response"), [(5, 1), (5, 40), (28, 80), (100, 24), (64, 300)])
def test_the_cache_has_as_much_room_as_is_said(prompt: int, response: int) -> None:
    layer = GrowingLayer()
    layer.update(torch.zeros(1, 1, prompt, 2), torch.zeros(1, 1, prompt, 2))
    layer.batch_repeat_interleave(3)
    # The last token that is drawn is not computed.
    for _ in range(response - 1):
        layer.update(torch.zeros(3, 1, 1, 2), torch.zeros(3, 1, 1, 2))
    assert layer._buffers[0].shape[-2] == capacity(prompt, response)
