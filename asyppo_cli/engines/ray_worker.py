"""What runs in a rank's own process: a learner or a sampler, told what to do by a :class:`RankGroup` elsewhere.

The process knows Ray only where it hands out memory; everything else is the engine's own business.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from asyppo_cli.engines.ranks import join_world
from asyppo_cli.engines.ray_transport import Packed, chunked, pack, unpack
from asyppo_cli.types import Response, SamplingParams


@dataclass(frozen=True)
class Place:
    """Where a rank is: which of how many in its role, with a GPU or without, in which folder it works.

    ``shared`` is a file that all machines must see, ``log`` takes what the process prints, ``patience`` is how long
    it waits for other ranks in seconds.
    """

    role: str
    rank: int
    ranks: int
    gpu: bool
    folder: Path
    shared: Path
    log: Path
    patience: float

    @property
    def title(self) -> str:
        """The rank in words."""
        return f"{self.role}, rank {self.rank} of {self.ranks}"


class RankProcess:
    """A rank before it holds anything."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._held: Any = None

    def settle(self) -> str:
        """Take the folder and the log over; returns ``host:port`` at which other ranks may meet this one.

        Raises:
            ValueError: this machine does not see the run's files.
        """
        place = self._place
        if not place.shared.is_file():
            raise ValueError(
                f"the machine {platform.node()} does not see {place.shared}: on several machines --runs-dir must be "
                "on a file system that all of them share"
            )
        redirect_output(place.log)
        print(f"{place.title}: process {os.getpid()} on {platform.node()}", flush=True)
        if place.folder.is_dir():
            os.chdir(place.folder)
        return f"{own_address()}:{free_port()}"

    def build(self, make: Callable[[], Any], address: str) -> None:
        """Meet the other ranks, if there are any and this has not been done, and make what this rank holds."""
        place = self._place
        if place.ranks > 1 and not dist.is_initialized():
            device = torch.device("cuda" if place.gpu else "cpu")
            join_world(place.rank, place.ranks, address, device, timedelta(seconds=place.patience))
        self._held = make()

    def measure(self, what: Callable[[], int]) -> int:
        """Any number about this process."""
        return what()

    def close(self) -> None:
        """Release what is held, orderly."""
        if self._held is not None:
            self._held.close()


class LearnerRank(RankProcess):
    """One rank of a learner."""

    def forward(self, batch: Packed) -> Packed:
        """Outputs of this rank's rows."""
        return pack(self._held.forward(unpack(batch)))

    def forward_backward(self, batch: Packed, targets: Packed, loss: Callable[..., Any]) -> tuple[Packed, Any]:
        """Outputs of this rank's rows, and the terms summed over all ranks."""
        outputs, sums = self._held.forward_backward(unpack(batch), unpack(targets), loss)
        return pack(outputs), dict(sums)

    def optimizer_step(self) -> Any:
        """The report, the same on every rank."""
        return self._held.optimizer_step()

    def weights(self) -> list[Any]:
        """References to chunks of the weights: all of them from rank 0, none from the others, who only take part."""
        import ray

        own = chunked(self._held.weights())
        return [ray.put(chunk) for chunk in own if self._place.rank == 0]

    def save(self, directory: Path) -> None:
        """Write this rank's part."""
        self._held.save(directory)

    def load(self, directory: Path) -> None:
        """Take back this rank's part."""
        self._held.load(directory)


class SamplerRank(RankProcess):
    """One sampler of several, each with a copy of the policy."""

    def sample(self, prompts: Sequence[Sequence[int]], n: int, params: SamplingParams) -> list[list[Response]]:
        """Responses to this rank's share of the prompts."""
        drawn: list[list[Response]] = self._held.sample(prompts, n, params)
        return drawn

    def load_weights(self, chunks: Sequence[Any]) -> None:
        """Take over the policy's weights, chunk by chunk."""
        import ray

        self._held.load_weights(pair for reference in chunks for pair in ray.get(reference))


def redirect_output(log: Path) -> None:
    """Everything this process prints from now on, native libraries included, goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def own_address() -> str:
    """The address of this machine as the cluster knows it."""
    import ray

    return str(ray.util.get_node_ip_address())


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])
