"""What training one model holds besides a micro-batch: weights, gradients, moments, and an engine's buffers.

``P`` weights on ``n`` ranks. AdamW keeps two moments in float32, plain torch optionally in a file. DeepSpeed's numbers
are those of the settings that :mod:`asyppo_cli.engines.deepspeed.engine` gives it, and its defaults for what that
leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from asyppo_cli.planning.memory import Bytes, MemoryUse

FULL, HALF = 4, 2
# DeepSpeed's reduction bucket in weights, and how many gathered weights stage 3 lets live at once.
BUCKET, LIVE = 500_000_000, 1_000_000_000
# A checkpoint's moments are copied to the host part by part.
PART = 4 * 2**30


@dataclass(frozen=True)
class ShardingSettings:
    """An engine's settings: ZeRO ``stage`` over ``ranks``, ``offload``, whether weights compute in bfloat16, whether
    moments lie in a file, and whether all else lies in the machine's memory.
    """

    engine: Literal["torch", "deepspeed"]
    stage: int
    ranks: int
    offload: Literal["none", "optimizer", "all"]
    half: bool
    moments_in_file: bool = False
    on_cores: bool = False

    @property
    def moments(self) -> int:
        """Bytes in memory of both moments of a weight."""
        return 0 if self.moments_in_file else 2 * FULL

    @property
    def shared(self) -> bool:
        """Whether DeepSpeed keeps masters beside the weights that compute."""
        return self.engine == "deepspeed" and self.stage > 0


@dataclass(frozen=True)
class ModelState:
    """``device`` and ``host`` always; ``learning``: on top of it while gradients exist; ``saving``: at a checkpoint."""

    device: Bytes
    host: Bytes
    learning: Bytes
    saving: Bytes


def model_state(parameters: int, largest: int, sharding: ShardingSettings) -> ModelState:
    """What one rank holds of a model in training; ``largest`` is its largest weight."""
    copied = float(min(sharding.moments * parameters, PART + FULL * largest))
    if not sharding.shared:
        # On cores they are written from where they lie.
        saving = {} if sharding.on_cores else {"buffers": copied}
        return _whole(parameters, largest, sharding, saving)
    saving = {"buffers": copied, **whole_copy(parameters)}
    n, c = sharding.ranks, HALF if sharding.half else FULL
    part, bucket = parameters / n, float(c * min(BUCKET, parameters))
    own = {"gradients": FULL * part}
    device: dict[str, float] = {"weights": float(c * parameters)}
    learning: dict[str, float] = {"buffers": bucket}
    match sharding.stage:
        case 1:
            device["gradients"] = float(FULL * parameters)
        case 2:
            learning |= own
        case _:
            # Gathered weights that are in use, and gradients on their way, in two buckets.
            device |= own | {"weights": c * part}
            learning["buffers"] = 2 * bucket + c * min(LIVE, parameters)
    return _moved(device, learning, part, sharding, saving)


def _moved(
    device: dict[str, float], learning: Bytes, part: float, sharding: ShardingSettings, saving: Bytes
) -> ModelState:
    """Masters and moments, and where they are; in the machine's memory the gradient lies there as well, three times."""
    masters = {"optimizer": 3 * FULL * part}
    if sharding.offload == "none":
        return ModelState(device | masters, {}, learning, saving)
    host = masters | {"gradients": 3 * FULL * part}
    if sharding.offload == "all":
        host["weights"] = device.pop("weights")
    return ModelState(device, host, learning, saving)


def _whole(parameters: int, largest: int, sharding: ShardingSettings, saving: Bytes) -> ModelState:
    """Every rank holds everything; with several, gradients pass through a bucket."""
    device = {"weights": float(FULL * parameters), "optimizer": float(sharding.moments * parameters)}
    learning = {"gradients": float(FULL * (parameters + largest))}
    if sharding.engine == "deepspeed" and sharding.ranks > 1:
        learning["buffers"] = float(FULL * min(BUCKET, parameters))
    return ModelState(device, {}, learning, saving)


def whole_copy(parameters: int) -> dict[str, float]:
    """Rank 0 puts a checkpoint's float32 weights together in its machine's memory."""
    return {"weights": float(FULL * parameters)}


def reference_state(parameters: int, sharding: ShardingSettings) -> MemoryUse:
    """A reference never learns: weights without moments (DeepSpeed still makes masters, and moments never)."""
    if not sharding.shared:
        return MemoryUse({"weights": float(FULL * parameters)})
    learning = model_state(parameters, 0, sharding)
    masters = learning.device.get("optimizer", 0.0) / 3
    return MemoryUse({**learning.device, "optimizer": masters, "gradients": 0.0})
