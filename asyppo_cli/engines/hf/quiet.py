"""What libraries print or decide by themselves when they are imported, under control."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def deepspeed_accelerator(device: torch.device) -> Iterator[None]:
    """Within the block, whoever imports DeepSpeed makes it compute on ``device``; it would guess, and say so aloud."""
    before = os.environ.get("DS_ACCELERATOR")
    os.environ["DS_ACCELERATOR"] = device.type
    try:
        yield
    finally:
        if before is None:
            del os.environ["DS_ACCELERATOR"]
        else:
            os.environ["DS_ACCELERATOR"] = before


def silence_transformers() -> None:
    """No progress bars and reports on the terminal: what matters is checked and said by whoever loads or saves."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
