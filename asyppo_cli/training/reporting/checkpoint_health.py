"""Whether a checkpoint is good to continue from: a run often diverges some steps before a number becomes NaN."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch

# No trained language model has a larger weight.
LARGEST_WEIGHT = 1e6
# A gradient norm may be this many times the median of the steps before, of which as many are remembered.
NORM_FACTOR = 100.0
REMEMBERED, FEWEST = 20, 5


@dataclass
class CheckpointHealth:
    """Gradient norms of the last steps, by metric."""

    norms: dict[str, deque[float]] = field(default_factory=dict)

    def fault(self, folder: Path, row: Mapping[str, float]) -> str | None:
        """What is wrong with the checkpoint written to ``folder`` after the step with these metrics; None: it is good.

        Good: all weights and moments are finite and weights at most :data:`LARGEST_WEIGHT`, the losses of the step are
        finite, and no gradient norm is beyond :data:`NORM_FACTOR` times the median of the steps before.
        """
        return self._metric_fault(row) or find_tensor_fault(folder)

    def follow(self, row: Mapping[str, float]) -> None:
        """Remember the gradient norms of a step."""
        for name, value in row.items():
            if name.endswith("grad_norm"):
                self.norms.setdefault(name, deque(maxlen=REMEMBERED)).append(value)

    def _metric_fault(self, row: Mapping[str, float]) -> str | None:
        for name, value in row.items():
            if name.endswith(("loss", "grad_norm")) and not math.isfinite(value):
                return f"{name} is {value}"
        for name, norms in self.norms.items():
            usual = median(norms)
            if len(norms) >= FEWEST and row.get(name, 0.0) > NORM_FACTOR * usual > 0.0:
                return f"{name} is {row[name]:.3g}, and the median of the steps before {usual:.3g}"
        return None


def find_tensor_fault(folder: Path) -> str | None:
    """The first tensor of safetensors files below ``folder`` that is not finite, or a weight that is too large."""
    from safetensors import safe_open

    for file in sorted(folder.rglob("*.safetensors")):
        weights = not file.name.startswith("optimizer")
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118
                tensor = opened.get_tensor(name)
                if not tensor.numel() or not tensor.is_floating_point():
                    continue
                largest = max(abs(float(bound)) for bound in torch.aminmax(tensor))
                place = f"{file.relative_to(folder)}: {name}"
                if not math.isfinite(largest):
                    return f"{place} has a value that is NaN or infinite"
                if weights and largest > LARGEST_WEIGHT:
                    return f"{place} has a value of {largest:.2g}"
    return None
