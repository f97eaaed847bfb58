"""Seeds of everything random in a run, as a function of the run's seed, the step and the purpose.

No random state lives between steps, so a run that is resumed draws what it would have drawn.
"""

from __future__ import annotations

import hashlib
from typing import Literal

Purpose = Literal["sample", "mini_batches", "critics", "gates", "evaluate", "traces", "probes"]


def derive_seed(seed: int, purpose: Purpose, step: int, part: int = 0) -> int:
    """A 63-bit seed; unrelated for every purpose, step and part."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}/{part}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
