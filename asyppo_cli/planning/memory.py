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
class Need:
    """``held`` all the time; ``phases``: what each phase adds while it lasts. By kind, of which there are few."""

    held: Bytes = field(default_factory=dict)
    phases: Mapping[str, Bytes] = field(default_factory=dict)

    @property
    def constant(self) -> float:
        """Bytes held all the time."""
        return sum(self.held.values())

    @property
    def worst(self) -> str | None:
        """The phase that adds most."""
        return max(self.phases, key=lambda phase: sum(self.phases[phase].values()), default=None)

    @property
    def passing(self) -> float:
        """Bytes that the worst phase adds."""
        return 0.0 if self.worst is None else sum(self.phases[self.worst].values())

    def settled(self, slack: float) -> float:
        """The most bytes where an allocator keeps a share ``slack`` of what phases free, in pieces."""
        sizes = (sum(size.values()) * (1.0 if phase == SAVE else 1.0 + slack) for phase, size in self.phases.items())
        return self.constant + max(sizes, default=0.0)

    @property
    def peak(self) -> float:
        """The most bytes at any time."""
        return self.constant + self.passing

    def by_kind(self) -> dict[str, float]:
        """Bytes at the worst moment, by what they are for."""
        worst = {} if self.worst is None else self.phases[self.worst]
        return {kind: self.held.get(kind, 0.0) + worst.get(kind, 0.0) for kind in KINDS}


@dataclass(frozen=True)
class RoleNeed:
    """Each of ``ranks`` processes of a role: on its device, and in its machine's memory where the device is a GPU."""

    role: str
    ranks: int
    device: Need
    host: Need = field(default_factory=Need)


def one_after_another(needs: Iterable[Need]) -> Need:
    """Roles in one process: what all hold, and their phases, of which one runs at a time."""
    held: dict[str, float] = {}
    phases: dict[str, Bytes] = {}
    for number, need in enumerate(needs):
        for kind, size in need.held.items():
            held[kind] = held.get(kind, 0.0) + size
        # Phases of the same name are those of several critics: one learns at a time.
        for phase, bytes_by_kind in need.phases.items():
            known = phases.get(phase, {})
            if sum(bytes_by_kind.values()) > sum(known.values()) or number == 0:
                phases[phase] = bytes_by_kind
    return Need(held, phases)
