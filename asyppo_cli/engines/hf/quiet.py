"""What libraries print or decide by themselves when they are imported, under control."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def deepspeed_accelerator(device: torch.device) -> Iterator[None]:
    """Within the block, an import of DeepSpeed computes on ``device``; it would guess, and print its guess."""
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
    """No progress bars and reports on the terminal: what matters is checked where models are loaded and saved."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
