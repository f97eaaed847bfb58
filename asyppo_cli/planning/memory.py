"""What a role needs of a memory: what it always holds, and what comes on top in each phase of a step. Bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# What memory goes to, in the order of tables.
KINDS = ("weights", "gradients", "optimizer", "activations", "vocabulary", "cache", "buffers")
Bytes = Mapping[str, float]
# The phase of checkpoints: few, large blocks, which find room in what others have freed.
SAVE = "save"


@dataclass(frozen=True)
class MemoryUse:
    """``held`` all the time; ``phases``: what each phase adds while it lasts. By kind, of which there are few."""

    held: Bytes = field(default_factory=dict)
    phases: Mapping[str, Bytes] = field(default_factory=dict)

    @property
    def persistent(self) -> float:
        """Bytes held all the time."""
        return sum(self.held.values())

    @property
    def worst(self) -> str | None:
        """The phase that adds most."""
        return max(self.phases, key=lambda phase: sum(self.phases[phase].values()), default=None)

    @property
    def transient(self) -> float:
        """Bytes that the worst phase adds."""
        return 0.0 if self.worst is None else sum(self.phases[self.worst].values())

    def with_slack(self, slack: float) -> float:
        """The most bytes where an allocator keeps a share ``slack`` of what phases free, in pieces."""
        sizes = (sum(size.values()) * (1.0 if phase == SAVE else 1.0 + slack) for phase, size in self.phases.items())
        return self.persistent + max(sizes, default=0.0)

    @property
    def peak(self) -> float:
        """The most bytes at any time."""
        return self.persistent + self.transient

    def by_kind(self) -> dict[str, float]:
        """Bytes at the worst moment, by what they are for."""
        worst = {} if self.worst is None else self.phases[self.worst]
        return {kind: self.held.get(kind, 0.0) + worst.get(kind, 0.0) for kind in KINDS}


@dataclass(frozen=True)
class RoleMemory:
    """Each of ``ranks`` processes of a role: on its device, and in its machine's memory where the device is a GPU."""

    role: str
    ranks: int
    device: MemoryUse
    host: MemoryUse = field(default_factory=MemoryUse)


def sequential(uses: Iterable[MemoryUse]) -> MemoryUse:
    """Roles in one process: what all hold, and their phases, of which one runs at a time."""
    held: dict[str, float] = {}
    phases: dict[str, Bytes] = {}
    for number, use in enumerate(uses):
        for kind, size in use.held.items():
            held[kind] = held.get(kind, 0.0) + size
        # Phases of the same name are those of several critics: one learns at a time.
        for phase, bytes_by_kind in use.phases.items():
            known = phases.get(phase, {})
            if sum(bytes_by_kind.values()) > sum(known.values()) or number == 0:
                phases[phase] = bytes_by_kind
    return MemoryUse(held, phases)
